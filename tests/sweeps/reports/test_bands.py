"""Mean curves with bands, and the charts that show them."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from cnn_jax.sweeps.arms import Arm
from cnn_jax.sweeps.experiment import Experiment
from cnn_jax.sweeps.outcome import Outcome
from cnn_jax.sweeps.reports import bands
from cnn_jax.sweeps.reports.bands import Curve
from cnn_jax.sweeps.results import Row
from cnn_jax.sweeps.run import Run
from cnn_jax.training.config import Config

VALUES = np.array([[0.1, 0.5], [0.3, 0.4], [0.2, 0.9]])


def test_a_curve_and_its_bands():
    curve = Curve([5, 10], VALUES)
    np.testing.assert_allclose(curve.mean, [0.2, 0.6])
    lower, upper = curve.band("range")
    assert lower.tolist() == [0.1, 0.4] and upper.tolist() == [0.3, 0.9]
    expected = stats.t.interval(0.95, 2, curve.mean, stats.sem(VALUES, axis=0))
    np.testing.assert_allclose(curve.band("interval"), expected)


def test_a_single_seed_has_a_range_but_no_interval():
    curve = Curve([5, 10], VALUES[:1])
    assert [end.tolist() for end in curve.band("range")] == [[0.1, 0.5]] * 2
    assert curve.band("interval") is None


@pytest.fixture
def logged(tmp_path):
    """`logged([lines, ...])`: rows of one arm, a seed for each text of metrics.jsonl;
    None is a run that failed."""

    def make(texts):
        rows = []
        for seed, text in enumerate(texts):
            run = Run("a", seed, Config(), tmp_path / str(seed), ())
            status = "failed" if text is None else "done"
            rows.append(Row(run, Outcome(status), {}))
            if text is not None:
                run.workdir.mkdir()
                (run.workdir / "metrics.jsonl").write_text(text)
        return rows

    return make


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_curves_have_the_steps_and_the_metrics_of_all_seeds(logged):
    rows = logged(
        [
            lines({"step": 1, "loss": 4.0}, {"step": 2, "loss": 2.0, "only": 1.0}),
            None,
            lines({"step": 2, "loss": 1.0, "none": None}, {"step": 3, "loss": 0.5}),
            lines({"step": 2, "loss": 9.0}) + "damage\n",
        ]
    )
    (found,) = bands.curves(rows, "a").items()
    assert (found[0], found[1].steps) == ("loss", [2])
    assert found[1].values.tolist() == [[2.0], [1.0]]
    assert bands.curves(rows, "b") == {}


def test_seeds_without_a_common_step_have_no_curve(logged):
    rows = logged([lines({"step": 1, "loss": 4.0}), lines({"step": 2, "loss": 4.0})])
    assert bands.curves(rows, "a") == {}


def experiment(*arms):
    made = tuple(Arm(name, {}, None if name == arms[0] else arms[0]) for name in arms)
    runs = (Run(arms[0], 0, Config(), Path(), ()),)
    return Experiment("a width", "", "", made, runs)


def test_the_charts_of_a_sweep():
    many, one = Curve([5, 10], VALUES), Curve([5, 10], VALUES[:1])
    found = {
        "base": {"val/iou": many, "val/loss": many},
        "a, b": {"val/iou": one},
        "a. b": {"val/iou": many},
    }
    arms = experiment("base", "a, b", "failed", "a. b")
    charts = bands.charts(arms, found, ["val/iou", "val/loss"])
    assert [
        (chart.title, chart.metric, chart.kind, chart.arms) for chart in charts
    ] == [
        ("val/iou: mean and range over the seeds", "val/iou", "range", [*found]),
        ("val/loss: mean and range over the seeds", "val/loss", "range", ["base"]),
        ("val/iou: mean and 95% interval", "val/iou", "interval", ["base", "a. b"]),
        ("val/loss: mean and 95% interval", "val/loss", "interval", ["base"]),
        ("a, b and base: val/iou", "val/iou", "range", ("a, b", "base")),
        ("a. b and base: val/iou", "val/iou", "range", ("a. b", "base")),
    ]
    assert [chart.category for chart in charts] == [
        *["a width: all arms"] * 4,
        *["a width: each arm and its base arm"] * 2,
    ]
    assert charts[2].tags[1] == "with_band/a_width/val/iou/interval/lower"
    tags = [tag for chart in charts for tag in chart.tags]
    assert len(set(tags)) == len(tags) == 18


def test_two_arms_are_in_one_chart_only():
    curve = Curve([5, 10], VALUES)
    found = {"base": {"val/iou": curve}, "wide": {"val/iou": curve}}
    charts = bands.charts(experiment(*found), found, ["val/iou", "val/loss"])
    assert [chart.kind for chart in charts] == ["range", "interval"]


def test_without_curves_there_is_no_chart():
    assert bands.charts(experiment("base", "wide"), {"base": {}}, ["val/iou"]) == []
