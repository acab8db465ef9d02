"""Pareto fronts: who is on them, how certain this is, and how they are shown."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cnn_jax.sweeps.arms import Arm
from cnn_jax.sweeps.budgets import Budget
from cnn_jax.sweeps.experiment import Experiment
from cnn_jax.sweeps.outcome import Outcome
from cnn_jax.sweeps.reports import pareto, plots
from cnn_jax.sweeps.results import Row
from cnn_jax.sweeps.run import Run
from cnn_jax.training.config import Config

CONFIG = Config({"task": {"name": "classification"}, "data": {"batch_size": 50}})


def make(arms):
    """The experiment and the rows of {arm: (values per seed, parameters, speed)}."""
    rows = []
    for name, (values, parameters, speed) in arms.items():
        for seed, value in enumerate(values):
            run = Run(name, seed, CONFIG, Path(name), ("true",))
            found = {"test/accuracy": value, "parameters": parameters, "macs": 7}
            found["examples_per_second"] = speed
            rows.append(Row(run, Outcome("done"), found if value else {}))
    made = tuple(map(Arm, arms))
    return Experiment("x", "Why?", "sweep", made, tuple(r.run for r in rows)), rows


def test_the_front_of_five_arms():
    metric, cost = [0.9, 0.8, 0.95, 0.9, 0.7], [10, 5, 20, 12, 5]
    # The fourth is as good as the first and dearer; the fifth is worse than the second.
    assert list(pareto.on_front(metric, cost)) == [True, True, True, False, False]


def test_equal_arms_are_all_on_the_front():
    assert pareto.on_front([0.5, 0.5], [3, 3]).all()


tables = arrays.arrays(
    np.int64, st.tuples(st.just(2), st.integers(1, 6)), elements=st.integers(0, 3)
)


@given(tables)
def test_the_front_by_comparing_all_pairs(table):
    metric, cost = table
    pairs = list(zip(metric, cost, strict=True))
    for i, ours in enumerate(pairs):
        beaten = any(
            other[0] >= ours[0] and other[1] <= ours[1] and other != ours
            for other in map(tuple, pairs)
        )
        assert pareto.on_front(metric, cost)[i] == (not beaten)
    stacked = pareto.on_front([metric, metric[::-1]], [cost, cost[::-1]])
    np.testing.assert_array_equal(stacked[1], stacked[0][::-1])


def test_the_probability_of_an_arm_that_is_better_with_most_seeds():
    """With three seeds of -2, 1 and 1, a resample's mean is above 0 if -2 was drawn not
    at all (8/27), and is 0 if it was drawn once (12/27): both arms are then equal in
    the metric, and the cheaper one wins."""
    metric = np.array([[0.0, 0.0, 0.0], [-2.0, 1.0, 1.0]])
    cost = np.array([[1.0] * 3, [2.0] * 3])
    base, other = pareto.probabilities(metric, cost)
    assert base == 1.0
    assert other == pytest.approx(8 / 27, abs=0.015)
    assert list(pareto.probabilities(metric, cost)) == [base, other]  # the same


def test_seeds_are_drawn_together():
    """An arm that is better with each seed is never beaten, however seeds differ."""
    base = np.array([0.1, 0.5, 0.9])
    found = pareto.probabilities([base, base + 0.01], [[1.0] * 3] * 2)
    assert list(found) == [0, 1]


def test_equal_costs_stay_equal():
    """0.1 + 0.1 + 0.1 is not 0.3, whichever seeds are drawn."""
    cost = [[0.1] * 3, [0.1] * 3]
    assert list(pareto.probabilities([[0.5] * 3, [0.5] * 3], cost)) == [1, 1]


def test_costs_that_vary_are_drawn_with_the_seeds():
    metric = np.array([[0.5] * 2, [0.5] * 2])
    # Cheaper with the first seed, dearer with the second one.
    first, second = pareto.probabilities(metric, [[1.0, 4.0], [2.0, 3.0]])
    # Means are 1 : 2, 4 : 3 and, half of the time, equal.
    assert first == pytest.approx(0.75, abs=0.02)
    assert second == pytest.approx(0.75, abs=0.02)


ARMS = {
    "small": ([0.5, 0.6, 0.55], 100, 1000),
    "large": ([0.7, 0.8, 0.75], 5000, 500),
    "wasteful": ([0.4, 0.3, 0.35], 6000, 250),
    "failed": ([None], 100, 100),
}


def test_points_of_the_costs_that_differ():
    found = pareto.fronts(*make(ARMS))
    assert list(found) == ["parameters", "step_time"]  # all have the same macs
    small, large, wasteful = found["step_time"]
    assert (small.arm, small.place) == ("small", 0)
    assert small.metric == pytest.approx(0.55)
    assert [p.cost for p in found["step_time"]] == [50, 100, 200]  # 50 examples a step
    assert [p.on_front for p in (small, large, wasteful)] == [True, True, False]
    assert [p.probability for p in (small, large, wasteful)] == [1, 1, 0]
    assert small.metric_reach == pytest.approx(4.3027 * 0.05 / np.sqrt(3), rel=1e-4)
    assert small.cost_reach == 0


def test_arms_of_an_equal_budget_are_equally_expensive():
    """Arms of an equal budget have equal costs, also if the base arm was scaled."""
    values = [0.7, 0.8, 0.75]
    arms = {"base": ([0.5] * 3, 1000, 1), "b": ([0.6] * 3, 1002, 1)}
    experiment, rows = make(arms | {"c": (values, 1004, 1)})
    for budgets, front in (((), [1, 1, 1]), (("b", "c"), [0, 0, 1])):
        against = {"b": "base", "c": "b"}
        equal = tuple(
            Budget(arm, against[arm], "parameters", "model.width", 1, 1, 1)
            for arm in budgets
        )
        found = dataclasses.replace(experiment, budgets=equal)
        points = pareto.fronts(found, rows)["parameters"]
        assert [p.on_front for p in points] == front
        assert [p.probability for p in points] == front
        assert [p.cost for p in points] == [1000, 1002, 1004]


def test_one_seed_has_no_probability():
    experiment, rows = make({name: (v[:1], *rest) for name, (v, *rest) in ARMS.items()})
    small, *_ = pareto.fronts(experiment, rows)["parameters"]
    assert small.probability is small.metric_reach is None
    assert pareto.section(experiment, rows, "github") == []
    assert pareto.fronts(experiment, []) == {}


def test_the_table_of_probabilities():
    said, table = pareto.section(*make(ARMS), "github")
    assert "10,000 bootstrap resamples" in said
    cells = [[c.strip() for c in line.split("|")[1:-1]] for line in table.splitlines()]
    assert cells[0] == ["arm", "parameters", "on the front", "ms/step", "on the front"]
    assert cells[2] == ["small", "100", "100%", "50", "100%"]
    assert cells[4] == ["wasteful", "6,000", "0%", "200", "0%"]
    assert cells[5] == ["failed", "", "", "", ""]


@pytest.fixture
def axes():
    _, (found,) = plots._figure(1, 2)
    return found


def test_a_plot_of_the_front(axes):
    experiment, rows = make(ARMS)
    points = pareto.fronts(experiment, rows)["parameters"]
    pareto.draw(axes, experiment, "parameters", points)
    line = axes.lines[0]  # from the cheapest arm to the dearest
    np.testing.assert_allclose(line.get_data(), [[100, 5000, 6000], [55, 75, 75]])
    markers = [container.lines[0] for container in axes.containers]
    assert [float(m.get_ydata()[0]) for m in markers] == pytest.approx([55, 75, 35])
    assert [m.get_markerfacecolor() == "white" for m in markers] == [False, False, True]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["small (100%)", "large (100%)", "wasteful (0%)"]
    assert (axes.get_xscale(), axes.get_xlabel()) == ("log", "parameters")
    assert axes.get_ylabel() == "test/accuracy (%)"


def test_a_small_range_has_a_linear_axis(axes):
    experiment, rows = make(ARMS)
    points = pareto.fronts(experiment, rows)["step_time"]
    pareto.draw(axes, experiment, "step_time", points)
    assert axes.get_xscale() == "linear"


def test_arms_of_the_same_cost_are_side_by_side():
    arms = {"a": ([0.5], 100, 1), "b": ([0.6], 100, 1), "c": ([0.7], 200, 1)}
    points = pareto.fronts(*make(arms))["parameters"]
    assert pareto._side_by_side(points) == pytest.approx([99.25, 100.75, 200])
