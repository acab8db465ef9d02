"""Averages of the parameters against their definitions."""

import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import runs
from cnn_jax.core.errors import UserError
from cnn_jax.runs.resolve import resolve
from cnn_jax.training import averages


def averaged(averaging, values):
    average = {"params": jnp.zeros(())}
    for step, value in enumerate(values):
        average = averaging(jnp.asarray(step), None, {"params": value}, average)
    return float(average["params"])


def test_an_equal_average_is_the_mean_of_the_last_steps():
    values = np.random.default_rng(0).normal(size=20)
    averaging = averages.make(20, swa_start=0.75)
    np.testing.assert_allclose(
        averaged(averaging, values), values[15:].mean(), rtol=1e-5
    )
    np.testing.assert_allclose(averaged(averaging, values[:10]), values[9], rtol=1e-6)


def test_an_exponential_average_starts_with_a_lower_decay():
    decay = averages.exponential(0.9)
    found = [float(decay(jnp.asarray(step))) for step in (0, 1, 8, 1000)]
    np.testing.assert_allclose(found, [0.1, 2 / 11, 0.5, 0.9], rtol=1e-6)


def test_one_kind_of_average_at_a_time():
    assert averages.make(20) is None
    with pytest.raises(UserError, match="swa_start set two kinds of averages"):
        averages.make(20, ema_decay=0.9, swa_start=0.75)
    with pytest.raises(UserError, match="averages the parameters itself"):
        averages.make(20, True, ema_decay=0.9)
    assert averages.make(20, True) is averages.by_optimizer


def test_parameters_without_averages_are_evaluated_too(values, tmp_path):
    """Their scores equal the scores of a run without averages."""
    train = {"steps": 4}
    averaged = resolve(
        values(train=train, optimizer={"ema_decay": 0.9}, eval={"raw": True})
    )
    found = runs.train(averaged, tmp_path / "averaged")
    plain = runs.train(
        resolve(values(train=train, optimizer={"ema_decay": None})), tmp_path / "plain"
    )
    for name in ("val/loss", "val/accuracy", "test/loss", "test/accuracy"):
        role, _, score = name.partition("/")
        assert found[f"{role}/raw_{score}"] == pytest.approx(plain[name], rel=1e-5)
    assert found["val/loss"] != found["val/raw_loss"]
    without = values(optimizer={"ema_decay": None}, eval={"raw": True})
    with pytest.raises(UserError, match=r"eval\.raw=true evaluates .* no averages"):
        runs.train(resolve(without), tmp_path / "wrong")
