"""Levels of group-sequential t-tests.

The boundaries of z-statistics are not exact for t-tests. With at most ten seeds and
five looks, t-tests at the levels of z-statistics reject 5.5% of true hypotheses.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special

from cnn_jax.sweeps.statistics.boundaries import boundaries, spending

GRID = 2001
NODES, WEIGHTS = np.polynomial.legendre.leggauss(64)
# The recursion is exact to about this probability. Looks that spend less keep the level
# of the z-statistic.
EXACT = 1e-6

Floats = NDArray[np.float64]


def t_levels(
    looks: Sequence[int], maximum: int, level: float, sides: int
) -> list[float]:
    """Returns the level of the t-test at each look.

    For x_1, x_2, ... from a normal distribution with the mean 0, the t-statistic of n
    values is a function of r_n = Σx / sqrt(Σx²). With the angle θ = arctan(x_{n+1} /
    sqrt(Σx²)) over the first n values,

        r_{n+1} = r_n cos θ + sin θ,

    where θ has a density proportional to cos^{n-1} θ and is independent of r_1 to r_n,
    since these do not depend on the scale of x (Basu's theorem). Hence the probability
    G_n(y) that no look has rejected and that r_n <= y follows from the one before:

        G_{n+1}(y) = E[G_n((y - sin θ) / cos θ)].

    At each look, the limit of r is set so that all looks together have rejected with
    the probability of `boundaries.spending`.

    Args:
      looks: the ascending numbers of seeds of the looks, each at least 2.
      maximum: the number of seeds after which the sweep stops.
      level: the probability to reject a true null hypothesis at any of the looks.
      sides: 2 for two-sided tests, 1 for one-sided ones.
    """
    fractions = [count / maximum for count in looks]
    approximate = sides * special.ndtr(-np.array(boundaries(fractions, level, sides)))
    spent = spending(fractions, level, sides)
    found: list[float] = []
    n, grid, below = 0, np.zeros(1), np.zeros(1)
    for count, target, nominal in zip(looks, spent, approximate, strict=True):
        if not n:
            n, grid = count, _grid(count)
            below = special.stdtr(n - 1, _statistic(grid, n))
        while n < count:
            below = _advance(grid, below, n, _grid(n + 1))
            n, grid = n + 1, _grid(n + 1)
        wanted = float(target) - (1 - below[-1])
        if found and wanted > EXACT:
            limit = _limit(grid, below, wanted, sides)
            statistic = float(_statistic(np.array([limit]), n)[0])
            found.append(float(sides * special.stdtr(n - 1, -statistic)))
        else:
            # At the first look, the test is a single t-test.
            found.append(float(nominal if found else target))
            limit = _ratio(-float(special.stdtrit(n - 1, found[-1] / sides)), n)
        below = _stop(grid, below, limit, sides)
    return found


def _grid(n: int) -> Floats:
    """Returns values of r_n: |r_n| is at most sqrt(n), and hardly ever above 8.

    The values are dense at the ends, where the density of r_2 is infinite.
    """
    return min(np.sqrt(n), 8.0) * np.sin(np.linspace(-np.pi / 2, np.pi / 2, GRID))


def _statistic(ratio: Floats, n: int) -> Floats:
    """Returns the t-statistic of n values for r_n."""
    rest = np.maximum(n - ratio**2, 1e-300)
    return ratio * np.sqrt((n - 1) / rest)


def _ratio(statistic: float, n: int) -> float:
    """Returns r_n for the t-statistic of n values."""
    return math.sqrt(n) / math.hypot(1, math.sqrt(n - 1) / statistic)


def _advance(grid: Floats, below: Floats, n: int, new: Floats) -> Floats:
    """Returns G_{n+1} on a new grid, for G_n on a grid."""
    end = min(np.pi / 2, 9 / np.sqrt(n))
    angles = end * NODES
    weights = WEIGHTS * np.cos(angles) ** (n - 1)
    before = (new[:, None] - np.sin(angles)) / np.cos(angles)
    return np.interp(before, grid, below) @ (weights / weights.sum())


def _limit(grid: Floats, below: Floats, wanted: float, sides: int) -> float:
    """Returns the limit of r_n that is crossed with a wanted probability."""
    beyond = below[-1] - below
    if sides == 2:
        beyond = beyond + below[::-1]
    half = slice(GRID // 2, None)
    # Probabilities descend along the grid; np.interp needs ascending ones.
    return float(np.interp(wanted, beyond[half][::-1], grid[half][::-1]))


def _stop(grid: Floats, below: Floats, limit: float, sides: int) -> Floats:
    """Returns G_n without the paths beyond the limit, which this look has stopped."""
    low = np.interp(-limit, grid, below) if sides == 2 else 0.0
    high = np.interp(limit, grid, below)
    return np.clip(below, low, high) - low
