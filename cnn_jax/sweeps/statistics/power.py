"""The power of paired t-tests for a difference, and for equivalence."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

from cnn_jax.sweeps.statistics.equivalence import LEVEL

NODES, WEIGHTS = np.polynomial.legendre.leggauss(100)


def difference_power(
    difference: int | float,
    deviation: int | float,
    seeds: int,
    level: float = LEVEL,
) -> float:
    """Returns the power of the two-sided paired t-test.

    The statistic has a noncentral t-distribution with seeds - 1 degrees of freedom and
    the noncentrality sqrt(seeds) difference / deviation.

    Args:
      difference: the true difference.
      deviation: the standard deviation of the differences between paired runs.
      seeds: the number of seeds, at least 2.
      level: the level of the test.
    """
    shift = math.sqrt(seeds) * abs(difference) / deviation
    u, weights = _estimates(seeds - 1)
    limit = -special.stdtrit(seeds - 1, level / 2) * u
    return float(weights @ (special.ndtr(shift - limit) + special.ndtr(-shift - limit)))


def same_power(
    difference: int | float,
    deviation: int | float,
    margin: int | float,
    seeds: int,
    level: float = LEVEL,
) -> float:
    """Returns the power of two one-sided paired t-tests for equivalence.

    Args:
      difference: the true difference.
      deviation: the standard deviation of the differences between paired runs.
      margin: differences below this size count as the same.
      seeds: the number of seeds, at least 2.
      level: the level of each one-sided test.
    """
    error = deviation / math.sqrt(seeds)
    return _same_power(difference / error, margin / error, seeds - 1, level)


def _same_power(shift: float, margin: float, freedom: int, level: float) -> float:
    """Returns the power for a shift and a margin in units of the true standard error.

    Equivalence is two one-sided tests. Both reject if |mean| < margin - t u, where u is
    the estimated standard error, and t is the quantile of Student's distribution.

    Args:
      shift, margin: the true difference and the margin, in true standard errors.
      freedom: the degrees of freedom of the estimated standard error.
      level: the level of each one-sided test.
    """
    t = -float(special.stdtrit(freedom, level))
    u, weights = _estimates(freedom, margin / t)
    reach = margin - t * u
    return float(weights @ (special.ndtr(reach - shift) - special.ndtr(-reach - shift)))


def _estimates(
    freedom: int, most: float = math.inf
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns nodes and weights of the distribution of s / σ, up to a largest value.

    s is the estimate of a standard deviation σ: freedom s² / σ² has a chi-squared
    distribution. Powers are integrals over this distribution. SciPy's noncentral t is
    not used, since it has no value for large noncentralities.
    """
    # Almost all of the distribution lies between these ends.
    low = math.sqrt(special.chdtri(freedom, 1 - 1e-12) / freedom)
    high = min(most, math.sqrt(special.chdtri(freedom, 1e-12) / freedom))
    if high <= low:
        return np.zeros(1), np.zeros(1)
    u = low + (high - low) * (NODES + 1) / 2
    constant = freedom / 2 * math.log(freedom / 2) - special.gammaln(freedom / 2)
    logarithm = constant + (freedom - 1) * np.log(u) - freedom * u**2 / 2
    return u, (high - low) * WEIGHTS * np.exp(logarithm)
