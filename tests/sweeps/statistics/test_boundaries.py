"""Boundaries of group-sequential tests against published tables and SciPy."""

import numpy as np
import pytest
from scipy import stats

from cnn_jax.sweeps.statistics.boundaries import boundaries, spending

# Lan and DeMets' boundaries for a two-sided level of 5% and equally spaced looks, as
# printed by gsDesign (sfLDOF), rpact ("asOF") and RTSA (esOF).
PUBLISHED = [
    [1.960],
    [2.963, 1.969],
    [3.710, 2.511, 1.993],
    [4.333, 2.963, 2.359, 2.014],
    [4.877, 3.357, 2.680, 2.290, 2.031],
]


@pytest.mark.parametrize("expected", PUBLISHED, ids=len)
def test_boundaries_are_the_published_ones(expected):
    fractions = [k / len(expected) for k in range(1, len(expected) + 1)]
    assert boundaries(fractions, 0.05) == pytest.approx(expected, abs=6e-4)
    # One-sided at half of the level: the other boundary is hardly ever reached.
    one_sided = boundaries(fractions, 0.025, sides=1)
    assert one_sided == pytest.approx(expected, abs=6e-4)


def test_one_sided_boundaries_are_the_published_ones():
    """SeqBounds.jl, README (grid step 0.05) and tests."""
    expected = [3.74955, 2.53993, 2.01604, 1.72014]
    found = boundaries([0.25, 0.5, 0.75, 1.0], 0.05, sides=1)
    assert found == pytest.approx(expected, abs=5e-5)
    last = boundaries([0.2, 0.4, 0.6, 0.8, 1.0], 0.05, sides=1)[-1]
    assert last == pytest.approx(1.73966, abs=5e-5)


@pytest.mark.parametrize("sides", [1, 2])
def test_unequal_looks_keep_the_level(sides):
    """Against an integration by SciPy of the multivariate normal distribution."""
    t = [0.15, 0.5, 0.6, 1.0]
    limits = np.array(boundaries(t, 0.05, sides))
    covariance = np.sqrt(np.minimum.outer(t, t) / np.maximum.outer(t, t))
    lower = -limits if sides == 2 else np.full(4, -np.inf)
    kept = stats.multivariate_normal.cdf(
        limits, cov=covariance, lower_limit=lower, abseps=1e-5, rng=0
    )
    assert 1 - kept == pytest.approx(0.05, abs=2e-5)


def test_a_look_that_may_spend_nothing_cannot_reject():
    assert boundaries([0.001], 0.05) == [40.0]


def test_fractions_that_do_not_fit_are_refused():
    for wrong in ([0.5, 0.5], [0.5, 0.3], [0.0, 0.5], [0.5, 1.1], [float("nan")]):
        with pytest.raises(ValueError, match="must be ascending"):
            boundaries(wrong)


def test_the_spending_ends_at_the_level():
    assert spending([1.0], 0.05)[0] == pytest.approx(0.05)
    assert spending([1.0], 0.01, sides=1)[0] == pytest.approx(0.01)
    # SeqBounds.jl, README.
    expected = [8.85754e-5, 0.0055746, 0.0236251, 0.05]
    found = spending([0.25, 0.5, 0.75, 1.0], 0.05, sides=1)
    assert found == pytest.approx(expected, rel=1e-5)
