"""The learning rate range test."""

import csv

import numpy as np
import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.runs import learning_rate_range
from cnn_jax.runs.resolve import resolve


def test_the_rates():
    rates = [float(learning_rate_range.rate_at(step)) for step in (0, 100, 199)]
    np.testing.assert_allclose(rates, [1e-6, 1e-6 * 1e7 ** (100 / 199), 10], rtol=1e-4)


def falling(center):
    """A loss that falls most steeply at a step, and explodes in the end."""
    steps = np.arange(150)
    rng = np.random.default_rng(0)
    loss = 0.5 + 2 / (1 + np.exp((steps - center) / 8)) + rng.normal(0, 0.02, 150)
    loss[140:] = np.geomspace(1, 9, 10)
    return loss


@pytest.mark.parametrize("center", [50, 90])
def test_the_suggestion_is_where_the_loss_falls_most_steeply(center):
    curve = learning_rate_range.smooth(falling(center))
    steepest, lowest = learning_rate_range.suggestions(curve)
    rates = [float(learning_rate_range.rate_at(s)) for s in (center - 4, center + 4)]
    assert rates[0] <= steepest <= rates[1]
    assert lowest > steepest


def test_a_loss_that_never_falls():
    curve = learning_rate_range.smooth(np.linspace(2, 3, 50))
    with pytest.raises(UserError, match="does not fall at any learning rate"):
        learning_rate_range.suggestions(curve)


def test_a_config(values, tmp_path, capsys):
    config = resolve(values(model={"name": "plain", "widths": (4,)}))
    learning_rate_range.run(config, tmp_path / "run")
    out = capsys.readouterr().out
    suggested = float(out.split("--config.optimizer.learning_rate=")[1].split()[0])
    with (tmp_path / "run" / learning_rate_range.TABLE).open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["learning_rate"]) == pytest.approx(1e-6)
    assert 1e-6 < suggested < float(rows[-1]["learning_rate"])
    picture = (tmp_path / "run" / learning_rate_range.PICTURE).read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert not (tmp_path / "run" / "config.json").exists()
