"""Factorised convolutions: as whole ones with the product kernel, by SciPy."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax.core.errors import UserError
from cnn_jax.layers import (
    BasicBlock,
    BatchNorm,
    Conv,
    Conv2Plus1D,
    FlattenedConv,
    SeparableConv,
    arithmetic,
)

NORM = partial(BatchNorm, use_running_average=True)


def initialized(layer, x, integers, seed):
    """Integer parameters of a layer."""
    shapes = jax.eval_shape(layer.init, jax.random.key(0), x)["params"]
    return jax.tree.map(lambda leaf: integers(seed + leaf.size, *leaf.shape), shapes)


def counted(layer, x):
    """Parameters, and multiply-accumulates from the sizes of all convolutions."""

    def run(key, x):
        return layer.init_with_output(
            key, x, capture_intermediates=True, mutable=["params", "intermediates"]
        )

    _, state = jax.eval_shape(run, jax.random.key(0), x)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(state["params"]))
    macs = 0
    for name, part in state["params"].items():
        y = state["intermediates"][name]["__call__"][0]
        macs += np.prod(y.shape[1:-1]) * part["kernel"].size
    return parameters, macs


@settings(max_examples=15, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**16))
def test_flattened_is_a_convolution_of_rank_one_filters(
    geometries, integers, correlation, data, seed
):
    g = data.draw(geometries())
    x = integers(seed, 2, *g.space, g.channels)
    layer = FlattenedConv(g.features, g.window, **g.attributes)
    params = initialized(layer, x, integers, seed)
    names = ("temporal", "vertical", "horizontal")[3 - len(g.window) :]
    kernel = params["lateral"]["kernel"]
    for name, f in zip(names, g.window, strict=True):
        assert (name in params) == (f > 1)
        if f > 1:
            kernel = kernel * params[name]["kernel"]
    assert kernel.shape == g.kernel_shape()
    # Only the last bias reaches the output as it is.
    *inner, last = [n for n in ("lateral", *names) if n in params]
    for name in inner:
        params[name]["bias"][:] = 0
    y = jax.jit(layer.apply)({"params": params}, x)
    expected = correlation(x, kernel, **g.arguments) + params[last]["bias"]
    np.testing.assert_array_equal(y, expected)

    channels = (g.window, g.channels, g.features)
    assert counted(layer, x) == (
        arithmetic.flattened_parameters(*channels, groups=g.groups),
        arithmetic.flattened_macs(g.space, y.shape[1:-1], *channels, groups=g.groups),
    )


def test_every_part_of_a_flattened_convolution_has_a_bias(integers):
    layer = FlattenedConv(2, (3, 2), padding=0)
    x = jnp.zeros((1, 5, 5, 3))
    params = initialized(layer, x, integers, 0)
    lateral, vertical, horizontal = (
        params[name]["bias"] for name in ("lateral", "vertical", "horizontal")
    )
    down, across = (
        params[name]["kernel"].sum((0, 1, 2)) for name in ("vertical", "horizontal")
    )
    y = jax.jit(layer.apply)({"params": params}, x)
    expected = (lateral * down + vertical) * across + horizontal
    np.testing.assert_array_equal(y, np.broadcast_to(expected, (1, 3, 4, 2)))
    without = jax.eval_shape(
        FlattenedConv(2, 3, use_bias=False).init, jax.random.key(0), x
    )
    assert all(set(part) == {"kernel"} for part in without["params"].values())


@pytest.mark.parametrize("kind", [FlattenedConv, SeparableConv])
def test_starts_with_the_variance_of_a_convolution(kind):
    x = np.random.default_rng(0).standard_normal((2, 12, 12, 64), np.float32)
    key = jax.random.key(0, impl="rbg")  # compiles fast

    def deviation(layer):
        y, _ = jax.jit(layer.init_with_output)(key, x)
        return float(jnp.std(y))

    whole = deviation(Conv(64, 3, padding=0))
    assert deviation(kind(64, 3, padding=0)) == pytest.approx(whole, rel=0.2)


@settings(max_examples=15, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**16), multiplier=st.integers(1, 2))
def test_separable_is_a_convolution(
    geometries, integers, correlation, data, seed, multiplier
):
    g = data.draw(geometries())
    x = integers(seed, 2, *g.space, g.channels)
    layer = SeparableConv(g.features, g.window, **g.attributes, multiplier=multiplier)
    params = initialized(layer, x, integers, seed)
    kernel = params["pointwise"]["kernel"]
    assert ("depthwise" in params) == (np.prod(g.window) > 1)
    if "depthwise" in params:
        per_group = g.channels // g.groups
        # (*window, group, channel, multiplier, feature of the group)
        first = params["depthwise"]["kernel"]
        first = first.reshape(*g.window, g.groups, per_group, multiplier)
        second = kernel.reshape(per_group, multiplier, g.groups, -1)
        kernel = np.einsum("...gcm,cmgf->...cgf", first, second)
        kernel = kernel.reshape(g.kernel_shape())
    y = jax.jit(layer.apply)({"params": params}, x)
    expected = correlation(x, kernel, **g.arguments) + params["pointwise"]["bias"]
    np.testing.assert_array_equal(y, expected)

    channels = (g.window, g.channels, g.features)
    options = {"groups": g.groups, "multiplier": multiplier}
    assert counted(layer, x) == (
        arithmetic.separable_parameters(*channels, **options),
        arithmetic.separable_macs(y.shape[1:-1], *channels, **options),
    )


@settings(max_examples=15, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**16))
def test_2plus1d(geometries, integers, correlation, data, seed):
    g = data.draw(geometries(ranks=(3,)))
    x = integers(seed, 1, *g.space, g.channels)
    layer = Conv2Plus1D(g.features, g.window, **g.attributes)
    params = initialized(layer, x, integers, seed)
    channels = (g.window, g.channels, g.features)
    if g.window[0] == 1 or g.window[1:] == (1, 1):
        assert list(params) == ["conv"]
        kernel = params["conv"]["kernel"]
        expected = correlation(x, kernel, **g.arguments)
    else:
        assert set(params) == {"spatial", "temporal"}
        expected = x
        for name, own in [("spatial", (1, 2)), ("temporal", (0,))]:
            part = {
                key: tuple(v if i in own else rest for i, v in enumerate(values))
                for key, values, rest in [
                    ("strides", g.strides, 1),
                    ("padding", g.pairs, (0, 0)),
                    ("dilation", g.dilation, 1),
                ]
            }
            expected = correlation(
                expected, params[name]["kernel"], **part, groups=g.groups
            )
            if name == "spatial":
                expected = np.maximum(expected, 0)
    y = jax.jit(layer.apply)({"params": params}, x)
    np.testing.assert_array_equal(y, expected)

    parameters, macs = counted(layer, x)
    assert parameters == arithmetic.conv2plus1d_parameters(*channels, groups=g.groups)
    assert parameters <= arithmetic.conv_parameters(
        *channels, groups=g.groups, use_bias=False
    )
    assert macs == arithmetic.conv2plus1d_macs(
        g.space, y.shape[1:-1], *channels, groups=g.groups
    )


def test_2plus1d_in_a_residual_block():
    conv = partial(Conv2Plus1D, norm=NORM, dtype=jnp.bfloat16)
    block = BasicBlock(16, conv, partial(NORM, dtype=jnp.bfloat16), strides=2)
    x = jax.ShapeDtypeStruct((2, 4, 8, 8, 8), jnp.float32)
    y, variables = jax.eval_shape(block.init_with_output, jax.random.key(0), x)
    assert (y.shape, y.dtype) == ((2, 2, 4, 4, 16), jnp.bfloat16)
    params = jax.tree.map(lambda leaf: leaf.shape, variables["params"])
    mid = 27 * 8 * 16 // (9 * 8 + 3 * 16)
    assert params["conv1"] == {
        "spatial": {"kernel": (1, 3, 3, 8, mid)},
        "norm": {"scale": (mid,), "bias": (mid,)},
        "temporal": {"kernel": (3, 1, 1, mid, 16)},
    }
    assert params["shortcut_conv"] == {"conv": {"kernel": (1, 1, 1, 8, 16)}}


def test_2plus1d_takes_number_of_channels_and_bias():
    x = jax.ShapeDtypeStruct((1, 4, 4, 4, 2), jnp.float32)

    def biases(**attributes):
        layer = Conv2Plus1D(3, 3, mid_features=5, **attributes)
        params = jax.eval_shape(layer.init, jax.random.key(0), x)["params"]
        assert params["spatial"]["kernel"].shape[-1] == 5
        return {name for name in ("spatial", "temporal") if "bias" in params[name]}

    assert biases() == set()
    assert biases(use_bias=True) == {"spatial", "temporal"}
    assert biases(use_bias=True, norm=NORM) == {"temporal"}


@pytest.mark.parametrize("kind", [FlattenedConv, SeparableConv, Conv2Plus1D])
def test_mistakes(kind):
    x = jnp.zeros((1, 4, 4, 4, 6))
    cases = [
        (kind(4, (5, 5, 5), padding=0), "a kernel that"),
        (
            kind(4, (3, 3, 3), groups=4),
            "groups=4 must divide the number of input channels, 6",
        ),
        (kind(4, (3, 3, 3, 3)), "one, two or three"),
        (kind(4, (3, 3, 3), dilation=0), "dilation=0"),
    ]
    for layer, message in cases:
        with pytest.raises(UserError, match=f"^{kind.__name__}: .*{message}"):
            layer.init(jax.random.key(0), x)
