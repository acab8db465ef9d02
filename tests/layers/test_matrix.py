"""Convolution as a matrix product: the lecture's example, NumPy's windows, SciPy."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax.core.errors import UserError
from cnn_jax.layers import convolve_as_matrix_product, im2col, patches

IMAGE = [
    [3, 0, 1, 2, 7, 4],
    [1, 5, 8, 9, 3, 1],
    [2, 7, 2, 5, 1, 3],
    [0, 1, 3, 1, 7, 8],
    [4, 2, 1, 6, 2, 8],
    [2, 4, 5, 2, 3, 9],
]
PLAIN = {"strides": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1)}


def test_lecture_example():
    image = jnp.array(IMAGE, jnp.float32)[None, :, :, None]
    columns = im2col(image, (3, 3), **PLAIN)
    assert columns.shape == (1, 9, 16)
    assert columns[0, :, 0].tolist() == [3, 0, 1, 1, 5, 8, 2, 7, 2]
    assert columns[0, :, 15].tolist() == [1, 7, 8, 6, 2, 8, 2, 3, 9]
    edge = jnp.array([1.0, 0, -1] * 3)
    assert (edge @ columns[0])[:4].tolist() == [-5, -4, 0, 8]


@settings(max_examples=15, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**16))
def test_matches_scipy(geometries, integers, correlation, data, seed):
    g = data.draw(geometries())
    x = integers(seed, 2, *g.space, g.channels)
    kernel = integers(seed + 1, *g.kernel_shape())
    product = partial(convolve_as_matrix_product, **g.arguments)
    y = jax.jit(product)(x, kernel)
    np.testing.assert_array_equal(y, correlation(x, kernel, **g.arguments))


@settings(max_examples=15, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**16))
def test_patches_are_numpys_sliding_windows(geometries, integers, data, seed):
    g = data.draw(geometries())
    x = integers(seed, 2, *g.space, g.channels)
    padded = np.pad(x, [(0, 0), *g.pairs, (0, 0)])
    extent = [(f - 1) * d + 1 for f, d in zip(g.window, g.dilation, strict=True)]
    axes = range(1, len(extent) + 1)
    view = np.lib.stride_tricks.sliding_window_view(padded, extent, axes)
    # (batch, *places, channels, *window)
    places = tuple(slice(None, None, s) for s in g.strides)
    taps = tuple(slice(None, None, d) for d in g.dilation)
    view = view[(slice(None), *places, slice(None), *taps)]
    view = view.reshape(*view.shape[: len(extent) + 2], -1)
    arguments = g.arguments
    del arguments["groups"]
    values = jax.jit(partial(patches, window=g.window, **arguments))(x)
    np.testing.assert_array_equal(values, view.swapaxes(-1, -2))


def test_defaults_are_those_of_a_convolution(integers):
    x = jnp.asarray(integers(0, 1, 5, 4, 2))
    padded = {"padding": ((1, 1), (1, 1)), "strides": (1, 1), "dilation": (1, 1)}
    for function in (patches, im2col):
        expected = function(x, (3, 3), **padded)
        np.testing.assert_array_equal(function(x, 3), expected)


def test_gradient_of_patches_counts_the_windows_over_each_pixel():
    counts = jax.grad(lambda x: patches(x, (3, 3), **PLAIN).sum())(
        jnp.zeros((1, 4, 4, 1))
    )
    assert counts[0, :, :, 0].tolist() == [
        [1, 2, 2, 1],
        [2, 4, 4, 2],
        [2, 4, 4, 2],
        [1, 2, 2, 1],
    ]


def test_window_that_does_not_fit():
    with pytest.raises(UserError, match="spans 3 does not fit into an input of 2"):
        patches(jnp.zeros((1, 4, 2, 1)), (3, 3), **PLAIN)
