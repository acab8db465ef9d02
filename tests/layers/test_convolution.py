"""Convolution: the lecture's examples, and SciPy over random geometries."""

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
    BatchNorm,
    Conv,
    ConvTranspose,
    Dense,
    DepthwiseConv,
    LocallyConnected,
    MaxPool,
    arithmetic,
)

IMAGE = [
    [3, 0, 1, 2, 7, 4],
    [1, 5, 8, 9, 3, 1],
    [2, 7, 2, 5, 1, 3],
    [0, 1, 3, 1, 7, 8],
    [4, 2, 1, 6, 2, 8],
    [2, 4, 5, 2, 3, 9],
]
VERTICAL_EDGE = [[1, 0, -1]] * 3
BINARY = [
    [1, 1, 1, 0, 0],
    [0, 1, 1, 1, 0],
    [0, 0, 1, 1, 1],
    [0, 0, 1, 1, 0],
    [0, 1, 1, 0, 0],
]
CROSS = [[1, 0, 1], [0, 1, 0], [1, 0, 1]]


def apply(conv, image, kernel, bias=None):
    params = {"kernel": jnp.asarray(kernel, jnp.float32)}
    if bias is not None:
        params["bias"] = jnp.asarray(bias, jnp.float32)
    return conv.apply({"params": params}, jnp.asarray(image, jnp.float32))


def apply_2d(image, kernel, **options):
    """One image and one kernel, as the lecture writes them."""
    image, kernel = np.array(image), np.array(kernel)
    conv = Conv(1, kernel.shape[0], use_bias=False, **options)
    y = apply(conv, image[None, :, :, None], kernel[:, :, None, None])
    return np.array(y)[0, :, :, 0].tolist()


def test_lecture_convolution():
    y = apply_2d(IMAGE, VERTICAL_EDGE, padding=0)
    assert np.shape(y) == (4, 4)
    assert y[0] == [-5, -4, 0, 8]


def test_lecture_stride():
    assert apply_2d(IMAGE, VERTICAL_EDGE, padding=0, strides=3) == [[-5, 8], [-3, -16]]


def test_lecture_edge():
    image = [[10, 10, 10, 0, 0, 0]] * 6
    y = apply_2d(image, VERTICAL_EDGE, padding="VALID")
    assert y == [[0, 30, 30, 0]] * 4


def test_lecture_binary_image():
    y = apply_2d(BINARY, CROSS, padding=0)
    assert y == [[4, 3, 4], [2, 4, 3], [2, 3, 4]]


@pytest.mark.parametrize("padding", [1, (1, 1), ((1, 1), (1, 1)), "SAME"])
def test_lecture_padding(padding):
    # The lecture prints the border of another image, with a one more in the fourth
    # row, around the interior of this one: 2 for the 1 that starts the third row,
    # and 1 2 3 1 1 for the last row.
    assert apply_2d(BINARY, CROSS, padding=padding) == [
        [2, 2, 3, 1, 1],
        [1, 4, 3, 4, 1],
        [1, 2, 4, 3, 3],
        [1, 2, 3, 4, 1],
        [0, 2, 2, 1, 1],
    ]


@settings(max_examples=25, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**16))
def test_matches_scipy(geometries, integers, correlation, data, seed):
    g = data.draw(geometries())
    x = integers(seed, 2, *g.space, g.channels)
    kernel = integers(seed + 1, *g.kernel_shape())
    bias = integers(seed + 2, g.features)
    conv = Conv(g.features, g.window, **g.attributes)
    expected = correlation(x, kernel, **g.arguments) + bias
    np.testing.assert_array_equal(apply(conv, x, kernel, bias), expected)


@settings(max_examples=15, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**16), multiplier=st.integers(1, 3))
def test_depthwise_matches_scipy(
    geometries, integers, correlation, data, seed, multiplier
):
    g = data.draw(geometries())
    x = integers(seed, 2, *g.space, g.channels)
    features = g.channels * multiplier
    kernel = integers(seed + 1, *g.window, 1, features)
    bias = integers(seed + 2, features)
    conv = DepthwiseConv(g.window, g.strides, g.padding, g.dilation, multiplier)
    params = jax.eval_shape(conv.init, jax.random.key(0), x)["params"]
    count = sum(leaf.size for leaf in params.values())
    assert count == arithmetic.depthwise_parameters(
        g.window, g.channels, multiplier=multiplier
    )
    expected = correlation(x, kernel, **g.arguments | {"groups": g.channels}) + bias
    np.testing.assert_array_equal(apply(conv, x, kernel, bias), expected)


def test_depthwise_starts_with_the_variance_of_its_input():
    x = jax.random.normal(jax.random.key(0), (2, 16, 16, 64))
    y, _ = DepthwiseConv(3, padding=0).init_with_output(jax.random.key(1), x)
    assert jnp.std(y) == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 2, 1), (2, 3, 2)])
