"""Pooling: the lecture's examples, and NumPy over random geometries."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax.errors import UserError
from cnn_jax.layers import AvgPool, Flatten, GlobalAvgPool, MaxPool

IMAGE = [[1, 4, 6, 3], [1, 8, 9, 7], [2, 9, 1, 2], [3, 4, 4, 3]]


def apply(module, x):
    return np.array(module.apply({}, jnp.asarray(x, jnp.float32)))


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        (MaxPool(2), [[8, 9], [9, 4]]),
        (MaxPool(2, strides=2), [[8, 9], [9, 4]]),
        (AvgPool(2), [[3.5, 6.25], [4.5, 2.5]]),
    ],
)
def test_lecture_pooling(pool, expected):
    y = apply(pool, np.array(IMAGE)[None, :, :, None])
    assert y[0, :, :, 0].tolist() == expected


@st.composite
def geometries(draw):
    rank = draw(st.integers(1, 3))
    window = tuple(draw(st.integers(1, 3)) for _ in range(rank))
    strides = draw(st.one_of(st.none(), st.tuples(*[st.integers(1, 3)] * rank)))
    padding = tuple(
        (draw(st.integers(0, f - 1)), draw(st.integers(0, f - 1))) for f in window
    )
    space = tuple(f + draw(st.integers(0, 4)) for f in window)
    return space, window, strides, padding


def windows(x, window, strides, padding, fill):
    """Every window of `x` padded with `fill`: (batch, *out, channels, *window)."""
    rank = len(window)
    x = np.pad(x, [(0, 0), *padding, (0, 0)], constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(x, window, range(1, rank + 1))
    return view[(slice(None), *(slice(None, None, s) for s in strides or window))]


@settings(max_examples=20, deadline=None)
@given(geometries(), st.integers(0, 2**16))
def test_matches_numpy(geometry, seed):
    space, window, strides, padding = geometry
    x = np.random.default_rng(seed).standard_normal((2, *space, 3))
    axes = tuple(range(-len(window), 0))
    args = (window, strides, padding)

    y = apply(MaxPool(*args), x)
    expected = windows(x, *args, -np.inf).max(axes)
    np.testing.assert_allclose(y, expected, rtol=1e-6)

    y = apply(AvgPool(*args), x)
    expected = windows(x, *args, 0).mean(axes)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)

    y = apply(AvgPool(*args, count_include_pad=False), x)
    expected = np.nanmean(windows(x, *args, np.nan), axes)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


def test_maps_to_vectors():
    x = np.arange(24.0).reshape(1, 2, 3, 4)
    assert apply(GlobalAvgPool(), x).tolist() == [[10, 11, 12, 13]]
    assert apply(Flatten(), x).tolist() == [list(range(24))]
    video = apply(GlobalAvgPool(), x.reshape(1, 2, 3, 2, 2))
    assert video.tolist() == [[11, 12]]


@pytest.mark.parametrize("pool", [AvgPool(64), GlobalAvgPool()])
def test_means_accumulate_in_float32(pool):
    # In bfloat16 a sum of ones stops at 256.
    y = pool.apply({}, jnp.ones((1, 64, 64, 1), jnp.bfloat16))
    assert y.dtype == jnp.bfloat16
    assert y.item() == 1


def test_bad_geometry():
    x = np.ones((1, 4, 4, 1))
    with pytest.raises(UserError, match="spans 5 does not fit into an input of 4"):
        apply(MaxPool(5), x)
    with pytest.raises(ValueError, match="not larger than padding"):
        apply(AvgPool(2, padding=2), x)
