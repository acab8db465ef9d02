"""Boundaries of group-sequential tests, by spending of the level.

The statistic of a test at the fraction t of the data is that of a Brownian motion W(t):
z = W(t) / sqrt(t).
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

# Gauss-Legendre quadrature; 60 nodes agree with 400 to ten digits.
UNIT_NODES, UNIT_WEIGHTS = np.polynomial.legendre.leggauss(100)
# A look that may spend less than this probability cannot reject.
TINY = 1e-300


def spending(
    fractions: Sequence[float], level: float = 0.05, sides: int = 2
) -> NDArray[np.float64]:
    """Returns the probability that a look up to a fraction t rejects a true hypothesis.

    The probability is sides * 2 (1 - Φ(z / sqrt(t))), where z is the normal quantile of
    1 - level / (2 sides): the spending function of Lan and DeMets (1983, Biometrika
    70), which approximates the boundaries of O'Brien and Fleming.
    """
    quantile = special.ndtri(level / (2 * sides))
    return 2 * sides * special.ndtr(quantile / np.sqrt(fractions))


def boundaries(
    fractions: Sequence[float], level: float = 0.05, sides: int = 2
) -> list[float]:
    """Returns the boundaries of the z-statistic at looks, of O'Brien-Fleming type.

    The boundaries follow from `spending` by recursive integration of the density of a
    Brownian motion that no look has stopped (Armitage, McPherson and Rowe 1969).

    Args:
      fractions: the ascending fractions of the maximum number of seeds.
      level: the total probability to reject.
      sides: 2 to reject in both directions, 1 to reject above the boundary alone.

    Raises:
      ValueError: the fractions are not ascending between 0 (excluded) and 1.
    """
    steps = np.diff([0.0, *fractions])
    if not (np.all(steps > 0) and sum(steps) <= 1 + 1e-9):
        raise ValueError(
            f"The looks are at the fractions {[*fractions]} of the maximum. They must "
            "be ascending, above 0 and at most 1."
        )
    spent = spending(fractions, level, sides)
    # The measure of the paths that go on: weights at nodes of the Brownian motion.
    nodes, weights = np.zeros(1), np.ones(1)
    found = []
    for t, step, increment in zip(
        fractions, steps, np.diff(spent, prepend=0.0), strict=True
    ):
        deviation, far = math.sqrt(step), 40 * math.sqrt(t)
        limit = _limit(nodes, weights, deviation, float(increment), far, sides)
        found.append(limit / math.sqrt(t))
        low = -limit if sides == 2 else -9 * math.sqrt(t)
        nodes, weights = _advance(nodes, weights, deviation, low, limit)
    return found


def _limit(
    nodes: NDArray[np.float64],
    weights: NDArray[np.float64],
    deviation: float,
    probability: float,
    far: float,
    sides: int,
) -> float:
    """Returns the limit that the next step crosses with a given probability.

    The result is `far`, which no path reaches, for probabilities below `TINY`.
    """
    if probability < TINY:
        return far
    known = nodes, weights, deviation, probability, sides
    low = 0.0 if sides == 2 else -far
    return float(optimize.brentq(_excess, low, far, args=known))


def _excess(
    limit: float,
    nodes: NDArray[np.float64],
    weights: NDArray[np.float64],
    deviation: float,
    probability: float,
    sides: int,
) -> float:
    """Returns the logarithm of the crossing probability over the wanted one."""
    beyond = special.ndtr((nodes - limit) / deviation)
    if sides == 2:
        beyond = beyond + special.ndtr((-nodes - limit) / deviation)
    return math.log(max(float(weights @ beyond), TINY / 10) / probability)


def _advance(
    nodes: NDArray[np.float64],
    weights: NDArray[np.float64],
    deviation: float,
    low: float,
    high: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the measure after a normal step, on Gauss-Legendre nodes in an interval.

    Paths that end outside of the interval are left out.
    """
    new = low + (high - low) * (UNIT_NODES + 1) / 2
    density = np.exp(-(((new[:, None] - nodes) / deviation) ** 2) / 2)
    scale = (high - low) / 2 / (deviation * math.sqrt(2 * math.pi))
    return new, scale * UNIT_WEIGHTS * (density @ weights)
