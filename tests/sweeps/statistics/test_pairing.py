"""How many seeds pairing saves."""

import numpy as np
import pytest
from scipy import stats

from cnn_jax.sweeps.statistics.pairing import pairing


def by_seed(values):
    return dict(enumerate(values))


def test_the_correlation_and_its_interval():
    base, arm = np.random.default_rng(0).standard_normal((2, 10))
    arm = base + 0.5 * arm
    found = pairing(by_seed(arm), by_seed(base))
    expected = stats.pearsonr(arm, base)
    assert (found.seeds, found.correlation) == (10, pytest.approx(expected.statistic))
    assert (found.low, found.high) == pytest.approx(
        tuple(expected.confidence_interval(0.95))
    )


def test_paired_seeds_are_worth_more_unpaired_ones():
    """Var(base) = var(arm) = 1 and r = 0.5: the difference has half the variance."""
    base = np.array([1, 1, -1, -1, 0, 0]) / np.sqrt(0.8)
    other = np.array([1, -1, 1, -1, 0, 0]) / np.sqrt(0.8)
    arm = 0.5 * base + np.sqrt(0.75) * other
    found = pairing(by_seed(arm + 3), by_seed(base))
    assert (found.correlation, found.unpaired) == pytest.approx((0.5, 12))
    assert pairing(by_seed(other), by_seed(base)).unpaired == pytest.approx(6)


def test_only_common_seeds_count():
    base = by_seed([0.1, 0.3, 0.2, 0.5, 0.4, 9.0])
    arm = by_seed([0.2, 0.1, 0.2, 0.4, 0.4])
    assert pairing(arm, base).seeds == 5


@pytest.mark.parametrize(
    ("arm", "base"),
    [
        ([0.1, 0.2, 0.3, 0.2], [0.2, 0.2, 0.1, 0.4]),  # too few
        ([0.5] * 5, [0.1, 0.2, 0.3, 0.4, 0.5]),
        ([0.1, 0.2, 0.3, 0.4, 0.5], [0.5] * 5),
        ([0.2, 0.3, 0.4, 0.5, 0.6], [0.1, 0.2, 0.3, 0.4, 0.5]),  # equal differences
    ],
)
def test_nothing_is_said_without_variance_or_seeds(arm, base):
    assert pairing(by_seed(arm), by_seed(base)) is None
