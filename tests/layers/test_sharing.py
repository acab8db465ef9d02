"""Parameter sharing: nothing shared by NumPy, over depth by hand."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax.core.errors import UserError
from cnn_jax.layers import (
    SHARING,
    BatchNorm,
    Conv,
    DepthSharedConv,
    LocallyConnected,
    Repeat,
    arithmetic,
)

KEY = jax.random.key(0, impl="rbg")  # compiles fast


def shapes(layer, x):
    y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
    return y.shape, jax.tree.map(lambda leaf: leaf.shape, variables["params"])


def count(layer, x):
    params = jax.eval_shape(layer.init, jax.random.key(0), x)["params"]
    return sum(leaf.size for leaf in jax.tree.leaves(params))


@settings(max_examples=15, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**16))
def test_locally_connected(geometries, integers, data, seed):
    """One pixel of the output after another, each with its own window and kernel."""
    g = data.draw(geometries())
    x = integers(seed, 2, *g.space, g.channels)
    layer = LocallyConnected(g.features, g.window, **g.attributes)
    shape, known = shapes(layer, x)
    out = shape[1:-1]
    assert known["kernel"] == (*out, *g.kernel_shape())
    assert known["bias"] == (*out, g.features)
    kernel = integers(seed + 1, *known["kernel"])
    bias = integers(seed + 2, *known["bias"])
    y = jax.jit(layer.apply)({"params": {"kernel": kernel, "bias": bias}}, x)

    padded = np.pad(x, [(0, 0), *g.pairs, (0, 0)])
    expected = np.zeros(shape)
    for place in np.ndindex(*out):
        window = padded[
            (
                slice(None),
                *(
                    slice(i * s, i * s + d * (f - 1) + 1, d)
                    for i, s, d, f in zip(
                        place, g.strides, g.dilation, g.window, strict=True
                    )
                ),
            )
        ]
        parts = zip(
            np.split(window, g.groups, -1),
            np.split(kernel[place], g.groups, -1),
            strict=True,
        )
        axes = range(len(out) + 1)
        products = [
            np.tensordot(values, weights, (range(1, len(out) + 2), axes))
            for values, weights in parts
        ]
        expected[(slice(None), *place)] = np.concatenate(products, -1) + bias[place]
    np.testing.assert_array_equal(y, expected)
    assert count(layer, x) == arithmetic.locally_connected_parameters(
        out, g.window, g.channels, g.features, groups=g.groups
    )


def test_locally_connected_with_equal_kernels_is_a_convolution(integers):
    x = jnp.asarray(integers(0, 2, 6, 5, 4))
    kernel, bias = map(jnp.asarray, (integers(1, 3, 3, 2, 6), integers(2, 6)))
    make = partial(dict, strides=2, padding="SAME", groups=2)
    expected = Conv(6, 3, **make()).apply(
        {"params": {"kernel": kernel, "bias": bias}}, x
    )
    params = {
        "kernel": jnp.broadcast_to(kernel, (3, 3, *kernel.shape)),
        "bias": jnp.broadcast_to(bias, (3, 3, 6)),
    }
    y = LocallyConnected(6, 3, **make()).apply({"params": params}, x)
    np.testing.assert_array_equal(y, expected)


def test_each_kernel_starts_as_that_of_a_convolution():
    x = jnp.zeros((1, 4, 4, 64))
    kernel = jax.jit(LocallyConnected(32, 3).init)(KEY, x)["params"]["kernel"]
    deviations = kernel.std((2, 3, 4, 5))
    np.testing.assert_allclose(deviations, (2 / (9 * 32)) ** 0.5, rtol=0.05)
    assert len(np.unique(kernel[:, :, 0, 0, 0, 0])) == 16


def test_locally_connected_belongs_to_one_size():
    layer = LocallyConnected(2, 3, dtype=jnp.bfloat16)
    y, variables = jax.jit(layer.init_with_output)(KEY, jnp.zeros((1, 4, 4, 1)))
    assert y.dtype == jnp.bfloat16
    assert variables["params"]["kernel"].dtype == jnp.float32
    with pytest.raises(
        UserError, match=r"output of \(4, 4\), but this input gives.*5, 4"
    ):
        layer.apply(variables, jnp.zeros((1, 5, 4, 1)))


def test_depth_shared_applies_one_kernel(integers):
    x = jnp.asarray(integers(0, 1, 5, 5, 3))
    kernel, bias = map(jnp.asarray, (integers(1, 3, 3, 3, 3), integers(2, 3)))
    once = {"params": {"kernel": kernel, "bias": bias}}
    conv = Conv(3, 3)
    y = conv.apply(once, x)
    for times in (1, 2, 3):
        layer = DepthSharedConv(3, 3, times=times)
        shared = layer.apply({"params": {"shared": once["params"]}}, x)
        np.testing.assert_array_equal(shared, y)
        assert count(layer, x) == count(conv, x)
        y = conv.apply(once, nn.relu(y))


@pytest.mark.parametrize(
    ("features", "strides", "entry"),
    [(3, 1, False), (4, 1, True), (3, 2, True), (3, (1, 2), True)],
)
def test_depth_shared_has_an_entry_where_the_shape_changes(features, strides, entry):
    x = jnp.ones((1, 6, 6, 3))
    layer = DepthSharedConv(features, 3, strides, activation=jnp.tanh)
    y, variables = jax.jit(layer.init_with_output)(KEY, x)
    params = variables["params"]
    assert set(params) == ({"entry", "shared"} if entry else {"shared"})
    if entry:
        first = Conv(features, 3, strides).apply({"params": params["entry"]}, x)
        x = jnp.tanh(first)
    conv = partial(Conv(features, 3).apply, {"params": params["shared"]})
    np.testing.assert_allclose(y, conv(jnp.tanh(conv(x))), atol=1e-5)


def test_repeat(integers):
    class Block(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = Conv(x.shape[-1], 3, name="conv")(x)
            return BatchNorm(use_running_average=False, name="norm")(x)

    x = jnp.asarray(integers(0, 2, 4, 4, 2))
    variables = jax.jit(Repeat(Block, 3).init)(KEY, x)
    assert list(variables["params"]) == ["block"]
    inner = jax.eval_shape(Block().init, KEY, x)
    assert jax.tree.map(jnp.shape, variables["params"]["block"]) == jax.tree.map(
        jnp.shape, inner["params"]
    )
    state = {name: value["block"] for name, value in variables.items()}
    expected = x
    for _ in range(3):
        expected, change = Block().apply(state, expected, mutable=["batch_stats"])
        state |= change
    y, change = Repeat(Block, 3).apply(variables, x, mutable=["batch_stats"])
    np.testing.assert_allclose(y, expected, atol=1e-5)
    stats = change["batch_stats"]["block"]["norm"]["mean"]
    np.testing.assert_allclose(stats, state["batch_stats"]["norm"]["mean"], atol=1e-6)


@pytest.mark.parametrize(
    "layer", [Repeat(lambda **_: Conv(2, 3), 0), DepthSharedConv(2, 3, times=0)]
)
def test_not_even_once(layer):
    with pytest.raises(UserError, match="times=0"):
        layer.init(jax.random.key(0), jnp.zeros((1, 4, 4, 2)))


@pytest.mark.parametrize("rank", [2, 3])
def test_ways_of_sharing_are_called_alike(rank):
    x = jnp.zeros((1, *(8, 6, 5)[:rank], 4))
    window = (3,) * rank
    parameters = {}
    for name, make in SHARING.items():
        layer = make(
            6, window, strides=2, padding=1, dilation=1, groups=2, use_bias=False
        )
        shape, _ = shapes(layer, x)
        assert shape == (1, *(4, 3, 3)[:rank], 6)
        parameters[name] = count(layer, x)
    weights = partial(arithmetic.conv_parameters, window, groups=2, use_bias=False)
    assert parameters == {
        "space": weights(4, 6),
        "none": weights(4, 6) * (12 if rank == 2 else 36),
        "depth": weights(4, 6) + weights(6, 6),
    }
