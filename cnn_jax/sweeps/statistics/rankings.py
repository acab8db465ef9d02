"""The agreement of two rankings of the same settings, by Kendall's tau."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from cnn_jax.sweeps.statistics.paired import CONFIDENCE

DRAWS = 10_000
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
      low, high: the 95% interval of tau for these settings, over seeds.
      p_value: the two-sided p-value of "the rankings are unrelated", for which the
        settings are the sample. It is exact unless settings are tied.
    """

    settings: int
    tau: float
    low: float
    high: float
    p_value: float


def kendall(first: Mapping[str, Runs], second: Mapping[str, Runs]) -> Agreement | None:
    """Returns the agreement of two rankings of the same settings.

    The interval describes the noise of seeds. In 10,000 pairs of rankings, the mean of
    every setting is drawn from Student's distribution around the measured mean, which
    also fits a few seeds. Noise makes the drawn rankings agree less than the measured
    ones, and these less than the true ones. So the interval is symmetric around the
    measured tau, wide enough for the middle 95% of the drawn taus, and cut off at -1
    and 1. The draws have a fixed random seed. In simulations with eight settings, the
    interval covers at least 93% if the standard deviation over seeds is at most the
    standard deviation of the settings' means, and down to 74% if it is twice as large.

    Args:
      first, second: the metric of each run, by setting and by seed. Settings without a
        run in one of the rankings are left out.

    Returns:
      The agreement; None if there are fewer than two settings. The interval is -1 to 1
      if a setting has only one run.
    """
    names = [name for name in first if first[name] and second.get(name)]
    if len(names) < 2:
        return None
    rankings = [
        [np.array([*runs[name].values()]) for name in names] for runs in (first, second)
    ]
    means = [[float(values.mean()) for values in ranking] for ranking in rankings]
    found = stats.kendalltau(*means)
    tau = float(found.statistic)
    low, high = -1.0, 1.0
    if min(len(values) for ranking in rankings for values in ranking) > 1:
        rng = np.random.default_rng(0)
        taus = _taus(*(_drawn(ranking, rng) for ranking in rankings))
        ends = np.quantile(taus, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        reach = float(np.abs(ends - tau).max())
        low, high = max(tau - reach, -1.0), min(tau + reach, 1.0)
    return Agreement(len(names), tau, low, high, float(found.pvalue))


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
    return (
        f"Kendall's tau of the rankings on {first} and on {second} is {found.tau:.2f} "
        f"for {found.settings} settings (95% interval over seeds: {found.low:.2f} to "
        f"{found.high:.2f}; p = {found.p_value:.3f} for unrelated rankings)."
    )


def _drawn(
    ranking: list[NDArray[np.float64]], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Returns draws of the settings' means, an array [draws, settings]."""
    columns = [
        values.mean()
        + values.std(ddof=1)
        / np.sqrt(len(values))
        * rng.standard_t(len(values) - 1, DRAWS)
        for values in ranking
    ]
    return np.stack(columns, axis=1)


def _taus(
    first: NDArray[np.float64], second: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Returns tau of each row: the mean agreement of the signs over pairs of settings.

    Ties count as half an agreement.
    """
    i, j = np.triu_indices(first.shape[1], k=1)
    signs = np.sign(first[:, i] - first[:, j]) * np.sign(second[:, i] - second[:, j])
    return signs.mean(axis=1)
