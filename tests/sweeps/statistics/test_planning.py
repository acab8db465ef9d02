"""Numbers of seeds against statsmodels, and bounds from pilots."""

import math

import numpy as np
import pytest
from scipy import stats

from cnn_jax.sweeps.statistics.planning import more_seeds, plan, upper_deviation
from cnn_jax.sweeps.statistics.power import difference_power, same_power


# statsmodels 0.15.0: TTestPower().solve_power(effect_size, alpha, power), rounded up:
# 9.938, 6.136 and 62.870.
@pytest.mark.parametrize(
    ("detect", "arms", "level", "power", "expected"),
    [(1.0, 1, 0.05, 0.8, 10), (1.5 / 0.7, 6, 0.05, 0.8, 7), (0.5, 5, 0.05, 0.9, 63)],
)
def test_the_number_of_seeds_is_that_of_statsmodels(
    detect, arms, level, power, expected
):
    found = plan(detect, 1.0, arms=arms, power=power, level=level)
    assert (found.seeds, found.deviation) == (expected, 1.0)
    reached = difference_power(detect, 1.0, expected, level / arms)
    assert found.power == pytest.approx(reached)
    assert difference_power(detect, 1.0, expected - 1, level / arms) < power <= reached


def test_looks_cost_a_few_seeds():
    once, often = plan(0.5, 1.0), plan(0.5, 1.0, looks=5)
    assert once.seeds < often.seeds <= once.seeds + 3
    assert often.power >= 0.8


def test_what_cannot_be_planned():
    assert plan(0.001, 1.0) is None
    assert plan(1e6, 1.0).seeds == 2
    assert plan(-1.0, 1.0) == plan(1.0, 1.0)


def pilot(differences):
    return dict(enumerate(differences)), dict.fromkeys(range(len(differences)), 0.0)


@pytest.mark.parametrize(("seeds", "factor"), [(3, 2.12), (5, 1.56), (10, 1.29)])
def test_the_upper_bound_of_the_deviation(seeds, factor):
    drawn = np.random.default_rng(0).standard_normal((2000, seeds))
    bounds = np.array([upper_deviation(*pilot(row)) for row in drawn.tolist()])
    assert bounds[0] / drawn[0].std(ddof=1) == pytest.approx(factor, abs=0.005)
    assert np.mean(bounds > 1) == pytest.approx(0.8, abs=0.03)
    quantile = stats.chi2.ppf(0.1, seeds - 1)
    expected = drawn[0].std(ddof=1) * math.sqrt((seeds - 1) / quantile)
    assert upper_deviation(*pilot(drawn[0]), confidence=0.9) == pytest.approx(expected)


def test_one_seed_has_no_deviation():
    assert upper_deviation({0: 1.0}, {0: 0.0}) is None


def test_more_seeds_for_a_difference():
    arm = pilot([1.0, 3.0, -0.5])
    more = more_seeds(*arm, arms=4)
    assert more is not None
    mean, deviation = np.mean([1.0, 3.0, -0.5]), np.std([1.0, 3.0, -0.5], ddof=1)
    assert difference_power(mean, deviation, 3 + more, 0.05 / 4) >= 0.8
    assert difference_power(mean, deviation, 2 + more, 0.05 / 4) < 0.8


def test_more_seeds_for_equivalence():
    values = [0.1, -0.4, 0.4, 0.0]
    arm = pilot(values)
    more = more_seeds(*arm, margin=0.5)
    mean, deviation = np.mean(values), np.std(values, ddof=1)
    assert same_power(mean, deviation, 0.5, 4 + more) >= 0.8
    assert same_power(mean, deviation, 0.5, 3 + more) < 0.8
    assert more < more_seeds(*arm)


def test_more_seeds_is_unknown():
    assert more_seeds({0: 1.0}, {0: 0.0}) is None
    assert more_seeds(*pilot([1.0, -1.0])) is None  # a mean of 0 is never decided
    assert more_seeds(*pilot([0.3, 0.1 + 0.2])) is None
    # Decided already, by an uncorrected test: still one more.
    assert more_seeds(*pilot([1.0, 1.01, 0.99])) == 1
