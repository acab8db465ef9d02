from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.layers import (
    BasicBlock,
    BatchNorm,
    Bottleneck,
    Conv,
    PreActBasicBlock,
    PreActBottleneck,
    StochasticDepth,
)

CONV = partial(Conv, use_bias=False)
NORM = partial(BatchNorm, use_running_average=True)
BLOCKS = [BasicBlock, Bottleneck]
PREACTIVATION = [PreActBasicBlock, PreActBottleneck]


def run(block, x):
    key = jax.random.key(0, impl="rbg")  # compiles fast
    return jax.jit(block.init_with_output)(key, x)


def shapes(block, x):
    return jax.eval_shape(block.init_with_output, jax.random.key(0), x)


@pytest.fixture
def random_values():
    """A function from shapes of variables to random values; none of them is zero."""

    def make(variables):
        rng = np.random.default_rng(0)
        return jax.tree.map(
            lambda leaf: (
                jnp.asarray(rng.uniform(0.2, 1, leaf.shape), leaf.dtype)
                if leaf.ndim == 1
                else jnp.asarray(rng.standard_normal(leaf.shape) / 4, leaf.dtype)
            ),
            variables,
        )

    return make


@pytest.fixture
def x():
    return jnp.abs(jax.random.normal(jax.random.key(1), (2, 5, 6, 8)))


@pytest.mark.parametrize("norm", [NORM, None])
@pytest.mark.parametrize("block", BLOCKS + PREACTIVATION)
def test_zero_init_starts_as_the_identity(block, norm, x):
    features = 8 // block.expansion
    y, _ = run(block(features, CONV, norm, zero_init=True), x)
    np.testing.assert_array_equal(y, x)  # x is not negative, so ReLU keeps it
    y, _ = run(block(features, CONV, norm), x)
    assert not np.allclose(y, x)


@pytest.mark.parametrize("block", BLOCKS + PREACTIVATION)
def test_projection_only_where_the_shape_changes(block, x):
    features = 8 // block.expansion
    for strides, width, projected in [
        (1, features, False),
        (2, features, True),
        (1, 2 * features, True),
    ]:
        y, variables = shapes(block(width, CONV, NORM, strides), x)
        size = (3, 3) if strides == 2 else (5, 6)
        assert y.shape == (2, *size, width * block.expansion)
        names = variables["params"].keys()
        assert ("shortcut_conv" in names) == projected
        assert ("shortcut_norm" in names) == (projected and block in BLOCKS)


