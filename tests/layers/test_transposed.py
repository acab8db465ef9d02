"""Gradients of convolutions and the transposed convolution.

References: differentiation by JAX of another formulation, exact differences of SciPy's
convolution, and the transposed convolution as each input value adding the kernel.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax.core.errors import UserError
from cnn_jax.layers import (
    Conv,
    ConvTranspose,
    arithmetic,
    convolve,
    convolve_as_matrix_product,
    filter_gradient,
    input_gradient,
)


@settings(max_examples=10, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**16))
def test_gradients_are_convolutions(geometries, integers, correlation, data, seed):
    g = data.draw(geometries())
    x = integers(seed, 2, *g.space, g.channels)
    kernel = integers(seed + 1, *g.kernel_shape())
    y = correlation(x, kernel, **g.arguments)
    gradient = integers(seed + 2, *y.shape)

    @jax.jit  # as one program, which compiles faster than its parts
    def gradients(x, kernel, gradient):
        """Returns the gradients as convolutions, by JAX, and of the matrix product."""
        found = [
            (
                input_gradient(gradient, kernel, g.space, **g.arguments),
                filter_gradient(x, gradient, g.window, **g.arguments),
            )
        ]
        for formulation in (convolve, convolve_as_matrix_product):
            _, pullback = jax.vjp(partial(formulation, **g.arguments), x, kernel)
            found.append(pullback(gradient))
        return found

    (dx, dkernel), *others = gradients(x, kernel, gradient)
    for expected_dx, expected_dkernel in others:
        np.testing.assert_array_equal(dx, expected_dx)
        np.testing.assert_array_equal(dkernel, expected_dkernel)

    # A convolution is linear in each of its inputs: a step of 1 gives the derivative.
    place = np.unravel_index(seed % x.size, x.shape)
    step = np.zeros_like(x)
    step[place] = 1
    change = correlation(x + step, kernel, **g.arguments) - y
    assert dx[place] == (gradient * change).sum()
    place = np.unravel_index(seed % kernel.size, kernel.shape)
    step = np.zeros_like(kernel)
    step[place] = 1
    change = correlation(x, kernel + step, **g.arguments) - y
    assert dkernel[place] == (gradient * change).sum()


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"strides": 2},
        {"strides": (1, 2), "padding": 1, "dilation": 2, "groups": 2},
        {"padding": "VALID"},
        {"padding": (0, 2)},
    ],
)
def test_arguments_are_the_attributes_of_a_convolution(integers, attributes):
    conv = Conv(4, 3, use_bias=False, **attributes)
    x = integers(0, 1, 6, 7, 2)
    kernel = integers(1, 3, 3, 2 // attributes.get("groups", 1), 4)

    @jax.jit
    def both(x, kernel):
        y, pullback = jax.vjp(
            lambda x, kernel: conv.apply({"params": {"kernel": kernel}}, x), x, kernel
        )
        g = jnp.arange(1, y.size + 1, dtype=y.dtype).reshape(y.shape) % 7
        found = (
            convolve_as_matrix_product(x, kernel, **attributes),
            input_gradient(g, kernel, (6, 7), **attributes),
            filter_gradient(x, g, 3, **attributes),
        )
        return found, (y, *pullback(g))

    for ours, expected in zip(*both(x, kernel), strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_impossible_arguments(integers):
    x = jnp.asarray(integers(0, 1, 4, 4, 1))
    kernel = jnp.asarray(integers(1, 3, 3, 1, 1))
    for function in (
        lambda **bad: convolve_as_matrix_product(x, kernel, **bad),
        lambda **bad: input_gradient(x, kernel, (4, 4), **bad),
        lambda **bad: filter_gradient(x, x, 3, **bad),
    ):
        with pytest.raises(UserError, match="strides=0"):
            function(strides=0)
        with pytest.raises(UserError, match="padding 'same'"):
            function(padding="same")


def scattered(x, kernel, strides, pairs, dilation, groups, extra):
    """Each value of `x` adds the whole kernel, times itself, to the output."""
    *window, per_group, channels = kernel.shape
    batch, *space, _ = x.shape
    full = [
        (n - 1) * s + d * (f - 1) + 1 + more
        for n, s, d, f, more in zip(
            space, strides, dilation, window, extra, strict=True
        )
    ]
    y = np.zeros((batch, *full, groups * per_group))
    inputs = channels // groups
    for tap in np.ndindex(*window):
        places = tuple(
            slice(i * d, i * d + (n - 1) * s + 1, s)
            for i, d, n, s in zip(tap, dilation, space, strides, strict=True)
        )
        for group in range(groups):
            come = slice(group * inputs, (group + 1) * inputs)
            go = slice(group * per_group, (group + 1) * per_group)
            y[(slice(None), *places, go)] += x[..., come] @ kernel[tap][:, come].T
    inner = tuple(
        slice(before, length - after)
        for (before, after), length in zip(pairs, full, strict=True)
    )
    return y[(slice(None), *inner)]


@settings(max_examples=20, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**16))
def test_transposed_convolution(geometries, integers, data, seed):
    g = data.draw(geometries())
    extra = tuple(
        data.draw(st.integers(0, max(s, d) - 1))
        for s, d in zip(g.strides, g.dilation, strict=True)
    )
    layer = ConvTranspose(g.features, g.window, **g.attributes, output_padding=extra)
    x = integers(seed, 2, *g.space, g.channels)
    kernel = integers(seed + 1, *g.window, g.features // g.groups, g.channels)
    bias = integers(seed + 2, g.features)
    expected = scattered(x, kernel, g.strides, g.pairs, g.dilation, g.groups, extra)
    if 0 in expected.shape:
        with pytest.raises(UserError, match="leaves no output"):
            jax.eval_shape(layer.init, jax.random.key(0), x)
        return
    params = jax.eval_shape(layer.init, jax.random.key(0), x)["params"]
    assert params["kernel"].shape == kernel.shape
    y = jax.jit(layer.apply)({"params": {"kernel": kernel, "bias": bias}}, x)
    np.testing.assert_array_equal(y, expected + bias)
    assert y.shape[1:-1] == tuple(
        arithmetic.transposed_output_size(
            n, f, stride=s, padding=pair, dilation=d, output_padding=more
        )
        for n, f, s, pair, d, more in zip(
            g.space, g.window, g.strides, g.pairs, g.dilation, extra, strict=True
        )
    )


@pytest.mark.parametrize("kernel_size", [2, 3, 4])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_same_is_the_gradient_of_same(integers, kernel_size, stride):
    """<Conv(y), x> = <y, ConvTranspose(x)> with one kernel."""
    x, y = integers(0, 1, 3, 4, 2), integers(1, 1, 3 * stride, 4 * stride, 5)
    kernel = jnp.asarray(integers(2, kernel_size, kernel_size, 5, 2))
    variables = {"params": {"kernel": kernel}}
    make = {"kernel_size": kernel_size, "strides": stride, "use_bias": False}
    back = ConvTranspose(5, **make).apply(variables, jnp.asarray(x))
    assert back.shape == y.shape
    there = Conv(2, **make).apply(variables, jnp.asarray(y))
    assert there.shape == x.shape
    assert (there * x).sum() == (y * back).sum()


def test_lengths_that_one_stride_makes_alike():
    # PyTorch's documentation of output_padding: at stride 2, 7 and 8 both become 4.
    for length, extra in [(7, 0), (8, 1)]:
        assert arithmetic.output_size(length, 3, stride=2, padding=1) == 4
        assert length == arithmetic.transposed_output_size(
            4, 3, stride=2, padding=1, output_padding=extra
        )


def test_computes_in_dtype_with_float32_parameters():
    x = jnp.ones((1, 4, 4, 2))
    layer = ConvTranspose(3, 4, 2, 1, dtype=jnp.bfloat16)
    y, variables = layer.init_with_output(jax.random.key(0), x)
    assert (y.dtype, y.shape) == (jnp.bfloat16, (1, 8, 8, 3))
    assert {leaf.dtype for leaf in variables["params"].values()} == {
        jnp.dtype("float32")
    }


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (ConvTranspose(2, 3, padding=4), r"padding \(4, 4\) leaves no output"),
        (
            ConvTranspose(2, 3, padding=0, output_padding=1),
            "must be less than the larger",
        ),
        (ConvTranspose(2, 3, 2, 0, output_padding=-1), "output_padding=-1: .*least 0"),
        (ConvTranspose(2, 3, 2, output_padding=1), "leave output_padding"),
        (ConvTranspose(2, 3, padding="same"), "Known: SAME, VALID"),
        (ConvTranspose(3, 3, groups=2), "groups=2 must divide"),
    ],
)
def test_mistakes(layer, message):
    with pytest.raises(UserError, match=f"^ConvTranspose: .*{message}"):
        layer.init(jax.random.key(0), jnp.zeros((1, 4, 4, 2)))
