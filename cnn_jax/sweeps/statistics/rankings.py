"""The agreement of two rankings of the same settings, by Kendall's tau."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from cnn_jax.sweeps.statistics.equivalence import LEVEL
from cnn_jax.sweeps.statistics.paired import holm, paired_difference

# The metric of each run of a setting, by seed.
Runs = Mapping[int, float]


@dataclass(frozen=True)
class Agreement:
    """The agreement of two rankings.

    Attributes:
      settings: the number of settings that have runs in both rankings.
      tau: Kendall's tau-b of the settings' mean metrics: 1 if the rankings are equal,
        0 if they are unrelated, -1 if one is the reverse of the other. NaN if all means
        of a ranking are equal.
      low, high: an interval that contains the tau of these settings without the noise
        of seeds with at least 95% probability.
      over_settings: an interval for which the settings are the sample; see `fieller`.
      p_value: the two-sided p-value of "the rankings are unrelated", for which the
        settings are the sample. It is exact unless settings are tied.
    """

    settings: int
    tau: float
    low: float
    high: float
    over_settings: tuple[float, float] | None
    p_value: float


def kendall(first: Mapping[str, Runs], second: Mapping[str, Runs]) -> Agreement | None:
    """Returns the agreement of two rankings of the same settings.

    Tau is the mean over all pairs of settings of 1, if both rankings have the same
    order, and -1 otherwise. The interval is over seeds: paired t-tests say which orders
    are known, corrected for all pairs of both rankings by Holm's method. A pair whose
    order is unknown in a ranking counts as -1 for the lower end, and as 1 for the
    upper end.

    Args:
      first, second: the metric of each run, by setting and by seed. Settings without a
        run in one of the rankings are left out.

    Returns:
      The agreement; None if there are fewer than two settings.
    """
    names = [name for name in first if first[name] and second.get(name)]
    if len(names) < 2:
        return None
    rankings = [[ranking[name] for name in names] for ranking in (first, second)]
    means = [[np.mean([*runs.values()]) for runs in each] for each in rankings]
    found = stats.kendalltau(*means)
    orders = _orders(rankings)
    half = len(orders) // 2
    known = [
        a * b for a, b in zip(orders[:half], orders[half:], strict=True) if a and b
    ]
    unknown = half - len(known)
    low, high = (sum(known) - unknown) / half, (sum(known) + unknown) / half
    tau, p_value = float(found.statistic), float(found.pvalue)
    return Agreement(len(names), tau, low, high, fieller(tau, len(names)), p_value)


def fieller(tau: float, settings: int) -> tuple[float, float] | None:
    """Returns the 95% interval of Kendall's tau over settings of the same kind.

    The inverse hyperbolic tangent of tau is nearly normal with the variance 0.437 /
    (n - 4) for n settings without ties (Fieller, Hartley and Pearson 1957).

    Args:
      tau: Kendall's tau of the sample.
      settings: the size of the sample.

    Returns:
      The ends of the interval; None if there are fewer than five settings, or if tau is
      NaN or at one end of its range, where the formula does not hold.
    """
    if settings < 5 or not abs(tau) < 1:
        return None
    reach = stats.norm.ppf(1 - LEVEL / 2) * math.sqrt(0.437 / (settings - 4))
    low, high = (math.tanh(math.atanh(tau) + sign * reach) for sign in (-1, 1))
    return low, high


def agreement(values: Mapping[str, Runs], first: str, second: str) -> str:
    """Returns a sentence on the agreement of two rows of crossed arms.

    Args:
      values: the metric of each run, by arm and by seed. Arms are named `ROW, COLUMN`.
      first, second: the names of the rows.
    """
    rows = [
        {
            arm.partition(", ")[2]: runs
            for arm, runs in values.items()
            if arm.partition(", ")[0] == row
        }
        for row in (first, second)
    ]
    found = kendall(*rows)
    if found is None:
        return f"Too few settings have runs on both {first} and {second}."
    over_settings = (
        "over other settings of the kind: {:.2f} to {:.2f}, ".format(
            *found.over_settings
        )
        if found.over_settings
        else ""
    )
    return (
        f"Kendall's tau of the rankings on {first} and on {second} is {found.tau:.2f} "
        f"for {found.settings} settings (95% interval {over_settings}over seeds: "
        f"{found.low:.2f} to {found.high:.2f}; p = {found.p_value:.3f} for unrelated "
        "rankings)."
    )


def _orders(rankings: Sequence[Sequence[Runs]]) -> list[int | None]:
    """Returns the order of each pair of settings, for all rankings in turn.

    The order is 1 if the first setting of a pair is better, -1 if it is worse, and None
    if the seeds do not tell.
    """
    found = [
        paired_difference(one, other)
        for ranking in rankings
        for one, other in itertools.combinations(ranking, 2)
    ]
    corrected = holm([each.p_value if each else None for each in found])
    return [
        int(np.sign(each.mean)) if each and p is not None and p < LEVEL else None
        for each, p in zip(found, corrected, strict=True)
    ]
