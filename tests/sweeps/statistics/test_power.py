"""Power against statsmodels, SciPy, PowerTOST and simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from cnn_jax.sweeps.statistics import power
from cnn_jax.sweeps.statistics.equivalence import same_p_value
from cnn_jax.sweeps.statistics.power import difference_power, same_power


# statsmodels 0.15.0: TTestPower().power(effect, seeds, level, alternative="two-sided").
# The first three rows: 1.5 points, a deviation of 0.7, six arms.
@pytest.mark.parametrize(
    ("effect", "seeds", "level", "expected"),
    [
        (1.5 / 0.7, 3, 0.05 / 6, 0.11545850388467224),
        (1.5 / 0.7, 5, 0.05 / 6, 0.5642768585361457),
        (1.5 / 0.7, 8, 0.05 / 6, 0.9649645271529603),
        (0.5, 10, 0.05, 0.2931756065140767),
        (1.0, 10, 0.05, 0.8030968566327218),
        (0.2, 200, 0.05, 0.8036666605857853),
    ],
)
def test_the_power_is_that_of_statsmodels(effect, seeds, level, expected):
    found = difference_power(effect * 0.01, 0.01, seeds, level)
    assert found == pytest.approx(expected, abs=1e-9)
    assert difference_power(-effect, 1.0, seeds, level) == pytest.approx(found)


@pytest.mark.parametrize("seeds", [2, 3, 6, 50])
@pytest.mark.parametrize("effect", [0.05, 0.4, 1.0])
def test_the_power_is_scipys(effect, seeds):
    shift, limit = effect * math.sqrt(seeds), stats.t.isf(0.025, seeds - 1)
    law = stats.nct(seeds - 1, shift)
    expected = law.sf(limit) + law.cdf(-limit)
    assert difference_power(effect, 1.0, seeds) == pytest.approx(expected, abs=1e-7)


def test_large_effects_and_many_seeds():
    """SciPy's noncentral t-distribution has no value here."""
    assert difference_power(1.0, 0.001, 10_000) == pytest.approx(1.0)
    assert difference_power(1.0, 1e-9, 3) == pytest.approx(1.0)
    assert difference_power(0.0, 1.0, 10_000) == pytest.approx(0.05, abs=1e-6)
    assert same_power(0.0, 1.0, 1e6, 5) == pytest.approx(1.0)
    assert same_power(0.0, 1.0, 1e-6, 2) == pytest.approx(0.0, abs=1e-9)
    assert same_power(0.0, 1.0, 1e-6, 9) == 0.0


# Published by PowerTOST's sampleN.TOST(CV, theta0=0.95): a crossover of two periods.
@pytest.mark.parametrize(
    ("cv", "people", "expected"),
    [(0.20, 20, 0.834680), (0.25, 28, 0.807439), (0.30, 40, 0.815845)],
)
def test_the_power_for_equivalence_is_the_published_one(cv, people, expected):
    error = math.sqrt(math.log(1 + cv**2)) * math.sqrt(2 / people)
    shift, margin = math.log(0.95) / error, math.log(1.25) / error
    found = power._same_power(shift, margin, people - 2, 0.05)
    assert found == pytest.approx(expected, abs=1e-6)


def test_the_power_for_equivalence_is_what_the_test_reaches():
    rng = np.random.default_rng(0)
    base = dict.fromkeys(range(6), 0.0)
    drawn = rng.normal(0.2, 1.0, (2000, 6))
    p_values = [same_p_value(dict(enumerate(row)), base, 1.5) for row in drawn.tolist()]
    expected = same_power(0.2, 1.0, 1.5, 6)
    assert np.mean(np.array(p_values) < 0.05) == pytest.approx(expected, abs=0.03)
