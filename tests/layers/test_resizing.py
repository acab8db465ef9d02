"""Interpolation against SciPy's, at the places where half-pixel centers lie."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import RegularGridInterpolator

from cnn_jax import layers


@pytest.mark.full
@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 14)), min_size=1, max_size=3)
)
def test_it_is_scipys(pairs):
    before, after = zip(*pairs, strict=True)
    x = np.random.default_rng(0).standard_normal((2, *before, 3)).astype(np.float32)
    found = layers.resize_bilinear(jnp.asarray(x), size=after)
    assert found.shape == (2, *after, 3) and found.dtype == jnp.float32
    # The first and last values reach on, over the half pixels beside them.
    padded = np.pad(x, [(0, 0), *[(1, 1)] * len(before), (0, 0)], "edge")
    grid = [np.arange(-1, size + 1) for size in before]
    places = [
        (np.arange(m) + 0.5) * n / m - 0.5 for n, m in zip(before, after, strict=True)
    ]
    at = np.stack(np.meshgrid(*places, indexing="ij"), axis=-1)
    for example, ours in zip(padded, found, strict=True):
        theirs = RegularGridInterpolator(grid, example)(at)
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_pytorchs_values():
    """torch.nn.functional.interpolate(x, (4, 3), mode="bilinear") of [[0, 1], [2, 3]].

    With PyTorch's default, `align_corners=False`.
    """
    x = jnp.arange(4.0).reshape(1, 2, 2, 1)
    found = layers.resize_bilinear(x, size=(4, 3))[0, ..., 0]
    expected = [[0, 0.5, 1], [0.5, 1, 1.5], [1.5, 2, 2.5], [2, 2.5, 3]]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("size", [(6, 10), (12, 5)])
def test_the_module_is_the_function(size):
    x = jax.random.normal(jax.random.key(0), (2, 3, 5, 4))
    module = layers.Resize(size)
    assert module.init(jax.random.key(0), x) == {}
    np.testing.assert_array_equal(
        module.apply({}, x), layers.resize_bilinear(x, size=size)
    )


def test_a_constant_stays_and_so_does_the_size_it_has():
    x = jnp.full((1, 3, 4, 2), 7.0)
    np.testing.assert_allclose(layers.resize_bilinear(x, size=(11, 9)), 7, rtol=1e-6)
    x = jax.random.normal(jax.random.key(0), (1, 3, 4, 2))
    np.testing.assert_array_equal(layers.resize_bilinear(x, size=(3, 4)), x)
