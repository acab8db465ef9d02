"""Inception blocks: what each branch sees, and what auxiliary heads are given."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import layers


def ones(module, x):
    """Variables of ones, without compiling."""
    shapes = jax.eval_shape(lambda x: module.init(jax.random.key(0), x), x)
    return jax.tree.map(lambda leaf: jnp.ones(leaf.shape, leaf.dtype), shapes)


def one_channel(features, *args, **kwargs):
    """A convolution to one channel, so that each branch makes one."""
    return layers.ConvUnit(1, *args, **kwargs)


# Height and width of the window that each branch sees, in the order of the channels:
# figures 2b of Szegedy et al. 2015, and 5, 6, 7 and 10 of Szegedy et al. 2016.
WINDOWS = {
    layers.InceptionV1: [(1, 1), (3, 3), (5, 5), (3, 3)],
    layers.InceptionA: [(1, 1), (5, 5), (5, 5), (3, 3)],
    layers.InceptionB: [(3, 3), (5, 5), (3, 3)],
    layers.InceptionC: [(1, 1), (7, 7), (13, 13), (3, 3)],
    layers.InceptionD: [(3, 3), (9, 9), (3, 3)],
    layers.InceptionE: [(1, 1), (1, 3), (3, 1), (3, 5), (5, 3), (3, 3)],
}
REDUCTIONS = (layers.InceptionB, layers.InceptionD)


@pytest.mark.parametrize("dilation", [pytest.param(1, marks=pytest.mark.full), 2])
@pytest.mark.parametrize("kind", WINDOWS)
def test_windows_of_the_branches(kind, dilation):
    # A value that is no number shows in every output whose window it is in.
    size, center = 29, 14
    x = jnp.zeros((1, size, size, 1)).at[0, center, center].set(jnp.nan)
    attributes = {"strides": 1} if kind in REDUCTIONS else {}
    block = kind(one_channel, dilation, **attributes)
    y = np.isnan(jax.jit(block.apply)(ones(block, x), x))[0]

    lost = dilation if kind in REDUCTIONS else 0  # no padding
    expected = np.zeros((size, size, len(WINDOWS[kind])), bool)
    for i, (height, width) in enumerate(WINDOWS[kind]):
        rows = center + dilation * np.arange(-(height // 2), height // 2 + 1)
        columns = center + dilation * np.arange(-(width // 2), width // 2 + 1)
        expected[np.ix_(rows, columns, [i])] = True
    np.testing.assert_array_equal(
        y, expected[lost : size - lost, lost : size - lost], kind.__name__
    )


@pytest.mark.parametrize(
    ("kind", "attributes", "channels", "expected"),
    [
        # Szegedy et al. 2015, table 1; Szegedy et al. 2016, table 1.
        (layers.InceptionV1, {}, 192, (1, 17, 17, 256)),
        (layers.InceptionA, {"pool_features": 32}, 192, (1, 17, 17, 256)),
        (layers.InceptionB, {}, 288, (1, 8, 8, 768)),
        (layers.InceptionC, {}, 768, (1, 17, 17, 768)),
        (layers.InceptionD, {}, 768, (1, 8, 8, 1280)),
        (layers.InceptionE, {}, 1280, (1, 17, 17, 2048)),
    ],
)
def test_shapes(kind, attributes, channels, expected):
    block = kind(layers.ConvUnit, **attributes)
    x = jnp.zeros((1, 17, 17, channels))
    y, _ = jax.eval_shape(lambda x: block.init_with_output(jax.random.key(0), x), x)
    assert y.shape == expected


def test_the_5x5_branch_may_be_3x3():
    block = layers.InceptionV1(layers.ConvUnit, kernel5x5=3)
    params = ones(block, jnp.zeros((1, 7, 7, 2)))["params"]
    assert params["branch5x5"]["conv"]["kernel"].shape == (3, 3, 16, 32)


def test_unit_with_and_without_normalization():
    x = jnp.zeros((2, 5, 5, 3))
    plain = ones(layers.ConvUnit(4, 3), x)
    assert jax.tree.map(jnp.shape, plain) == {
        "params": {"conv": {"kernel": (3, 3, 3, 4), "bias": (4,)}}
    }
    unit = layers.ConvUnit(4, 3, norm=layers.batch_norm(False))
    normalized = ones(unit, x)
    assert jax.tree.map(jnp.shape, normalized["params"]) == {
        "conv": {"kernel": (3, 3, 3, 4)},
        "norm": {"scale": (4,), "bias": (4,)},
    }
    # Ones everywhere: (27 - 1) / sqrt(1 + epsilon) + 1 in the middle; ReLU cuts -27.
    y = jax.jit(lambda x: unit.apply(normalized, x))(x + 1)
    np.testing.assert_allclose(y[:, 2, 2], 27, rtol=1e-5)
    y = jax.jit(lambda x: unit.apply(normalized, x))(x - 1)
    np.testing.assert_array_equal(y, 0)


@pytest.mark.parametrize(("size", "cells"), [(14, 4), (15, 4), (17, 5), (20, 5)])
def test_auxiliary_pool_of_a_published_map(size, cells):
    x = jax.random.normal(jax.random.key(0), (1, size, size, 2))
    y = layers.AuxiliaryPool(cells).apply({}, x)
    expected = layers.avg_pool(x, 5, 3)
    assert min(y.shape[1:3]) >= cells
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("size", [(13, 20), (4, 4), (1, 2)])
def test_auxiliary_pool_of_a_small_map(size):
    x = jax.random.normal(jax.random.key(0), (1, *size, 2))
    y = layers.AuxiliaryPool(4).apply({}, x)
    assert y.shape == (1, 4, 4, 2)
    np.testing.assert_array_equal(y, layers.adaptive_avg_pool(x, 4))


def test_auxiliary_pool_without_windows_and_of_a_dilated_map():
    x = jax.random.normal(jax.random.key(0), (1, 31, 30, 2))
    grid = layers.AuxiliaryPool(4, windows=False).apply({}, x)
    np.testing.assert_array_equal(grid, layers.adaptive_avg_pool(x, 4))
    dilated = layers.AuxiliaryPool(4, 2).apply({}, x)
    np.testing.assert_array_equal(dilated, layers.avg_pool(x[:, ::2, ::2], 5, 3))
