"""Differences between arms that were trained with the same seeds.

With the same seed, two arms see the same examples in the same order, so what is
compared is a seed's result in one arm with that seed's result in the other.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95  # of the confidence intervals


@dataclass(frozen=True)
class Difference:
    """An arm's metric minus the base arm's, over the seeds that both have.

    Attributes:
      seeds: how many both have.
      mean: of the differences.
      low, high: the 95% confidence interval of their mean; infinite with one seed.
      p_value: two-sided, of no difference; None with one seed, and where the
        differences are all the same, which says nothing of how they vary.
    """

    seeds: int
    mean: float
    low: float
    high: float
    p_value: float | None


def paired_difference(
    values: Mapping[int, float], base: Mapping[int, float]
) -> Difference | None:
    """Student's paired t-test of two arms' metrics by seed; None without common seeds.

    The interval is mean +- t s / sqrt(n), with s the standard deviation of the n
    differences and t the quantile of Student's distribution with n - 1 degrees of
    freedom.
    """
    # SciPy's statistics take half a second to import.
    from scipy import stats

    seeds = sorted(values.keys() & base.keys())
    if not seeds:
        return None
    differences = np.array([values[seed] - base[seed] for seed in seeds], np.float64)
    mean, n = float(differences.mean()), len(seeds)
    if n == 1:
        return Difference(n, mean, -math.inf, math.inf, None)
    error = float(differences.std(ddof=1)) / math.sqrt(n)
    # Rounding alone leaves an error of some 1e-17 between equal differences.
    if error <= 1e-12 * float(np.abs(differences).max()):
        return Difference(n, mean, mean, mean, None)
    reach = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * error
    p_value = 2 * float(stats.t.sf(abs(mean) / error, n - 1))
    return Difference(n, mean, mean - reach, mean + reach, p_value)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """P-values corrected for there being several of them (Holm 1979, step down).

    Below a level, they keep the chance of any false claim among all below that level.
    None stays None, and counts as no test.
    """
    tested = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    least = 0.0
    for rank, (p, index) in enumerate(tested):
        least = max(least, min(p * (len(tested) - rank), 1.0))
        corrected[index] = least
    return corrected


def spread(values: Sequence[float]) -> float | None:
    """The standard deviation, with n - 1; None of a single value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None
