"""The contents of windows, and operations over them."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from cnn_jax.kernels import windows

GEOMETRIES = [
    ((5,), (2,), (1,), (1,), ((0, 0),)),
    ((9,), (3,), (2,), (2,), ((1, 2),)),
    ((5, 6), (2, 3), (2, 1), (1, 1), ((1, 0), (0, 2))),
    ((7, 6), (2, 2), (3, 1), (2, 3), ((0, 0), (1, 1))),
]


def held(x, window, strides, dilation):
    """Returns the contents of each window over a padded image, from a loop."""
    extent = [(f - 1) * d + 1 for f, d in zip(window, dilation, strict=True)]
    out = [
        (n - e) // s + 1 for n, e, s in zip(x.shape[1:-1], extent, strides, strict=True)
    ]
    rows = np.empty((*out, *window, len(x), x.shape[-1]))
    for place in np.ndindex(*out):
        region = tuple(
            slice(i * s, i * s + e, d)
            for i, s, e, d in zip(place, strides, extent, dilation, strict=True)
        )
        rows[place] = np.moveaxis(x[:, *region], 0, -2)
    return rows


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_taps_are_what_stands_at_each_place(geometry):
    size, window, strides, dilation, _ = geometry
    x = np.random.default_rng(0).standard_normal((2, *size, 3)).astype(np.float32)
    expected = held(x, window, strides, dilation)
    rank = len(size)
    taps = windows.taps(jnp.asarray(x), window, strides, dilation)
    assert len(taps) == np.prod(window)
    for place, tap in zip(np.ndindex(*window), taps, strict=True):
        there = expected[(slice(None),) * rank + place]
        np.testing.assert_array_equal(tap, np.moveaxis(there, -2, 0))


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize(
    ("operation", "start", "reduce"),
    [(lax.max, -np.inf, np.max), (lax.add, 0.0, np.sum)],
)
def test_windows_are_reduced(geometry, operation, start, reduce):
    """With and without dilation."""
    size, window, strides, dilation, pairs = geometry
    rng = np.random.default_rng(0)
    x = rng.integers(-9, 10, (2, *size, 3)).astype(np.float32)
    padded = np.pad(x, [(0, 0), *pairs, (0, 0)], constant_values=start)
    rank = len(size)
    axes = tuple(range(rank, 2 * rank))
    expected = reduce(held(padded, window, strides, dilation), axes)
    found = windows.reduce_windows(
        jnp.asarray(x), start, operation, window, strides, dilation, pairs
    )
    np.testing.assert_array_equal(found, np.moveaxis(expected, -2, 0))