def test_same_padding_is_tensorflows(size, kernel, stride, dilation):
    rng = np.random.default_rng(0)
    x = rng.integers(-4, 5, (1, size, size + 1, 1)).astype(np.float32)
    weights = rng.integers(-4, 5, (kernel, kernel, 1, 1)).astype(np.float32)
    conv = Conv(1, kernel, stride, "SAME", dilation, use_bias=False)
    expected = jax.lax.conv_general_dilated(
        x,
        weights,
        (stride, stride),
        "SAME",
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    y = apply(conv, x, weights)
    assert y.shape[1:3] == (-(-size // stride), -(-(size + 1) // stride))
    np.testing.assert_array_equal(y, expected)


def test_computes_in_dtype_with_float32_parameters():
    x = jax.random.normal(jax.random.key(0), (1, 5, 5, 2))
    conv = Conv(3, 3, dtype=jnp.bfloat16)
    y, variables = conv.init_with_output(jax.random.key(1), x)
    assert y.dtype == jnp.bfloat16
    params = variables["params"]
    assert {leaf.dtype for leaf in params.values()} == {jnp.dtype("float32")}
    exact = Conv(3, 3).apply(variables, x)
    assert exact.dtype == jnp.float32
    np.testing.assert_allclose(y.astype(jnp.float32), exact, atol=0.05)


def test_kernel_starts_with_variance_two_over_fan_out():
    x = jax.ShapeDtypeStruct((1, 4, 4, 64), jnp.float32)
    params = Conv(128, 3).lazy_init(jax.random.key(0), x)["params"]
    assert jnp.std(params["kernel"]) == pytest.approx((2 / (9 * 128)) ** 0.5, rel=0.02)
    assert not params["bias"].any()


@pytest.mark.parametrize(
    ("conv", "message"),
    [
        (Conv(4, 5, padding=0), "spans 5 does not fit into an input of 4"),
        (Conv(4, 3, padding="same"), "unknown padding 'same'.*Known: SAME, VALID"),
        (Conv(4, 3, groups=4), "groups=4 must divide .* input channels, 6"),
        (Conv(5, 3, groups=3), "groups=3 must divide .* 6, and .* 5"),
        (Conv(4, (3, 3, 3)), "needs 5 dimensions"),
        (Conv(4, (3, 3, 3, 3)), "one, two or three"),
        (Conv(4, ()), "one, two or three"),
        (Conv(4, 3, strides=(1, 1, 1)), r"strides=\(1, 1, 1\) has 3 entries where 2"),
        (
            Conv(4, 3, strides=0),
            "strides=0: each number must be an integer of at least 1",
        ),
        (Conv(4, 3, dilation=(1, 0)), r"dilation=\(1, 0\): .* at least 1"),
        (Conv(4, (0, 3)), r"kernel_size=\(0, 3\): .* at least 1"),
        (Conv(4, 3, padding=-1), "padding=-1: .* at least 0"),
        (Conv(4, 3, padding=((0, -1), (0, 0))), r"padding=\(0, -1\): .* at least 0"),
        (Conv(4, 3, padding=(1,)), r"padding=\(1,\) has 1 entries where 2"),
        (Conv(4, 3, padding=((1, 1, 1), (1, 1))), "has 3 entries where 2"),
        (Conv(0, 3), "features=0 and groups=1 must be at least 1"),
        (Conv(4, 3, groups=0), "features=4 and groups=0 must be at least 1"),
    ],
)
def test_bad_geometry(conv, message):
    x = jnp.zeros((1, 4, 4, 6))
    with pytest.raises(UserError, match=f"^Conv: .*{message}"):
        conv.init(jax.random.key(0), x)


@pytest.mark.parametrize("make", [DepthwiseConv, partial(ConvTranspose, 6)])
def test_other_convolutions_make_the_same_checks(make):
    x = jnp.zeros((1, 4, 4, 6))
    with pytest.raises(UserError, match="needs 5 dimensions"):
        make((3, 3, 3)).init(jax.random.key(0), x)
    with pytest.raises(UserError, match="strides=0"):
        make(3, 0).init(jax.random.key(0), x)


def test_local_connections_check_groups_too():
    with pytest.raises(UserError, match="groups=0 must be at least 1"):
        LocallyConnected(4, 3, groups=0).init(
            jax.random.key(0), jnp.zeros((1, 4, 4, 6))
        )


def test_errors_name_the_layer_in_its_network():
    network = nn.Sequential([Conv(2, 3), Conv(2, 9, padding=0), MaxPool(0)])
    with pytest.raises(UserError, match=r"^layers_1: a kernel that spans 9"):
        network.init(jax.random.key(0), jnp.zeros((1, 4, 4, 1)))


def test_sizes_of_numpy(integers):
    x, kernel = integers(0, 1, 6, 6, 1), integers(1, 3, 3, 1, 1)
    two = np.int64(2)
    numpys = Conv(1, np.int32(3), two, (two, 1), (two, two), use_bias=False)
    plain = Conv(1, 3, 2, (2, 1), 2, use_bias=False)
    np.testing.assert_array_equal(apply(numpys, x, kernel), apply(plain, x, kernel))


@pytest.mark.parametrize("name", ["bfloat16", "float16", "float32", "float64"])
def test_dtype_none_is_that_of_dense(name):
    with jax.enable_x64(True):
        x = jnp.ones((1, 4, 4, 2), name)
        found = {
            jax.eval_shape(layer.init_with_output, jax.random.key(0), x)[0].dtype
            for layer in (
                Dense(2),
                Conv(2, 3),
                ConvTranspose(2, 3),
                LocallyConnected(2, 3),
                BatchNorm(use_running_average=False),
            )
        }
    assert found == {jnp.dtype("float64" if name == "float64" else "float32")}
