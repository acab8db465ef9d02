"""Statistics of the differences between arms that were trained with the same seeds.

With the same seed, two arms see the same examples in the same order. Therefore the
results of two arms are compared seed by seed.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95  # of the intervals


@dataclass(frozen=True)
class Difference:
    """The differences of an arm's metric and the base arm's metric, with equal seeds.

    Attributes:
      seeds: the number of seeds that both arms have.
      mean: the mean over these seeds of the arm's metric minus the base arm's metric.
      low, high: the 95% confidence interval of the mean; infinite with one seed.
      p_value: the two-sided p-value of the null hypothesis of no difference. None with
        one seed, or if all differences are equal: their variance is then unknown.
    """

    seeds: int
    mean: float
    low: float
    high: float
    p_value: float | None


def paired_difference(
    values: Mapping[int, float], base: Mapping[int, float]
) -> Difference | None:
    """Returns Student's paired t-test of two arms' metrics.

    The metrics are paired by seed. Returns None if the arms have no seed in common.

    The confidence interval is mean ± t s / sqrt(n), with s the standard deviation of
    the n differences and t the quantile of Student's distribution with n - 1 degrees of
    freedom.

    Args:
      values: the metric of the arm, by seed.
      base: the metric of the base arm, by seed.
    """
    # SciPy's statistics take half a second to import.
    from scipy import stats

    found = differences(values, base)
    if not (n := len(found)):
        return None
    mean, deviation = float(found.mean()), spread(found)
    if deviation is None:
        return Difference(n, mean, -math.inf, math.inf, None)
    if not deviation:
        return Difference(n, mean, mean, mean, None)
    error = deviation / math.sqrt(n)
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)) * error
    p_value = 2 * float(stats.t.sf(abs(mean) / error, n - 1))
    return Difference(n, mean, mean - reach, mean + reach, p_value)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Returns p-values corrected for multiple comparisons (Holm 1979, step-down).

    Suppose that each arm whose corrected p-value is below a level is called different.
    Then the probability of one or more false claims is at most this level. A p-value of
    None stays None, and does not count as a test.
    """
    tested = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    least = 0.0
    for rank, (p, index) in enumerate(tested):
        least = max(least, min(p * (len(tested) - rank), 1.0))
        corrected[index] = least
    return corrected


def differences(
    values: Mapping[int, float], base: Mapping[int, float]
) -> NDArray[np.float64]:
    """Returns the arm's metric minus the base arm's, for each common seed in order."""
    seeds = sorted(values.keys() & base.keys())
    return np.array([values[seed] - base[seed] for seed in seeds], np.float64)


def spread(values: ArrayLike) -> float | None:
    """Returns the sample standard deviation (n - 1); None for fewer than two values.

    The result is 0 if the values differ by rounding alone, about 1e-17.
    """
    found = np.asarray(values, np.float64)
    if len(found) < 2:
        return None
    deviation = float(found.std(ddof=1))
    return deviation if deviation > 1e-12 * float(np.abs(found).max()) else 0.0