@pytest.mark.parametrize("block", BLOCKS + PREACTIVATION)
def test_parameters_do_not_depend_on_the_size(block, x):
    module = block(8 // block.expansion, CONV, NORM, 2)
    _, large = shapes(module, x)
    y, single = shapes(module, x[:, :1, :1])  # one pixel stays one pixel
    assert y.shape == (2, 1, 1, 8)
    assert "shortcut_conv" in single["params"]
    assert jax.tree.map(jnp.shape, single) == jax.tree.map(jnp.shape, large)


@pytest.mark.parametrize("block", BLOCKS + PREACTIVATION)
def test_impossible_shortcuts(block, x):
    with pytest.raises(UserError, match="Did you mean 'projection'"):
        block(8, CONV, NORM, shortcut="projektion")
    narrow = block(4 // block.expansion, CONV, NORM, shortcut="identity")
    with pytest.raises(UserError, match=f"^{block.__name__}: .* from 8 to 4"):
        shapes(narrow, x)


@pytest.mark.parametrize("block", BLOCKS + PREACTIVATION)
def test_identity_shortcut_skips_pixels_and_pads_channels(block, x):
    features = 16 // block.expansion
    module = block(features, CONV, NORM, 2, shortcut="identity", zero_init=True)
    y, variables = run(module, x)
    assert "shortcut_conv" not in variables["params"]
    # With pre-activation, of the normalized input: divided by sqrt(1 + epsilon).
    rtol = 1e-5 if block in PREACTIVATION else 0
    np.testing.assert_allclose(y[..., :8], x[:, ::2, ::2], rtol=rtol)
    np.testing.assert_array_equal(y[..., 8:], 0)


@pytest.mark.parametrize("block", BLOCKS + PREACTIVATION)
def test_average_shortcut_pools_before_its_projection(block, x, random_values):
    """The shortcut has means of 2x2 pixels, and of fewer pixels at the map's end."""
    module = block(8 // block.expansion, CONV, NORM, 2, shortcut="average")
    variables = random_values(shapes(module, x)[1])
    _, state = module.apply(
        variables, x, capture_intermediates=True, mutable=["intermediates"]
    )
    maps = {
        k: v["__call__"][0] for k, v in state["intermediates"].items() if k[0] != "_"
    }
    given = np.asarray(x if block in BLOCKS else nn.relu(maps["norm1"]))
    means = np.stack(
        [
            np.stack(
                [given[:, i : i + 2, j : j + 2].mean((1, 2)) for j in (0, 2, 4)], 1
            )
            for i in (0, 2, 4)
        ],
        1,
    )
    kernel = variables["params"]["shortcut_conv"]["kernel"][0, 0]
    np.testing.assert_allclose(maps["shortcut_conv"], means @ kernel, rtol=1e-4)
    # Where nothing strides it is a projection.
    wider = shapes(block(16, CONV, NORM, shortcut="average"), x)[1]
    assert wider == shapes(block(16, CONV, NORM), x)[1]


def test_stride_of_a_bottleneck_is_in_the_3x3(x):
    module = Bottleneck(4, CONV, NORM, strides=2)
    _, state = jax.eval_shape(
        lambda x: module.init_with_output(
            jax.random.key(0),
            x,
            capture_intermediates=True,
            mutable=["params", "batch_stats", "intermediates"],
        ),
        x,
    )
    sizes = {
        name: state["intermediates"][name]["__call__"][0].shape[1:3]
        for name in ("conv1", "conv2", "conv3")
    }
    assert sizes == {"conv1": (5, 6), "conv2": (3, 3), "conv3": (3, 3)}


def test_groups_and_width_of_a_bottleneck(x):
    module = Bottleneck(64, CONV, NORM, groups=32, width_per_group=4)
    _, variables = shapes(module, x)
    kernels = {
        k: v["kernel"].shape for k, v in variables["params"].items() if "conv" in k
    }
    assert kernels["conv1"] == (1, 1, 8, 128)
    assert kernels["conv2"] == (3, 3, 4, 128)
    assert kernels["conv3"] == (1, 1, 128, 256)


def relu_norm(variables, name, x):
    """Normalization with running statistics, and ReLU."""
    stats, params = variables["batch_stats"][name], variables["params"][name]
    x = (x - stats["mean"]) / jnp.sqrt(stats["var"] + 1e-5)
    return jnp.maximum(x * params["scale"] + params["bias"], 0)


@pytest.mark.parametrize(("strides", "activated"), [(1, False), (2, False), (2, True)])
@pytest.mark.parametrize(
    ("block", "sizes"), [(PreActBasicBlock, (3, 3)), (PreActBottleneck, (1, 3, 1))]
)
def test_preactivation_is_its_definition(
    block, sizes, activated, strides, x, random_values
):
    x = x - 0.5  # of both signs
    features = 8 // block.expansion
    module = block(features, CONV, NORM, strides, activated=activated)
    variables = random_values(shapes(module, x)[1])
    assert ("norm1" in variables["params"]) != activated

    def conv(name, y, size, stride):
        kernel = variables["params"][name]["kernel"]
        assert kernel.shape[:2] == (size, size)
        layer = CONV(kernel.shape[-1], size, stride, size // 2)
        return layer.apply({"params": {"kernel": kernel}}, y)

    def definition(x):
        first = x if activated else relu_norm(variables, "norm1", x)
        y = first
        strided = sizes.index(3)  # the first of the 3x3 convolutions
        for i, size in enumerate(sizes):
            if i:
                y = relu_norm(variables, f"norm{i + 1}", y)
            y = conv(f"conv{i + 1}", y, size, strides if i == strided else 1)
        return y + (x if strides == 1 else conv("shortcut_conv", first, 1, strides))

    y, expected = jax.jit(lambda x: (module.apply(variables, x), definition(x)))(x)
    np.testing.assert_allclose(y, expected, atol=1e-5)


@pytest.mark.parametrize("block", PREACTIVATION)
def test_zero_init_of_preactivation_lets_gradients_through(block, x):
    module = block(8 // block.expansion, CONV, NORM, zero_init=True)
    _, variables = run(module, x)

    @jax.jit
    def gradient(params):
        return jax.grad(
            lambda params: module.apply({**variables, "params": params}, x).sum()
        )(params)

    last = "conv2" if block is PreActBasicBlock else "conv3"
    grads = gradient(variables["params"])
    assert not np.any(variables["params"][last]["kernel"])
    assert np.any(grads[last]["kernel"] != 0)


@pytest.mark.parametrize("block", [BasicBlock, PreActBottleneck])
def test_zero_shortcut_leaves_the_branch_alone(block, x, random_values):
    features = 8 // block.expansion
    plain = block(features, CONV, NORM, shortcut="zero")
    variables = random_values(shapes(plain, x)[1])
    module = block(features, CONV, NORM)
    branch, whole = jax.jit(
        lambda x: (plain.apply(variables, x), module.apply(variables, x))
    )(x)
    if block is PreActBottleneck:
        np.testing.assert_allclose(whole, x + branch, atol=1e-6)
    else:  # ReLU hides the branch where it is negative
        positive = np.array(branch) > 0
        assert 0 < positive.sum() < positive.size
        np.testing.assert_allclose(whole[positive], (x + branch)[positive], atol=1e-6)
    _, wider = shapes(block(2 * features, CONV, NORM, 2, shortcut="zero"), x)
    assert not [name for name in wider["params"] if "shortcut" in name]


@pytest.mark.parametrize("block", [Bottleneck, PreActBasicBlock])
def test_branch_is_dropped_whole_for_an_example(block, random_values):
    x = jnp.abs(jax.random.normal(jax.random.key(1), (16, 2, 2, 8)))
    features = 8 // block.expansion
    dropping = block(
        features, CONV, NORM, drop=partial(StochasticDepth, 0.5, deterministic=False)
    )
    plain = block(features, CONV, NORM, shortcut="zero")
    variables = random_values(shapes(plain, x)[1])
    rngs = {"dropout": jax.random.key(0, impl="rbg")}
    branch, y = jax.jit(
        lambda x: (plain.apply(variables, x), dropping.apply(variables, x, rngs=rngs))
    )(x)
    same = np.array([np.array_equal(a, b) for a, b in zip(x, y, strict=True)])
    assert 0 < same.sum() < len(x)
    if block is PreActBasicBlock:  # a branch that stays is scaled by 1 / (1 - rate)
        kept = (x + 2 * branch)[~same]
        np.testing.assert_allclose(y[~same], kept, atol=1e-5)


@pytest.mark.parametrize("block", [BasicBlock, PreActBottleneck])
def test_clips_are_images_where_windows_are_one_frame(block, random_values):
    def frames(features, size, *, padding, **attributes):
        window, padding = (1, size, size), (0, padding, padding)
        return CONV(features, window, padding=padding, **attributes)

    x = jax.random.normal(jax.random.key(1), (2, 3, 5, 6, 8))
    over_frames = block(8, frames, NORM, (1, 2, 2))
    variables = random_values(shapes(over_frames, x)[1])
    y = jax.jit(over_frames.apply)(variables, x)
    assert y.shape == (2, 3, 3, 3, 8 * block.expansion)
    of_images = jax.tree.map(lambda v: v[0] if v.ndim == 5 else v, variables)
    images = block(8, CONV, NORM, 2)
    expected = jax.jit(images.apply)(of_images, x.reshape(6, 5, 6, 8))
    np.testing.assert_allclose(y.reshape(expected.shape), expected, atol=1e-5)
