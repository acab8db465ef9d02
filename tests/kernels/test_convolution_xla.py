"""A convolution by XLA against SciPy's, and its gradients as its adjoints."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnn_jax.kernels import convolution_xla
from cnn_jax.layers import arithmetic


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data(), seed=st.integers(0, 2**16))
def test_convolution_is_scipys_and_gradients_are_its_adjoints(
    geometries, integers, correlation, data, seed
):
    """With whole numbers, <g, x * w> = <input gradient, x> = <filter gradient, w>."""
    g = data.draw(geometries())
    x = integers(seed, 2, *g.space, g.channels)
    kernel = integers(seed + 1, *g.kernel_shape())
    y = convolution_xla.convolution(jnp.asarray(x), jnp.asarray(kernel), **g.arguments)
    np.testing.assert_array_equal(y, correlation(x, kernel, **g.arguments))
    gradient = integers(seed + 2, *y.shape)
    product = np.vdot(gradient, y)
    of_input = convolution_xla.input_gradient(
        jnp.asarray(gradient), jnp.asarray(kernel), size=g.space, **g.arguments
    )
    of_kernel = convolution_xla.filter_gradient(
        jnp.asarray(x), jnp.asarray(gradient), window=g.window, **g.arguments
    )
    assert of_input.shape == x.shape and of_kernel.shape == kernel.shape
    assert np.vdot(of_input, x) == np.vdot(of_kernel, kernel) == product


@settings(max_examples=30, deadline=None)
@given(*[st.integers(1, high) for high in (12, 4, 3, 3)], *[st.integers(0, 3)] * 2)
def test_output_sizes_are_those_of_arithmetic(size, f, s, d, before, after):
    if size + before + after < d * (f - 1) + 1:
        return
    (found,) = convolution_xla.output_size(
        (size,), (f,), (s,), ((before, after),), (d,)
    )
    padding = (before, after)
    assert found == arithmetic.output_size(
        size, f, stride=s, padding=padding, dilation=d
    )


@pytest.mark.parametrize("padding", [((-1, 0),), ((2, -1),), ((-2, 3),), ((0, -2),)])
def test_negative_padding_cuts_the_input_off(padding, integers):
    """XLA's convolution on the CPU would read what lies behind the image."""
    x, kernel = integers(0, 2, 9, 3), integers(1, 2, 3, 4)
    ((before, after),) = padding
    whole = np.pad(x, ((0, 0), (max(before, 0), max(after, 0)), (0, 0)))
    cut = whole[:, max(-before, 0) : whole.shape[1] - max(-after, 0)]
    rest = {"strides": (1,), "dilation": (1,), "groups": 1}
    found, expected = (
        convolution_xla.convolution(
            jnp.asarray(x_), jnp.asarray(kernel), padding=pairs, **rest
        )
        for x_, pairs in ((x, padding), (cut, ((0, 0),)))
    )
    np.testing.assert_array_equal(found, expected)


def test_padding_that_is_not_negative_is_left_to_xla():
    x, padding = jnp.ones((1, 4, 1)), ((0, 2),)
    same, pairs = convolution_xla.without_negative(x, padding)
    assert same is x and pairs == padding


@pytest.mark.parametrize("padding", [(4, 0), (0, 3), (2, 5)])
def test_an_input_gradient_with_padding_beyond_the_window(padding, integers):
    """A window that lies in the padding has no part in the input gradient."""
    x, kernel = integers(0, 3, 9, 2), integers(1, 2, 2, 4)
    given = {"strides": (1,), "dilation": (1,), "groups": 1, "padding": (padding,)}
    y = convolution_xla.convolution(jnp.asarray(x), jnp.asarray(kernel), **given)
    gradient = integers(2, *y.shape)
    found = convolution_xla.input_gradient(
        jnp.asarray(gradient), jnp.asarray(kernel), size=(9,), **given
    )
    assert np.vdot(found, x) == np.vdot(gradient, y)
