"""Pooling: the lecture's examples, NumPy over random geometries, PyTorch's numbers."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cnn_jax.core.errors import UserError
from cnn_jax.layers import (
    AdaptiveAvgPool,
    AdaptiveMaxPool,
    AvgPool,
    Flatten,
    GlobalAvgPool,
    LpPool,
    MaxPool,
    SpatialPyramidPool,
)

IMAGE = [[1, 4, 6, 3], [1, 8, 9, 7], [2, 9, 1, 2], [3, 4, 4, 3]]


def apply(module, x):
    # One compilation rather than one for each operation.
    run = jax.jit(lambda x: module.apply({}, x))
    return np.array(run(jnp.asarray(x, jnp.float32)))


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
    """(space, window, strides, padding, dilation, ceil_mode)"""
    rank = draw(st.integers(1, 3))

    def sizes(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(rank))

    window = sizes(1, 3)
    strides = draw(st.one_of(st.none(), st.tuples(*[st.integers(1, 3)] * rank)))
    dilation = sizes(1, 2) if draw(st.booleans()) else (1,) * rank
    extents = [d * (f - 1) + 1 for f, d in zip(window, dilation, strict=True)]
    padding = tuple(
        (draw(st.integers(0, f - 1)), draw(st.integers(0, f - 1))) for f in extents
    )
    space = tuple(
        max(f - sum(pair), 1) + draw(st.integers(0, 4))
        for f, pair in zip(extents, padding, strict=True)
    )
    return space, window, strides, padding, dilation, draw(st.booleans())


PADDING, BEYOND = -1, -2


def sources(shape, window, strides, padding, dilation, ceil_mode):
    """Returns the source of each value of each window.

    The shape is (batch, *out, channels, *window). A source is an index into the flat
    input, PADDING, or BEYOND (added by ceil mode).
    """
    index = np.arange(np.prod(shape)).reshape(shape)
    rank = len(window)
    strides = window if strides is None else strides
    for k in reversed(range(rank)):
        f, s, d, (before, after) = window[k], strides[k], dilation[k], *padding[k:][:1]
        n, axis = shape[1 + k], 1 + k
        reach = d * (f - 1)
        starts = list(range(-before, n + after - reach, s))
        # One more window, if some of the padded input is left behind the last one
        # and the next would start before the end of the input (PyTorch's rule).
        following = starts[-1] + s
        if ceil_mode and starts[-1] + reach < n + after - 1 and following < n:
            starts.append(following)
        width = [(0, 0)] * index.ndim
        width[axis] = (before, after)
        # What lies beyond in one dimension counts as that in all others' padding too.
        beyond = np.pad(index == BEYOND, width, mode="edge")
        index = np.pad(index, width, constant_values=PADDING)
        index[beyond] = BEYOND
        width[axis] = (0, s + reach)
        index = np.pad(index, width, constant_values=BEYOND)
        places = np.add.outer(np.array(starts) + before, d * np.arange(f))
        index = np.moveaxis(np.take(index, places, axis), axis + 1, -1)
    # The windows' axes were added in reverse.
    return index.transpose(*range(rank + 2), *reversed(range(rank + 2, 2 * rank + 2)))


def reference(x, index, g):
    """Values and gradients (of sum(g * y)) of each kind, from definitions."""
    flat = index.reshape(*index.shape[: x.ndim], -1)
    inside = flat >= 0
    values = np.where(inside, x.reshape(-1)[flat], 0)

    def scatter(parts):
        gradient = np.zeros(x.size)
        np.add.at(gradient, flat[inside], parts[inside])
        return gradient.reshape(x.shape)

    peak = np.where(inside, values, -np.inf)
    first = np.arange(flat.shape[-1]) == peak.argmax(-1)[..., None]
    result = {"max": (peak.max(-1), scatter(first * g[..., None]))}
    for kind, counted in (("avg", flat != BEYOND), ("avg of the input", inside)):
        count = counted.sum(-1)
        mean = values.sum(-1) / count
        result[kind] = mean, scatter(inside * (g / count)[..., None])
    for p in (1.0, 2.0, 3.5):
        norm = (np.abs(values) ** p).sum(-1) ** (1 / p)
        slope = np.sign(values) * (np.abs(values) / norm[..., None]) ** (p - 1)
        result[f"l{p}"] = norm, scatter(slope * g[..., None])
    return result


@settings(max_examples=12, deadline=None)
@given(geometries(), st.integers(0, 2**16))
def test_values_and_gradients_match_numpy(geometry, seed):
    space, *args = geometry
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((2, *space, 2))
    index = sources(x.shape, *args)
    axes = tuple(range(x.ndim, index.ndim))
    # Dilated windows can miss a small input altogether.
    assume((index >= 0).any(axes).all())
    g = rng.standard_normal(index.shape[: x.ndim])
    pools = {
        "max": MaxPool(*args),
        "avg": AvgPool(*args),
        "avg of the input": AvgPool(*args, count_include_pad=False),
        **{f"l{p}": LpPool(*args, p=p) for p in (1.0, 2.0, 3.5)},
    }

    @jax.jit
    def run(x, g):
        results = {}
        for kind, pool in pools.items():
            y, back = jax.vjp(lambda x, pool=pool: pool.apply({}, x), x)
            results[kind] = y, back(g)[0]
        return results

    results = run(jnp.asarray(x, jnp.float32), jnp.asarray(g, jnp.float32))
    for kind, expected in reference(x, index, g).items():
        for array, wanted in zip(results[kind], expected, strict=True):
            np.testing.assert_allclose(
                array, wanted, rtol=1e-4, atol=1e-5, err_msg=kind
            )


# An image of 7x9 pixels, and what PyTorch 2.13 makes of it in float64.
ROW, COLUMN = np.arange(7)[:, None], np.arange(9)
PIXELS = (7 * ROW**2 + 3 * COLUMN**2 + 5 * ROW * COLUMN) % 23 - 11
PYTORCH = {
    "max_pool2d(x, 3, 2, 1, 2, ceil_mode=True)": (
        MaxPool(3, 2, 1, 2, ceil_mode=True),
        [[9, 9, 9, 5], [9, 9, 9, 5], [9, 9, 9, 5]],
    ),
    "max_pool2d(x, 2, 3, 1, 1, ceil_mode=True)": (
        MaxPool(2, 3, 1, ceil_mode=True),
        [[-11, 1, 5, -3], [6, 9, 4, -4], [11, -4, 8, 6]],
    ),
    "max_pool2d(x, 2, 3, 1, 3, ceil_mode=True)": (
        MaxPool(2, 3, 1, 3, ceil_mode=True),
        [[3, 4, 4, -10], [3, 4, 4, 4], [-4, -4, 4, 4]],
    ),
    "avg_pool2d(x, (3, 2), (2, 3), (1, 1), ceil_mode=True)": (
        AvgPool((3, 2), (2, 3), 1, ceil_mode=True),
        [
            [-2.5, -3.166667, 0.0, -0.833333],
            [-0.666667, 1.0, -0.5, -2.666667],
            [3.0, -1.166667, 0.5, -1.166667],
            [2.333333, -5.5, 1.666667, 1.666667],
        ],
    ),
    "the same with count_include_pad=False": (
        AvgPool((3, 2), (2, 3), 1, ceil_mode=True, count_include_pad=False),
        [
            [-7.5, -4.75, 0.0, -2.5],
            [-1.333333, 1.0, -0.5, -5.333333],
            [6.0, -1.166667, 0.5, -2.333333],
            [7.0, -8.25, 2.5, 5.0],
        ],
    ),
    "lp_pool2d(x, 2, 3, 2)": (
        LpPool(3, 2, p=2.0),
        [
            [18.35756, 19.467922, 17.464249, 14.525839],
            [19.0, 17.349352, 14.21267, 16.552945],
            [22.825424, 22.427661, 17.058722, 15.231546],
        ],
    ),
    "lp_pool2d(x.abs(), 3, 2, 3)": (
        LpPool(2, 3, p=3.0),
        [[12.538018, 11.955856, 7.447034], [11.876039, 9.263797, 8.051748]],
    ),
    "adaptive_avg_pool2d(x, (3, 4))": (
        AdaptiveAvgPool((3, 4)),
        [
            [-2.111111, -3.888889, -2.111111, -1.888889],
            [2.555556, 0.333333, -0.888889, -1.111111],
            [1.888889, -5.888889, 0.111111, 2.0],
        ],
    ),
    "adaptive_avg_pool2d(x, (8, 2))": (
        AdaptiveAvgPool((8, 2)),
        [
            [-6.8, -2.8],
            [-5.2, -2.7],
            [-1.9, -2.4],
            [1.6, -1.9],
            [3.0, -1.2],
            [0.0, -0.3],
            [-2.8, 0.8],
            [-3.0, 1.4],
        ],
    ),
    "adaptive_max_pool2d(x, (4, 5))": (
        AdaptiveMaxPool((4, 5)),
        [[4, 4, 4, 5, -2], [7, 9, 9, 5, 5], [9, 9, 9, 8, 5], [11, 8, 6, 8, 6]],
    ),
}


@pytest.mark.parametrize("call", PYTORCH)
def test_matches_pytorch(call):
    pool, expected = PYTORCH[call]
    y = apply(pool, PIXELS[None, :, :, None])[0, :, :, 0]
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_gradient_of_a_norm_of_zeros_is_zero():
    pool = LpPool(2, p=2.0)
    x = jnp.zeros((1, 4, 4, 1)).at[0, 0, 0, 0].set(-3)
    gradient = jax.grad(lambda x: pool.apply({}, x).sum())(x)
    np.testing.assert_array_equal(gradient, jnp.zeros_like(x).at[0, 0, 0, 0].set(-1))


@pytest.mark.parametrize(
    ("value", "p"),
    [(10.0, 64.0), (0.1, 64.0), (1e5, 8.0), (1e-23, 2.0), (1e30, 2.0), (3.0, 1e4)],
)
@pytest.mark.parametrize("dilation", [1, 2])
def test_powers_neither_overflow_nor_vanish(value, p, dilation):
    x = value * np.array([[1, 0.5, 1], [0.25, 1, 0.75], [1, 0, 1]])[None, :, :, None]
    pool = LpPool(2, 1, dilation=dilation, p=p)
    y, back = jax.vjp(lambda x: pool.apply({}, x), jnp.asarray(x, jnp.float32))
    taps = slice(None, None, dilation)
    expected, slope = [], np.zeros((3, 3))
    for i, j in np.ndindex(y.shape[1:3]):
        part = x[0, i : i + dilation + 1, j : j + dilation + 1, 0][taps, taps]
        norm = part.max() * ((part / part.max()) ** p).sum() ** (1 / p)
        slope[i : i + dilation + 1, j : j + dilation + 1][taps, taps] += (
            part / norm
        ) ** (p - 1)
        expected.append(norm)
    np.testing.assert_allclose(y.ravel(), expected, rtol=1e-5)
    (gradient,) = back(jnp.ones_like(y))
    np.testing.assert_allclose(gradient[0, ..., 0], slope, rtol=1e-3, atol=1e-6)


def test_norm_does_not_hide_what_is_not_finite():
    x = np.array([[1, np.inf], [np.nan, 2], [0, 0]]).reshape(1, 6, 1)
    y = apply(LpPool(2, p=2.0), x)[0, :, 0]
    np.testing.assert_array_equal(y, [np.inf, np.nan, 0])


@pytest.mark.parametrize(
    "pool",
    [MaxPool, AvgPool, partial(AvgPool, count_include_pad=False), LpPool],
)
def test_windows_that_hold_padding_alone_are_zero(pool):
    # The gap of the window lies over the only pixel.
    layer = pool(2, 1, 1, 2)
    x = jnp.full((1, 1, 1, 1), -3.0)
    y, back = jax.vjp(lambda x: layer.apply({}, x), x)
    assert y.item() == 0
    assert back(y + 1)[0].item() == 0
    # Of those along one dimension, the middle one.
    row = jnp.full((1, 1, 1), -3.0)
    y = pool((2,), (1,), ((2, 2),), (2,)).apply({}, row)
    assert (np.array(y[0, :, 0]) == 0).tolist() == [False, True, False]


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32"])
def test_maxima_of_integers_are_integers(dtype):
    low = np.iinfo(dtype).min
    x = jnp.asarray(np.array([[1, 5], [low, 7]]).reshape(1, 2, 2, 1), dtype)
    for pool in (MaxPool(2), MaxPool(2, 1, 0, 1), AdaptiveMaxPool(1), MaxPool(1, 2)):
        y = pool.apply({}, x)
        assert y.dtype == dtype
        assert y.item() == (1 if pool == MaxPool(1, 2) else 7)
    y = MaxPool(2, 1, 1, 2).apply({}, x)
    assert y.dtype == dtype
    assert y[0, ..., 0].tolist() == [[7, low], [5, 1]]
    assert SpatialPyramidPool((1,)).apply({}, x).tolist() == [[7]]


@pytest.mark.parametrize("pool", [AvgPool(2), AdaptiveAvgPool(1), GlobalAvgPool()])
def test_means_of_integers_are_not_rounded(pool):
    x = jnp.asarray([[255, 255], [255, 0]], jnp.uint8).reshape(1, 2, 2, 1)
    y = pool.apply({}, x)
    assert y.dtype == jnp.float32
    assert y.item() == 191.25
    norm = LpPool(2, p=2.0).apply({}, x)
    assert norm.dtype == jnp.float32
    assert norm.item() == pytest.approx(255 * 3**0.5)


def test_maps_to_vectors():
    x = np.arange(24.0).reshape(1, 2, 3, 4)
    assert apply(GlobalAvgPool(), x).tolist() == [[10, 11, 12, 13]]
    assert apply(Flatten(), x).tolist() == [list(range(24))]
    video = apply(GlobalAvgPool(), x.reshape(1, 2, 3, 2, 2))
    assert video.tolist() == [[11, 12]]


@pytest.mark.parametrize("pool", [AvgPool(64), AdaptiveAvgPool(1), GlobalAvgPool()])
def test_means_accumulate_in_float32(pool):
    # In bfloat16 a sum of ones stops at 256.
    y = pool.apply({}, jnp.ones((1, 64, 64, 1), jnp.bfloat16))
    assert y.dtype == jnp.bfloat16
    assert (y == 1).all()


@pytest.mark.parametrize(
    "pool", [AdaptiveMaxPool(2), MaxPool(2), MaxPool(2, dilation=2), LpPool(2, p=2.0)]
)
def test_keeps_the_dtype(pool):
    x = jnp.full((1, 64, 64, 1), 3, jnp.bfloat16)
    y = pool.apply({}, x)
    assert y.dtype == jnp.bfloat16
    assert (y == (6 if isinstance(pool, LpPool) else 3)).all()


@pytest.mark.parametrize("dilation", [1, 2])
def test_maximum_of_negative_values_is_not_the_padding(dilation):
    x = -1 - np.arange(16.0).reshape(1, 4, 4, 1)
    y = apply(MaxPool(3, 1, dilation, dilation), x)
    assert y.max() == -1
    assert y.shape == x.shape


@pytest.mark.parametrize(
    ("pool", "message"),
    [
        (MaxPool(5), "spans 5 does not fit into an input of 4"),
        (AvgPool(2, padding=2), "padding .* too large for the pooling window"),
        (LpPool(2, p=0.5), r"p=0\.5 of Lp pooling must be at least 1"),
        (LpPool(2, p=float("inf")), "p=inf is max pooling"),
        (MaxPool(0), "window=0: each number must be an integer of at least 1"),
        (AvgPool(2, 0), "strides=0: .* at least 1"),
        (LpPool(2, dilation=0, p=2.0), "dilation=0: .* at least 1"),
        (MaxPool(2, padding=-1), "padding=-1: .* at least 0"),
        (MaxPool((2, 2, 2)), r"window=\(2, 2, 2\) has 3 entries where 2 are needed"),
        (AdaptiveAvgPool((2, 0)), r"output_size=\(2, 0\): .* at least 1"),
        (AdaptiveMaxPool((2,)), r"output_size=\(2,\) has 1 entries"),
        (SpatialPyramidPool((0,)), "output_size=0: .* at least 1"),
        (SpatialPyramidPool(()), "at least one"),
    ],
)
def test_bad_geometry(pool, message):
    x = np.ones((1, 4, 4, 1))
    with pytest.raises(UserError, match=f"^{type(pool).__name__}: .*{message}"):
        apply(pool, x)
    with pytest.raises(UserError, match=f"^layers_0: .*{message}"):
        apply(nn.Sequential([pool]), x)
    with pytest.raises(UserError, match=f"^{type(pool).__name__}: .*{message}"):
        pool(jnp.asarray(x))  # it has no parameters, so it needs no `apply`
