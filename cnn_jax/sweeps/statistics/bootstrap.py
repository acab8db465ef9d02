"""The crossed bootstrap: intervals over seeds and test examples together.

Student's interval over seeds describes new training runs that are tested on the same
examples. A claim about new examples also needs the variance between the examples. Both
arms have the same seeds and the same examples. Therefore the scores' differences form
a table of seeds by examples, and both its rows and its columns are samples.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from cnn_jax.sweeps.statistics.paired import CONFIDENCE

# The smallest p-value that is computed; below, the p-value is 0.
TINY = 1e-100


@dataclass(frozen=True)
class CrossedDifference:
    """The difference of two arms' mean scores, over seeds and test examples.

    Attributes:
      seeds, examples: the number of seeds and of examples that both arms have.
      mean: the mean of the arm's scores minus the mean of the base arm's scores.
      low, high: the 95% confidence interval of the mean; infinite with one seed or one
        example.
      p_value: the two-sided p-value of the null hypothesis of no difference. None with
        one seed or one example, or if the differences have no variance.
      seed_share: the share of the mean's variance that more seeds would reduce, from 0
        to 1. More test examples would reduce the other share. None where the p-value
        is None.
    """

    seeds: int
    examples: int
    mean: float
    low: float
    high: float
    p_value: float | None
    seed_share: float | None


def crossed_difference(
    scores: Mapping[int, ArrayLike], base: Mapping[int, ArrayLike]
) -> CrossedDifference | None:
    """Returns the interval of two arms' difference by the corrected crossed bootstrap.

    The scores are paired by seed and by example. Returns None if the arms have no seed
    in common.

    The crossed ("pigeonhole") bootstrap resamples the S seeds and, independently, the E
    examples of the table of differences. The variance of its means has a closed form in
    the mean squares of the table (two-way analysis of variance without replication):

        [MS_seeds (S-1)/S + MS_examples (E-1)/E + MS_rest (S-1)(E-1)/(S E)] / (S E)

    Therefore no resamples are drawn, and the result has no noise of simulation. As an
    estimate of the variance of the mean, this form is too small in the seeds by
    (S-1)/S, and counts the rest three times (Owen 2007, "The pigeonhole bootstrap",
    Annals of Applied Statistics 1(2)). The corrected variance is unbiased:

        A + B,  A = MS_seeds / (S E),  B = max(MS_examples - MS_rest, 0) / (S E)

    A has only S - 1 degrees of freedom, and a percentile interval ignores them. The
    half-width of the interval is a mean of two approximations, with weights of 3/5 and
    2/5 that keep the coverage close to 95% on both sides:

    * t sqrt(A + B), with the degrees of freedom of Satterthwaite (1946). With few seeds
      this interval is too short: for 3 seeds, it covers down to 92.1%.
    * sqrt(t_S² A + t_E² B), with the quantiles for S - 1 and E - 1 degrees of freedom
      (Howe 1974, JASA 69). This interval is too long: for 3 seeds, up to 97.7%.

    For normal differences and any ratio of A to B, the result covers 93.8% to 96.4%
    with 3 seeds, 94.7% to 95.7% with 5, and 94.9% to 95.3% with 10. It is exact if A or
    B is 0.

    Args:
      scores: the score of each test example, by seed, such as 1.0 for a correct
        classification. All arrays have the shape [examples], in the same order.
      base: the scores of the base arm, by seed.

    Raises:
      ValueError: the arrays differ in shape, or do not have one dimension.
    """
    seeds = sorted(scores.keys() & base.keys())
    if not seeds:
        return None
    table = _differences(scores, base, seeds)
    rows, columns = table.shape
    mean = float(table.mean())
    if min(rows, columns) == 1:
        infinite = -math.inf, math.inf
        return CrossedDifference(rows, columns, mean, *infinite, None, None)
    a, b = _variances(table)
    # Rounding leaves an error of about 1e-17 between equal differences.
    if math.sqrt(a + b) <= 1e-12 * float(np.abs(table).max()):
        return CrossedDifference(rows, columns, mean, mean, mean, None, None)
    reach = _reach(1 - CONFIDENCE, a, b, rows, columns)
    return CrossedDifference(
        seeds=rows,
        examples=columns,
        mean=mean,
        low=mean - reach,
        high=mean + reach,
        p_value=_p_value(abs(mean), a, b, rows, columns),
        seed_share=a / (a + b),
    )


def _differences(
    scores: Mapping[int, ArrayLike], base: Mapping[int, ArrayLike], seeds: list[int]
) -> NDArray[np.float64]:
    """Returns the scores minus the base arm's scores, as an array [seeds, examples]."""
    rows = [
        np.asarray(arm[seed], np.float64) for arm in (scores, base) for seed in seeds
    ]
    shapes = sorted({row.shape for row in rows})
    if len(shapes) > 1 or len(shapes[0]) != 1 or not shapes[0][0]:
        raise ValueError(
            f"The scores have the shapes {shapes}. Each seed needs one score for each "
            "test example."
        )
    return np.stack(rows[: len(seeds)]) - np.stack(rows[len(seeds) :])


def _variances(table: NDArray[np.float64]) -> tuple[float, float]:
    """Returns A and B of `crossed_difference`: the two parts of the mean's variance."""
    seeds, examples = table.shape
    mean = table.mean()
    rows = table.mean(1) - mean
    columns = table.mean(0) - mean
    rest = table - mean - rows[:, None] - columns
    ms_seeds = examples * np.square(rows).sum() / (seeds - 1)
    ms_examples = seeds * np.square(columns).sum() / (examples - 1)
    ms_rest = np.square(rest).sum() / ((seeds - 1) * (examples - 1))
    cells = seeds * examples
    return float(ms_seeds / cells), float(max(ms_examples - ms_rest, 0.0) / cells)


def _reach(p: float, a: float, b: float, seeds: int, examples: int) -> float:
    """Returns the half-width of the interval of level 1 - p."""
    freedom = (a + b) ** 2 / (a**2 / (seeds - 1) + b**2 / (examples - 1))
    satterthwaite = _t(p, freedom) * math.sqrt(a + b)
    howe = math.hypot(
        _t(p, seeds - 1) * math.sqrt(a), _t(p, examples - 1) * math.sqrt(b)
    )
    return 0.6 * satterthwaite + 0.4 * howe


def _t(p: float, freedom: int | float) -> float:
    """Returns the value that |t| exceeds with probability p."""
    return -float(special.stdtrit(freedom, p / 2))


def _p_value(distance: float, a: float, b: float, seeds: int, examples: int) -> float:
    """Returns p for which the interval of level 1 - p ends at the distance."""
    known = distance, a, b, seeds, examples
    if _beyond(math.log(TINY), *known) <= 0:
        return 0.0
    if _beyond(0.0, *known) >= 0:
        return 1.0
    return math.exp(
        optimize.brentq(_beyond, math.log(TINY), 0.0, args=known, xtol=1e-6)
    )


def _beyond(
    log_p: float, distance: float, a: float, b: float, seeds: int, examples: int
) -> float:
    """Returns the half-width of an interval minus the distance."""
    return _reach(math.exp(log_p), a, b, seeds, examples) - distance
