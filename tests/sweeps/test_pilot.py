"""The number of seeds from a pilot, against SciPy and the planner."""

import math

import numpy as np
import pytest
from scipy import stats

from cnn_jax.sweeps import pilot
from cnn_jax.sweeps.statistics import planning
from tests.sweeps.conftest import accuracies

NEAR, FAR = accuracies(0.0, 0.006, 1), accuracies(0.03, 0.01, 2)


@pytest.fixture
def sweep(fake):
    return fake(near=NEAR, far=FAR, fails=[None] * 12)


def finish(sweep, seeds):
    for run in sweep.experiment(seeds).runs:
        sweep.finish(run)


def test_the_pilot_has_three_seeds_or_those_that_exist(fake):
    sweep = fake(near=NEAR)
    experiment = sweep.experiment((0, 1, 2, 3, 5, 7))

    def seeds():
        return sorted({run.seed for run in pilot.chosen(experiment).runs})

    assert seeds() == [0, 1, 2]
    finish(sweep, (3, 5))
    assert seeds() == [0, 1, 2]
    finish(sweep, (0, 7))
    assert seeds() == [0, 3, 5, 7]


def test_each_arm_and_the_sweep(sweep):
    finish(sweep, range(3))
    experiment = sweep.experiment(range(3))
    rows = sweep.read(experiment)
    heading, table, advice = pilot.paragraphs(experiment, rows, 1.0, "plain")
    assert "a difference of 1.00 points with a probability of 80%, among 3" in heading
    lines = [line.split() for line in table.splitlines()[1:]]
    for values, line in ((NEAR, lines[0]), (FAR, lines[1])):
        deviation = float(np.std(values[:3], ddof=1))
        bound = deviation * math.sqrt(2 / stats.chi2.ppf(0.2, 2))
        n = int(line[7])
        # The smallest number of seeds with enough power, by the noncentral t.
        powers = []
        for seeds in (n - 1, n):
            limit = stats.t.isf(0.05 / 3 / 2, seeds - 1)
            shift = 0.01 / bound * math.sqrt(seeds)
            found = stats.nct(seeds - 1, shift)
            powers.append(found.sf(limit) + found.cdf(-limit))
        assert powers[0] < 0.8 <= powers[1]
        shown = [f"{100 * deviation:.2f}", "points", f"{100 * bound:.2f}", "points"]
        assert line[1:] == ["base", "3", *shown, str(n), "0:00:20"]
    assert lines[2] == ["fails", "base", "0", "unknown"]
    # Each arm has as many seeds as the arm that needs the most.
    assert advice.startswith(
        f"For all arms: `--seeds={n}` ({3 * (n - 3) + n} more runs)"
    )
    bound = planning.upper_deviation(
        *(dict(enumerate(v[:3])) for v in (FAR, [0.9] * 3))
    )
    most = planning.plan(0.01, bound, arms=3, looks=5).seeds
    assert advice.endswith(f"`--until=decided --max_seeds={most}`.") and most > n


def test_the_time_of_the_runs(fake):
    sweep = fake(near=NEAR)
    finish(sweep, range(3))
    experiment = sweep.experiment(range(3))
    *_, advice = pilot.paragraphs(experiment, sweep.read(experiment), 0.5, "plain")
    n = int(advice.partition("--seeds=")[2].partition("`")[0])
    # Two arms, 20 seconds a run.
    assert f"({2 * (n - 3)} more runs, {pilot._duration(40.0 * (n - 3))} of t" in advice
    assert pilot._duration(3 * 3600 + 5 * 60 + 6.2) == "3:05:07"


def test_what_cannot_be_planned(fake):
    sweep = fake(alike=[0.8] * 12, far=[0.1, 0.9, 0.5])
    finish(sweep, range(3))
    experiment = sweep.experiment(range(3))
    rows = sweep.read(experiment)
    _, table, advice = pilot.paragraphs(experiment, rows, 0.01, "plain")
    assert "unknown" in table and "more than 10,000" in table
    assert advice.startswith("An arm needs more than 10,000 seeds")
    experiment = sweep.experiment((0,))
    rows = sweep.read(experiment)
    assert len(pilot.paragraphs(experiment, rows, 1.0, "plain")) == 2
