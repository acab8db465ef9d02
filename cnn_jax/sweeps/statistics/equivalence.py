"""Verdicts on arms: better, worse, the same within a margin, or undecided."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scipy import special

from cnn_jax.sweeps.statistics import paired
from cnn_jax.sweeps.statistics.paired import Difference

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

    Raises:
      ValueError: the margin is not above 0.
    """
    found = {arm: paired.paired_difference(*pair) for arm, pair in arms.items()}
    p_values = paired.holm([d.p_value if d else None for d in found.values()])
    same = paired.holm(
        [None if margin is None else same_p_value(*p, margin) for p in arms.values()]
    )
    decisions = {}
    for (arm, difference), p, same_p in zip(found.items(), p_values, same, strict=True):
        said = verdict(
            difference.mean if difference else 0.0,
            different=p is not None and p < level,
            equivalent=same_p is not None and same_p < level,
        )
        decisions[arm] = Decision(difference, p, same_p, said)
    return decisions


def verdict(mean: float, different: bool, equivalent: bool) -> str:
    """Returns the verdict on an arm, from the results of the two tests.

    A larger metric is better, as for the main metric of every task.

    A difference may be significant and within the margin. The direction is then the
    first part of the verdict, since a difference was shown, and the second part says
    that the difference hardly matters: "better, by less than the margin". Therefore
    "same" means: within the margin, and no difference is shown.

    Args:
      mean: the mean difference to the base arm.
      different: True if "no difference" is rejected.
      equivalent: True if "the difference is the margin or more" is rejected.
    """
    if not different:
        return SAME if equivalent else UNDECIDED
    direction = BETTER if mean > 0 else WORSE
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
    found = paired.differences(values, base)
    if not (deviation := paired.spread(found)):
        return None
    error = deviation / math.sqrt(len(found))
    mean = float(found.mean())
    return float(special.stdtr(len(found) - 1, (abs(mean) - margin) / error))
