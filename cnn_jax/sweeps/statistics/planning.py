"""How many seeds a sweep needs."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from scipy import special

from cnn_jax.sweeps.statistics import sequential
from cnn_jax.sweeps.statistics.boundaries import boundaries
from cnn_jax.sweeps.statistics.equivalence import LEVEL
from cnn_jax.sweeps.statistics.paired import differences, spread
from cnn_jax.sweeps.statistics.power import difference_power, same_power

POWER = 0.8
# Confidence that a pilot's upper bound is above the true standard deviation.
CONFIDENCE = 0.8
MOST = 10_000  # larger numbers of seeds are of no use to anyone
FEW = 40  # with more seeds, the looks' levels are nearly those of z-statistics


@dataclass(frozen=True)
class Plan:
    """The number of seeds of a sweep.

    Attributes:
      seeds: the number of seeds of every arm; with several looks, the maximum number.
      power: the probability to find a difference of the wanted size with these seeds,
        if the standard deviation is the assumed one.
      deviation: the assumed standard deviation of the differences between paired runs.
    """

    seeds: int
    power: float
    deviation: float


def plan(
    detect: int | float,
    deviation: int | float,
    arms: int = 1,
    looks: int = 1,
    power: float = POWER,
    level: float = LEVEL,
) -> Plan | None:
    """Returns the smallest number of seeds with enough power for one arm's difference.

    Every arm is tested at level / arms (Bonferroni). Holm's test has this level for its
    first arm and higher ones for the others; its power is therefore at least the
    promised one. With several looks, the power is that of the last look alone, which is
    below the power of all looks by 0.01 or less.

    Returns None if one look needs more than `MOST` seeds.

    Args:
      detect: the true difference that the sweep should find; the sign does not matter.
      deviation: the standard deviation of the differences between paired runs. After a
        pilot, pass `upper_deviation`.
      arms: the number of arms that are compared to a base arm.
      looks: the number of equally spaced looks; see `sequential.schedule`.
      power: the wanted probability to find the difference.
      level: the probability of a false claim over all arms.
    """
    share = level / arms
    seeds = _smallest(
        lambda n: difference_power(detect, deviation, n, share) >= power, 2
    )
    if seeds is None:
        return None
    # Looks cost a few seeds more.
    while (reached := _power(detect, deviation, seeds, looks, share)) < power:
        seeds += 1
    return Plan(seeds, reached, deviation)


def upper_deviation(
    values: Mapping[int, float],
    base: Mapping[int, float],
    confidence: float = CONFIDENCE,
) -> float | None:
    """Returns an upper confidence bound of the standard deviation of the differences.

    The standard deviation s of n = 3 pilot runs is below the true one in 63% of pilots,
    and a plan from s has too little power. The bound

        s sqrt((n - 1) / q),  q the (1 - confidence) quantile of chi-squared, n - 1

    is at least the true standard deviation with the given confidence, for normal
    differences. With confidence 0.8, the bound is 2.12 s for 3 seeds, 1.56 s for 5 and
    1.29 s for 10. A plan from this bound has at least the promised power in 80% of
    pilots. (Browne 1995, Statistics in Medicine 14.)

    Returns None if fewer than two seeds are in common.

    Args:
      values: the metric of the pilot's arm, by seed.
      base: the metric of the pilot's base arm, by seed.
      confidence: the probability that the bound is not below the true value.
    """
    found = differences(values, base)
    if (deviation := spread(found)) is None:
        return None
    freedom = len(found) - 1
    quantile = float(special.chdtri(freedom, confidence))
    return deviation * math.sqrt(freedom / quantile)


def more_seeds(
    values: Mapping[int, float],
    base: Mapping[int, float],
    arms: int = 1,
    margin: float | None = None,
    power: float = POWER,
    level: float = LEVEL,
) -> int | None:
    """Returns how many more seeds would probably decide an undecided arm.

    The true mean and standard deviation of the differences are assumed to be those
    observed. The arm is decided by the test for a difference or, with a margin, by the
    test for equivalence; the smaller number of seeds counts. After few seeds the answer
    is a rough one, since the observed values are.

    Returns None if fewer than two seeds are in common, if all differences are equal, or
    if more than `MOST` seeds are needed.

    Args:
      values: the metric of the arm, by seed.
      base: the metric of the base arm, by seed.
      arms: the number of arms that are compared to a base arm.
      margin: the margin of equivalence; None without a test for equivalence.
      power: the probability that the new number of seeds decides.
      level: the probability of a false claim over all arms.
    """
    found = differences(values, base)
    if not (deviation := spread(found)):
        return None
    mean, share = float(found.mean()), level / arms
    ways = [
        _smallest(
            lambda n: difference_power(mean, deviation, n, share) >= power, len(found)
        )
    ]
    if margin is not None:
        ways.append(
            _smallest(
                lambda n: same_power(mean, deviation, margin, n, share) >= power,
                len(found),
            )
        )
    known = [seeds - len(found) for seeds in ways if seeds is not None]
    # An arm that is undecided needs one more seed at least.
    return max(min(known), 1) if known else None


def _power(
    detect: int | float, deviation: int | float, seeds: int, looks: int, level: float
) -> float:
    """Returns the power of the last look."""
    if looks == 1:
        last = level
    elif seeds <= FEW:
        last = sequential.levels(sequential.schedule(seeds, looks), seeds, level)[-1]
    else:
        fractions = [k / looks for k in range(1, looks + 1)]
        last = float(2 * special.ndtr(-boundaries(fractions, level)[-1]))
    return difference_power(detect, deviation, seeds, last)


def _smallest(enough: Callable[[int], bool], least: int) -> int | None:
    """Returns the smallest number from `least` to `MOST` that is enough, or None.

    All numbers above a number that is enough must be enough too.
    """
    if not enough(MOST):
        return None
    low, high = least, MOST
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return high
