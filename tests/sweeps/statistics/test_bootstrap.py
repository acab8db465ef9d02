"""The crossed bootstrap against resampling, SciPy, and simulated tables."""

import math
import time

import numpy as np
import pytest
from scipy import stats

from cnn_jax.sweeps.statistics import bootstrap
from cnn_jax.sweeps.statistics.bootstrap import crossed_difference


def table(rng, seeds, examples, by_seed, by_example, rest):
    """Differences with given standard deviations of their three parts."""
    return (
        by_seed * rng.standard_normal((seeds, 1))
        + by_example * rng.standard_normal(examples)
        + rest * rng.standard_normal((seeds, examples))
    )


def crossed(differences):
    """The interval for a table of differences [seeds, examples]."""
    return crossed_difference(
        dict(enumerate(differences)), dict(enumerate(0 * differences))
    )


def test_the_corrected_variance_is_that_of_resampling_corrected():
    """The closed form of the pigeonhole bootstrap, and what Owen (2007) corrects."""
    rng = np.random.default_rng(0)
    seeds, examples, draws = 4, 12, 20_000
    differences = table(rng, seeds, examples, 1.0, 2.0, 1.0)
    rows = rng.multinomial(seeds, [1 / seeds] * seeds, draws) / seeds
    columns = rng.multinomial(examples, [1 / examples] * examples, draws) / examples
    resampled = np.einsum("ds,se,de->d", rows, differences, columns).var()
    a, b = bootstrap._variances(differences)
    columns = differences.mean(0)
    rest = max(columns.var(ddof=1) / examples - b, 0)  # MS_rest / (S E)
    closed = (
        a * (seeds - 1) / seeds
        + (b + rest) * (examples - 1) / examples
        + rest * (seeds - 1) * (examples - 1) / (seeds * examples)
    )
    assert b > 0
    assert resampled == pytest.approx(closed, rel=0.04)


def test_without_variance_between_examples_the_interval_is_students():
    """The same row everywhere: only the seeds count."""
    values = np.array([0.1, 0.4, 0.2, 0.9])
    found = crossed(np.repeat(values[:, None], 50, 1))
    reference = stats.ttest_1samp(values, 0)
    interval = reference.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.p_value == pytest.approx(reference.pvalue)
    assert (found.seeds, found.examples, found.seed_share) == (4, 50, 1.0)


def test_without_variance_between_seeds_the_interval_is_of_the_examples():
    values = np.random.default_rng(0).normal(0.3, 1, 40)
    found = crossed(np.repeat(values[None], 3, 0))
    reference = stats.ttest_1samp(values, 0)
    interval = reference.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.p_value == pytest.approx(reference.pvalue)
    assert found.seed_share == pytest.approx(0.0)


def exact_coverage(seeds, share):
    """The coverage for normal differences and very many examples.

    `share` is the share of B in the variance. The mean square of the seeds has a
    chi-squared distribution, and the other parts are known.
    """
    freedom = seeds - 1
    drawn = stats.chi2.ppf((np.arange(200) + 0.5) / 200, freedom) / freedom
    reaches = [
        bootstrap._reach(0.05, (1 - share) * d, share, seeds, 10**9) for d in drawn
    ]
    return np.mean(1 - 2 * stats.norm.sf(reaches))


@pytest.mark.parametrize(("seeds", "tolerance"), [(3, 0.014), (5, 0.007), (10, 0.003)])
def test_the_coverage_that_the_docstring_promises(seeds, tolerance):
    for share in (0.0, 0.01, 0.05, 0.1, 0.3, 0.5, 0.65, 0.8, 0.95, 1.0):
        assert exact_coverage(seeds, share) == pytest.approx(0.95, abs=tolerance)


@pytest.mark.parametrize("deviations", [(1, 3, 3), (0.2, 1, 8)])
def test_simulated_intervals_cover(deviations):
    """True difference 0; 3 seeds, where a percentile bootstrap covers far less."""
    rng = np.random.default_rng(1)
    found = [crossed(table(rng, 3, 60, *deviations)) for _ in range(500)]
    assert 0.93 <= np.mean([f.low <= 0 <= f.high for f in found]) <= 0.97


def test_the_p_value_agrees_with_the_interval():
    rng = np.random.default_rng(2)
    for _ in range(20):
        found = crossed(table(rng, 3, 30, 0.5, 1, 1) + 0.8)
        assert (found.p_value < 0.05) == (not found.low <= 0 <= found.high)
    assert crossed(table(rng, 3, 30, 0, 1, 1) + 1e9).p_value < 1e-15


def test_common_seeds_are_paired():
    scores = {0: [1, 0, 1], 1: [1, 1, 0], 7: [0, 0, 0]}
    base = {1: [0, 0, 0], 0: [0, 1, 1], 3: [1, 1, 1]}
    found = crossed_difference(scores, base)
    assert (found.seeds, found.examples, found.mean) == (2, 3, pytest.approx(1 / 3))
    assert crossed_difference({0: [1.0]}, {1: [1.0]}) is None


def test_one_seed_one_example_and_equal_differences_allow_no_test():
    for one in (crossed(np.array([[0.0, 1.0]])), crossed(np.array([[0.0], [1.0]]))):
        assert (one.mean, one.low, one.high) == (0.5, -math.inf, math.inf)
        assert one.p_value is None
    same = crossed_difference(
        {0: [0.3, 0.8], 1: [0.5, 0.5]}, {0: [0, 0.5], 1: [0.2, 0.2]}
    )
    assert (same.low, same.high, same.p_value) == (same.mean, same.mean, None)


def test_arrays_that_do_not_fit_are_refused():
    for wrong in ({0: [1, 0], 1: [1]}, {0: [[1, 0]], 1: [[1, 0]]}, {0: [], 1: []}):
        with pytest.raises(ValueError, match="one score for each test example"):
            crossed_difference(wrong, wrong)
    with pytest.raises(ValueError, match="one score for each test example"):
        crossed_difference({0: [1, 0, 1]}, {0: [1, 0]})


def test_ten_thousand_examples_and_ten_seeds_take_less_than_a_second():
    differences = np.random.default_rng(0).integers(-1, 2, (10, 10_000))
    start = time.perf_counter()
    crossed(differences)
    assert time.perf_counter() - start < 1
