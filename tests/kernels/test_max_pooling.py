"""The largest value of each window, spelled out, against XLA's `reduce_window`."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from cnn_jax.kernels import max_pooling
from cnn_jax.kernels.windows import reduce_windows

GEOMETRIES = {
    "touching": ((2, 2), (2, 2), (1, 1), ((0, 0), (0, 0))),
    "overlapping": ((3, 3), (2, 1), (1, 1), ((1, 1), (1, 0))),
    "dilated": ((2, 3), (1, 1), (2, 1), ((1, 1), (1, 1))),
}


def reference(x, window, strides, dilation, padding):
    return reduce_windows(x, -np.inf, lax.max, window, strides, dilation, padding)


@pytest.fixture(params=GEOMETRIES.values(), ids=GEOMETRIES)
def geometry(request):
    return request.param


@pytest.fixture
def maps():
    """Few different values, so that most windows have several largest ones."""
    values = np.random.default_rng(0).integers(-2, 3, (2, 6, 7, 3))
    return jnp.asarray(values, jnp.float32)


def weighted(function, geometry, x):
    """Each window counts differently, and no derivative is zero."""
    y = function(x, *geometry)
    return jnp.sum(jnp.arange(y.size).reshape(y.shape) * y**3)


def test_value_and_gradient(geometry, maps):
    found, expected = (
        jax.value_and_grad(partial(weighted, f, geometry))(maps)
        for f in (max_pooling.window_max, reference)
    )
    np.testing.assert_array_equal(found[0], expected[0])
    # XLA's maximum of dilated windows is not one operation, and shares among ties.
    if max(geometry[2]) == 1:
        np.testing.assert_array_equal(found[1], expected[1])


def test_further_derivatives(geometry):
    """Without ties: forward over backward, backward over backward, and forward."""
    values = np.random.default_rng(0).permutation(2 * 6 * 7 * 3).reshape(2, 6, 7, 3)
    x = jnp.asarray(values / 100, jnp.float32)

    def all_of(function):
        f = partial(weighted, function, geometry)
        product = lambda x: jnp.vdot(jax.grad(f)(x), jnp.cos(x))  # noqa: E731
        return (
            jax.jvp(f, (x,), (jnp.flip(x),))[1],
            jax.jvp(jax.grad(f), (x,), (jnp.flip(x),))[1],
            jax.grad(product)(x),
        )

    found, expected = (
        jax.jit(partial(all_of, f))() for f in (max_pooling.window_max, reference)
    )
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), found, expected)


def test_vmap_scan_and_bfloat16(geometry, maps):
    many = jnp.stack([maps, 2 * maps, maps[:, ::-1]]).astype(jnp.bfloat16)
    f = partial(weighted, max_pooling.window_max, geometry)
    one_by_one = [jax.value_and_grad(f)(x) for x in many]
    expected = jax.tree.map(lambda *parts: jnp.stack(parts), *one_by_one)
    assert expected[1].dtype == jnp.bfloat16
    mapped = jax.vmap(jax.value_and_grad(f))(many)
    scanned = lax.scan(lambda _, x: (None, jax.value_and_grad(f)(x)), None, many)[1]
    for found in (mapped, scanned):
        jax.tree.map(partial(np.testing.assert_allclose, rtol=0.02), found, expected)


def test_nan_and_minus_infinity():
    x = jnp.array([1.0, jnp.nan, -jnp.inf, -jnp.inf, 5.0, 2.0])[None, :, None]
    y = max_pooling.window_max(x, (2,), (2,), (1,), ((0, 0),))
    np.testing.assert_array_equal(y[0, :, 0], [jnp.nan, -jnp.inf, 5])
    gradient = jax.grad(
        lambda x: max_pooling.window_max(x, (2,), (2,), (1,), ((0, 0),)).sum()
    )
    np.testing.assert_array_equal(gradient(x)[0, :, 0], [0, 1, 1, 0, 1, 0])


@settings(deadline=None, max_examples=20)
@given(data=st.data())
def test_integers_and_large_windows_are_xlas(data):
    size = data.draw(st.integers(1, 40))
    window = data.draw(st.integers(1, size))
    x = jnp.asarray(np.random.default_rng(0).integers(-99, 99, (1, size, 2)))
    y = max_pooling.window_max(x, (window,), (1,), (1,), ((0, 0),))
    for start in range(size - window + 1):
        expected = x[0, start : start + window].max(axis=0)
        np.testing.assert_array_equal(y[0, start], expected)


def test_what_is_called():
    x, geometry = jnp.ones((1, 8, 8, 4)), GEOMETRIES["touching"]
    gradient = jax.jit(jax.grad(partial(weighted, max_pooling.window_max, geometry)))
    assert "reduce_window" not in gradient.lower(x).as_text()
    exported = jax.export.export(gradient, platforms=["cuda"])(x).mlir_module()
    assert "select_and_scatter" in exported
