"""Levels of t-tests at several looks, against simulation and z-statistics."""

import numpy as np
import pytest
from scipy import special

from cnn_jax.sweeps.statistics.boundaries import boundaries
from cnn_jax.sweeps.statistics.t_levels import t_levels


def rejected(looks, levels, sides, sweeps=100_000):
    """The share of simulated sweeps without an effect that a look rejects."""
    values = np.random.default_rng(0).standard_normal((sweeps, looks[-1]))
    sums, squares = values.cumsum(1), np.square(values).cumsum(1)
    hit = np.zeros(sweeps, bool)
    for n, level in zip(looks, levels, strict=True):
        mean = sums[:, n - 1] / n
        error = np.sqrt((squares[:, n - 1] / n - mean**2) / (n - 1))
        t = np.abs(mean / error) if sides == 2 else mean / error
        hit |= sides * special.stdtr(n - 1, -t) <= level
    return hit.mean()


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("looks", [[2, 3, 4], [3, 5, 6], [3, 4, 5, 6, 7, 8, 9, 10]])
def test_all_looks_together_have_the_level(looks, sides):
    levels = t_levels(looks, looks[-1], 0.05, sides)
    # Three standard errors; the levels of z-statistics give about 0.055.
    assert rejected(looks, levels, sides) == pytest.approx(0.05, abs=0.0021)


def test_the_levels_of_z_statistics_would_reject_too_often():
    limits = np.array(boundaries([0.5, 5 / 6, 1.0], 0.05))
    assert rejected([3, 5, 6], 2 * special.ndtr(-limits), 2) > 0.0535


@pytest.mark.parametrize("sides", [1, 2])
def test_one_look_has_the_whole_level(sides):
    assert t_levels([7], 7, 0.01, sides) == pytest.approx([0.01])


def test_with_many_seeds_the_levels_are_those_of_z_statistics():
    expected = 2 * special.ndtr(-np.array(boundaries([0.5, 0.75, 1.0], 0.05)))
    assert t_levels([60, 90, 120], 120, 0.05, 2) == pytest.approx(expected, rel=0.02)
