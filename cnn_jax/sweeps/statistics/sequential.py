"""Group-sequential tests: looks at a sweep while seeds are added.

A test at the 5% level after every new seed makes far more than 5% false claims. Here
each look has a stricter level, so that all looks together keep the level. The maximum
number of seeds must be fixed before the first look. The later looks need not be: they
may be added or moved, but not because of the results so far.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cnn_jax.sweeps.statistics import equivalence, paired
from cnn_jax.sweeps.statistics.equivalence import LEVEL, Pair
from cnn_jax.sweeps.statistics.t_levels import t_levels

FIRST = 3  # seeds at the first look
LOOKS = 5


@dataclass(frozen=True)
class Stop:
    """The state of an arm after the looks at its seeds.

    Attributes:
      verdict: as in `equivalence.verdict`; "undecided" if no look decided.
      seeds: the number of seeds at the look that decided; of the last look for an
        undecided arm. 0 if no look was possible.
    """

    verdict: str
    seeds: int


def schedule(maximum: int, looks: int = LOOKS, first: int = FIRST) -> list[int]:
    """Returns the numbers of seeds at equally spaced looks, up to the maximum.

    No look has fewer seeds than `first`, except for a maximum below `first`.
    """
    planned = {math.ceil(maximum * k / looks) for k in range(1, looks + 1)}
    return sorted({min(max(n, first), maximum) for n in planned})


def decide(
    arms: Mapping[str, Pair],
    looks: Sequence[int],
    maximum: int,
    margin: float | None = None,
    level: float = LEVEL,
) -> dict[str, Stop]:
    """Returns the verdict on each arm after the looks so far.

    All looks are made again from the seeds in ascending order: look k sees the first
    `looks[k]` common seeds of an arm and its base arm. The first look at which a test
    rejects decides; later seeds of the arm are not read. Therefore the result of an
    earlier call never changes, if the seeds are added in ascending order.

    Each arm is tested at `level` divided by the number of arms (Bonferroni). For one
    arm, "no difference" and "at least the margin" cannot both be true. Therefore any
    false claim, of either kind and at any look, has a probability of at most `level`.

    Args:
      arms: for each arm, its metric by seed and the base arm's metric by seed.
      looks: the ascending numbers of seeds of the looks so far. A look for which an arm
        has too few seeds is left out for this arm.
      maximum: the number of seeds after which the sweep stops.
      margin, level: as in `equivalence.decide`.
    """
    share = level / max(len(arms), 1)
    different = levels(looks, maximum, share)
    same = levels(looks, maximum, share, sides=1)
    found = {}
    for arm, (values, base) in arms.items():
        seeds = sorted(values.keys() & base.keys())
        stop = Stop(equivalence.UNDECIDED, 0)
        for count, d, s in zip(looks, different, same, strict=True):
            if count > len(seeds) or stop.verdict != equivalence.UNDECIDED:
                break
            first = {seed: values[seed] for seed in seeds[:count]}
            said = _look(first, base, margin, d, s)
            stop = Stop(said, count)
        found[arm] = stop
    return found


def _look(
    values: Mapping[int, float],
    base: Mapping[int, float],
    margin: float | None,
    different: float,
    same: float,
) -> str:
    """Returns the verdict of one look; `different` and `same` are the tests' levels."""
    found = paired.paired_difference(values, base)
    if found is None or found.p_value is None:
        return equivalence.UNDECIDED
    p = None if margin is None else equivalence.same_p_value(values, base, margin)
    equivalent = p is not None and p <= same
    return equivalence.verdict(found.mean, found.p_value <= different, equivalent)


def levels(
    looks: Sequence[int], maximum: int, level: float = LEVEL, sides: int = 2
) -> list[float]:
    """Returns the level of the test at each look: reject if its p-value is not above.

    The levels are those of t-tests, also for few seeds; see `t_levels`. A level depends
    on the looks before, and not on the looks after.

    Args:
      looks: the ascending numbers of seeds of the looks.
      maximum: the number of seeds after which the sweep stops.
      level: the probability to reject a true null hypothesis at any of the looks.
      sides: 2 for a test for a difference; 1 for a one-sided test, such as each of the
        two one-sided tests for equivalence.

    Raises:
      ValueError: the looks are not positive, ascending and at most the maximum.
    """
    return list(_levels(tuple(looks), maximum, level, sides))


# A sweep of many arms, and a simulation of many sweeps, ask for the same levels.
@functools.lru_cache(maxsize=64)
def _levels(
    looks: tuple[int, ...], maximum: int, level: float, sides: int
) -> tuple[float, ...]:
    if looks and looks[0] == 1:  # one seed allows no test
        return (0.0, *_levels(looks[1:], maximum, level, sides))
    return tuple(t_levels(looks, maximum, level, sides))
