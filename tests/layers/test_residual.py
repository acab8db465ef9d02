from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.layers import BasicBlock, BatchNorm, Bottleneck, Conv

CONV = partial(Conv, use_bias=False)
NORM = partial(BatchNorm, use_running_average=True)
BLOCKS = [BasicBlock, Bottleneck]


def run(block, x):
    key = jax.random.key(0, impl="rbg")  # compiles fast
    return jax.jit(block.init_with_output)(key, x)


def shapes(block, x):
    return jax.eval_shape(block.init_with_output, jax.random.key(0), x)


@pytest.fixture
def x():
    return jnp.abs(jax.random.normal(jax.random.key(1), (2, 5, 6, 8)))


@pytest.mark.parametrize("block", BLOCKS)
def test_zero_init_starts_as_the_identity(block, x):
    features = 8 // block.expansion
    y, _ = run(block(features, CONV, NORM, zero_init=True), x)
    np.testing.assert_array_equal(y, x)  # x is not negative, so ReLU keeps it
    y, _ = run(block(features, CONV, NORM), x)
    assert not np.allclose(y, x)


@pytest.mark.parametrize("block", BLOCKS)
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
        assert ("shortcut_conv" in variables["params"]) == projected


@pytest.mark.parametrize("block", BLOCKS)
def test_identity_shortcut_skips_pixels_and_pads_channels(block, x):
    features = 16 // block.expansion
    module = block(features, CONV, NORM, 2, shortcut="identity", zero_init=True)
    y, variables = run(module, x)
    assert "shortcut_conv" not in variables["params"]
    np.testing.assert_array_equal(y[..., :8], x[:, ::2, ::2])
    np.testing.assert_array_equal(y[..., 8:], 0)


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
