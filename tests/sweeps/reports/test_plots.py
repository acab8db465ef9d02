"""The lines and points of a sweep's plots."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnn_jax.sweeps import results
from cnn_jax.sweeps.arms import Arm
from cnn_jax.sweeps.experiment import Experiment
from cnn_jax.sweeps.outcome import Outcome
from cnn_jax.sweeps.reports import plots
from cnn_jax.sweeps.reports.summary import summarize
from cnn_jax.sweeps.results import Row
from cnn_jax.sweeps.run import Run
from cnn_jax.sweeps.statistics.bootstrap import CrossedDifference
from cnn_jax.training.config import Config

METRIC = "test/accuracy"
CONFIG = Config({"task": {"name": "classification"}, "data": {"batch_size": 1}})


@pytest.fixture
def swept(monkeypatch):
    """`swept({arm: [a value per seed]})`: experiment, rows and summaries; each run's
    metric grows in two steps to its value."""

    def make(arms):
        first = next(iter(arms))
        made = tuple(Arm(name, {}, None if name == first else first) for name in arms)
        rows = []
        for number, (name, values) in enumerate(arms.items(), start=1):
            for seed, value in enumerate(values):
                run = Run(name, seed, CONFIG, Path(name), ("true",))
                found = {METRIC: value, "parameters": 10 * number, "macs": 0}
                rows.append(Row(run, Outcome("done"), found))
        runs = tuple(row.run for row in rows) or (
            Run(first, 0, CONFIG, Path(first), ("true",)),
        )
        experiment = Experiment("width", "Why?", "sweep", made, runs)

        def curves(rows, arm, key):
            assert key == METRIC
            return {
                row.run.seed: {5: row.results[key] / 2, 10: row.results[key]}
                for row in rows
                if row.run.arm == arm
            }

        monkeypatch.setattr(results, "curves", curves)
        return experiment, rows, summarize(experiment, rows)

    return make


@pytest.fixture
def axes():
    _, (found,) = plots._figure(1, 2)
    return found


def bars(axes):
    """(x, y) of each point with an error bar."""
    return [
        (float(x), float(y))
        for container in axes.containers
        for x, y in zip(*container.lines[0].get_data(), strict=True)
    ]


ARMS = {"base": [0.2, 0.4], "wide": [0.5, 0.7], "none": []}


def test_the_mean_of_each_arm_and_its_seeds(swept, axes):
    plots.by_arm(axes, *swept(ARMS))
    np.testing.assert_allclose(bars(axes), [(30, 0), (60, 1)])
    seeds = [
        line.get_xdata()
        for line in axes.lines
        if line.get_marker() == "|" and len(line.get_xdata()) == 2
    ]
    for values, expected in zip(seeds[-2:], ([20, 40], [50, 70]), strict=True):
        np.testing.assert_allclose(values, expected)
    assert [label.get_text() for label in axes.get_yticklabels()] == list(ARMS)
    assert axes.get_xlabel() == f"{METRIC} (%)"
    low, high = axes.get_ylim()
    assert low > high  # the first arm is at the top


def test_the_metric_over_the_steps(swept, axes):
    plots.curves(axes, *swept(ARMS))
    found = {line.get_label(): line.get_data() for line in axes.lines}
    assert found.keys() == {"base", "wide"}
    np.testing.assert_allclose(found["base"], [[5, 10], [15, 30]])
    band, _ = axes.collections  # one each, of the standard deviation of a sample
    heights = band.get_paths()[0].vertices[:, 1]
    deviation = np.std([0.2, 0.4], ddof=1)
    np.testing.assert_allclose(heights.max(), 100 * (0.3 + deviation))
    assert axes.get_legend() is not None


def test_one_seed_has_no_band(swept, axes):
    plots.curves(axes, *swept({"base": [0.5]}))
    assert len(axes.lines) == 1 and not axes.collections


def test_steps_that_all_seeds_have(swept, axes, monkeypatch):
    arguments = swept({"base": [0.5, 0.5]})
    found = {0: {5: 0.1, 10: 0.2}, 1: {10: 0.4}}
    monkeypatch.setattr(results, "curves", lambda *_: found)
    plots.curves(axes, *arguments)
    np.testing.assert_allclose(axes.lines[0].get_data(), [[10], [30]])


GRID = {f"{a}, {b}": [0.1 * i] for i, (a, b) in enumerate(["rx", "ry", "sx", "sy"], 1)}


def test_arms_that_are_crossed(swept, axes):
    """A line for each column, over the rows."""
    plots.interaction(axes, *swept(GRID))
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["x", "y"]
    np.testing.assert_allclose([y for _, y in bars(axes)], [10, 30, 20, 40])
    assert [round(x) for x, _ in bars(axes)] == [0, 1, 0, 1]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["r", "s"]


def lines(axes):
    """{y: [(ends of a line in x, width)]} of the horizontal lines."""
    found = {}
    for line in axes.lines:
        x, y = line.get_data()
        if len(x) == 2 and y[0] == y[1]:
            found.setdefault(y[0], []).append((tuple(x), line.get_linewidth()))
    return found


def test_differences_with_both_intervals(swept, axes):
    """In points; the thin line is the interval over seeds and examples."""
    experiment, rows, (base, wide, none) = swept(ARMS)
    crossed = CrossedDifference(2, 9, 0.3, 0.1, 0.5, 0.1, 0.5)
    wide = dataclasses.replace(wide, crossed=crossed)
    plots.differences(axes, experiment, rows, (base, wide, none), margin=0.01)
    (dot,) = [line for line in axes.lines if line.get_marker() == "o"]
    assert dot.get_xdata()[0] == pytest.approx(30) and dot.get_ydata()[0] == 1
    (thin, narrow), (thick, broad) = lines(axes)[1]
    assert thin == pytest.approx((10, 50)) and narrow < broad
    assert thick == pytest.approx(
        (100 * wide.difference.low, 100 * wide.difference.high)
    )
    assert [text.get_text() for text in axes.get_yticklabels()] == list(ARMS)
    assert axes.get_xlabel() == f"difference in {METRIC} (points)\nto base"
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == [
        "± 1.00 points",
        "95%, seeds and test examples",
        "95%, seeds only",
    ]
    (band,) = axes.patches
    assert band.get_extents().width > 0


def test_one_seed_has_no_interval(swept, axes):
    plots.differences(axes, *swept({"base": [0.2], "wide": [0.5]}))
    assert lines(axes) == {} and axes.get_legend() is None


def test_several_base_arms_are_named(swept, axes):
    experiment, rows, (base, wide, last) = swept({"a": [0.1], "b": [0.2], "c": [0.4]})
    last = dataclasses.replace(last, against="b")
    plots.differences(axes, experiment, rows, (base, wide, last))
    assert [text.get_text() for text in axes.get_yticklabels()] == [
        "a",
        "b - a",
        "c - b",
    ]
    assert axes.get_xlabel() == f"difference in {METRIC} (points)"


def test_each_picture_is_a_file(swept, tmp_path, monkeypatch):
    monkeypatch.setattr(plots, "DRAWINGS", {"metric": ("The metric", lambda *_: None)})
    monkeypatch.setattr(plots, "interaction", lambda *_: None)
    written = plots.write(*swept(ARMS), tmp_path)
    front = "The metric against parameters", "parameters.png"
    assert [name for _, name in written] == [
        *("differences.png", "metric.png", "parameters.png")
    ]
    assert written[-1] == front
    written = plots.write(*swept(GRID), tmp_path)
    names = [name for _, name in written]
    assert names == ["grid.png", "differences.png", "metric.png", "parameters.png"]
    written = plots.write(*swept({"alone": [0.5]}), tmp_path)
    assert written == [("The metric", "metric.png")]
    assert Image.open(tmp_path / "metric.png").size == (700, 400)


def test_two_pictures_side_by_side_for_a_page(swept, tmp_path, monkeypatch):
    drawn = []
    for name in ("by_arm", "curves", "interaction", "differences"):
        monkeypatch.setattr(plots, name, lambda *_, name=name: drawn.append(name))
    for arms, both in (
        (ARMS, ["by_arm", "differences"]),
        (GRID, ["interaction", "differences"]),
        ({"alone": [0.5]}, ["by_arm", "curves"]),
    ):
        _, path = plots.overview(*swept(arms), tmp_path)
        assert path == "plots/width.png" and drawn[-2:] == both
    assert Image.open(tmp_path / path).size == (1400, 400)


def test_colors_come_again_with_other_dashes(swept, axes):
    plots.curves(axes, *swept({f"arm{i}": [0.5] for i in range(12)}))
    styles = {(line.get_color(), line.get_linestyle()) for line in axes.lines}
    assert len(styles) == 12 and len({color for color, _ in styles}) == 10
