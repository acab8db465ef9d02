"""The use of pairing: two arms with the same seed see the same examples."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import special

from cnn_jax.sweeps.statistics.paired import CONFIDENCE, spread

# With fewer seeds, an estimated correlation says next to nothing.
FEWEST = 5


@dataclass(frozen=True)
class Pairing:
    """How similar the runs of two arms with the same seed are.

    Attributes:
      seeds: the number of seeds that both arms have.
      correlation: the correlation of the two arms' metrics over the seeds.
      low, high: the 95% confidence interval of the correlation.
      unpaired: the number of seeds for which the difference of the two means would be
        equally precise if the arms had different seeds.
    """

    seeds: int
    correlation: float
    low: float
    high: float
    unpaired: float


def pairing(values: Mapping[int, float], base: Mapping[int, float]) -> Pairing | None:
    """Returns the correlation of two arms over the seeds, and what pairing saves.

    With the variances over the seeds, n paired seeds are worth

        n [var(values) + var(base)] / var(values - base)

    unpaired seeds. The interval of the correlation is that of Fisher (1921) with the
    transformation artanh.

    Returns None if the arms have fewer than five seeds in common, or if the metrics or
    their differences have no variance.

    Args:
      values: the metric of the arm, by seed.
      base: the metric of the base arm, by seed.
    """
    seeds = sorted(values.keys() & base.keys())
    if len(seeds) < FEWEST:
        return None
    pair = np.array([[arm[seed] for seed in seeds] for arm in (values, base)])
    first, second, difference = map(spread, (*pair, pair[0] - pair[1]))
    if not (first and second and difference):
        return None
    found = float(np.corrcoef(pair)[0, 1])
    center = math.atanh(max(min(found, 1 - 1e-12), 1e-12 - 1))
    reach = float(special.ndtri((1 + CONFIDENCE) / 2)) / math.sqrt(len(seeds) - 3)
    return Pairing(
        seeds=len(seeds),
        correlation=found,
        low=math.tanh(center - reach),
        high=math.tanh(center + reach),
        unpaired=len(seeds) * (first**2 + second**2) / difference**2,
    )
