"""Verdicts on arms: better, worse, the same within a margin, or undecided."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from cnn_jax.sweeps import statistics
from cnn_jax.sweeps.statistics import Difference

LEVEL = 0.05  # the probability of a false claim, over all arms

BETTER = "better"
WORSE = "worse"
SAME = "same"
UNDECIDED = "undecided"
# Added to "better" or "worse" if the difference is also shown to be within the margin.
SLIGHTLY = ", by less than the margin"

# The metrics of an arm and of its base arm, each by seed.
Pair = tuple[Mapping[int, float], Mapping[int, float]]


@dataclass(frozen=True)
class Decision:
    """The verdict on an arm, and the tests behind it.

    Attributes:
      difference: the difference to the base arm; its p-value is not corrected. None if
        the arms have no seed in common.
      p_value: the p-value of "no difference", corrected for the number of arms.
      same_p_value: the p-value of "the difference is the margin or more", corrected for
        the number of arms. None without a margin.
      verdict: see `verdict`.
    """

    difference: Difference | None
    p_value: float | None
    same_p_value: float | None
    verdict: str


def decide(
    arms: Mapping[str, Pair],
    margin: float | None = None,
    level: float = LEVEL,
    higher_is_better: bool = True,
) -> dict[str, Decision]:
    """Returns the verdict on each arm from one look at a complete sweep.

    Holm's correction is applied to the tests for a difference, and again to the tests
    for equivalence. Each kind of false claim ("better" or "worse"; "same" or "by less
    than the margin") is made with a probability of at most `level` over all arms.

    Args:
      arms: for each arm, its metric by seed and the base arm's metric by seed.
      margin: differences below this size count as the same. In the metric's unit:
        0.01 for one point of accuracy. With None, no arm is called the same.
      level: the probability of a false claim of each kind.
      higher_is_better: False for a metric such as a loss or an error.

    Raises:
      ValueError: the margin is not above 0.
    """
    found = {arm: statistics.paired_difference(*pair) for arm, pair in arms.items()}
    p_values = statistics.holm([d.p_value if d else None for d in found.values()])
    same = statistics.holm(
        [None if margin is None else same_p_value(*p, margin) for p in arms.values()]
    )
    decisions = {}
    for (arm, difference), p, same_p in zip(found.items(), p_values, same, strict=True):
        said = verdict(
            difference.mean if difference else 0.0,
            different=p is not None and p < level,
            equivalent=same_p is not None and same_p < level,
            higher_is_better=higher_is_better,
        )
        decisions[arm] = Decision(difference, p, same_p, said)
    return decisions


def verdict(
    mean: float, different: bool, equivalent: bool, higher_is_better: bool = True
) -> str:
    """Returns the verdict on an arm, from the results of the two tests.

    A difference may be significant and within the margin. The direction is then the
    first part of the verdict, since a difference was shown, and the second part says
    that the difference hardly matters: "better, by less than the margin". Therefore
    "same" means: within the margin, and no difference is shown.

    Args:
      mean: the mean difference to the base arm.
      different: True if "no difference" is rejected.
      equivalent: True if "the difference is the margin or more" is rejected.
      higher_is_better: False for a metric such as a loss or an error.
    """
    if not different:
        return SAME if equivalent else UNDECIDED
    direction = BETTER if (mean > 0) == higher_is_better else WORSE
    return direction + SLIGHTLY * equivalent


def same_p_value(
    values: Mapping[int, float], base: Mapping[int, float], margin: float
) -> float | None:
    """Returns the p-value of two one-sided paired t-tests (TOST).

    The null hypothesis is that the true difference is at least the margin, in either
    direction. Both one-sided tests must reject; therefore the larger of their p-values
    counts, and needs no correction for two tests. A p-value below 0.05 is equivalent to
    a 90% interval of the difference inside of the margin. (Schuirmann 1987, Journal of
    Pharmacokinetics and Biopharmaceutics 15.)

    Returns None if fewer than two seeds are in common, or if all differences are equal:
    their variance is then unknown.

    Raises:
      ValueError: the margin is not above 0.
    """
    if not margin > 0:
        raise ValueError(f"The margin is {margin}. A margin must be above 0.")
    found = differences(values, base)
    n = len(found)
    if n < 2:
        return None
    mean = float(found.mean())
    if not (error := spread(found) / math.sqrt(n)):
        return None
    return float(special.stdtr(n - 1, (abs(mean) - margin) / error))


def differences(
    values: Mapping[int, float], base: Mapping[int, float]
) -> NDArray[np.float64]:
    """Returns the arm's metric minus the base arm's, for each common seed in order."""
    seeds = sorted(values.keys() & base.keys())
    return np.array([values[seed] - base[seed] for seed in seeds], np.float64)


def spread(found: NDArray[np.float64]) -> float:
    """Returns the standard deviation of two or more differences; 0 for rounding alone.

    Rounding leaves differences of about 1e-17 between equal values.
    """
    deviation = float(found.std(ddof=1))
    return deviation if deviation > 1e-12 * float(np.abs(found).max()) else 0.0
