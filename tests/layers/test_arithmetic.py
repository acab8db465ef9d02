"""The lecture's AlexNet table and cost examples, and PyTorch's size rules."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax.core.errors import UserError
from cnn_jax.layers import arithmetic

# (kernel, stride, padding, output size, features), from 224x224x3.
ALEXNET = [
    ("conv", 11, 4, 0, 54, 96, 34_944),
    ("pool", 3, 2, 0, 26, 96, 0),
    ("conv", 5, 1, 2, 26, 256, 614_656),
    ("pool", 3, 2, 0, 12, 256, 0),
    ("conv", 3, 1, 1, 12, 384, 885_120),
    ("conv", 3, 1, 1, 12, 384, 1_327_488),
    ("conv", 3, 1, 1, 12, 256, 884_992),
    ("pool", 3, 2, 0, 5, 256, 0),
]


def test_alexnet_table():
    size, channels, total = 224, 3, 0
    for kind, kernel, stride, padding, expected_size, features, expected in ALEXNET:
        size = arithmetic.output_size(size, kernel, stride=stride, padding=padding)
        assert size == expected_size
        if kind == "conv":
            count = arithmetic.conv_parameters((kernel, kernel), channels, features)
            assert count == expected
            total += count
        channels = features
    assert size * size * channels == 6400
    dense = [(6400, 4096), (4096, 4096), (4096, 1000)]
    counts = [arithmetic.dense_parameters(*pair) for pair in dense]
    # The lecture prints 26,214,656 for 6400*4096 + 4096, and so 50,840,168 in all.
    assert counts == [26_218_496, 16_781_312, 4_097_000]
    assert total + sum(counts) == 50_844_008


def test_bottleneck_saves_multiplications():
    direct = arithmetic.conv_macs((28, 28), (5, 5), 192, 32)
    assert direct == 120_422_400
    reduce = arithmetic.conv_macs((28, 28), (1, 1), 192, 16)
    assert reduce + arithmetic.conv_macs((28, 28), (5, 5), 16, 32) == 12_443_648
    weights = arithmetic.conv_parameters((1, 1), 192, 16, use_bias=False)
    weights += arithmetic.conv_parameters((5, 5), 16, 32, use_bias=False)
    assert weights == 15_872


def test_edge_detector_has_nine_weights():
    assert arithmetic.output_size(6, 3) ** 2 == 16
    assert arithmetic.dense_parameters(36, 16, use_bias=False) == 576
    assert arithmetic.conv_parameters((3, 3), 1, 1, use_bias=False) == 9


def test_groups_divide_the_cost():
    # ResNeXt, Xie et al. 2017, figure 3(c): 4*3*3*128, and depthwise convolution.
    assert arithmetic.conv_parameters((3, 3), 128, 128, groups=32, use_bias=False) == (
        4 * 3 * 3 * 128
    )
    assert arithmetic.conv_macs((7, 7), (3, 3), 64, 64, groups=64) == 7 * 7 * 9 * 64


@pytest.mark.parametrize(
    ("size", "kernel", "options", "expected"),
    [
        (6, 3, {}, 4),
        (6, 3, {"padding": 1}, 6),
        (6, 3, {"stride": 3}, 2),
        (7, 3, {"padding": (0, 1), "stride": 2}, 3),
        (9, 3, {"dilation": 4}, 1),
        # Ceil mode, as PyTorch's documentation defines it.
        (112, 3, {"stride": 2}, 55),
        (112, 3, {"stride": 2, "ceil_mode": True}, 56),
        (7, 3, {"stride": 2, "ceil_mode": True}, 3),
        (3, 2, {"stride": 3, "ceil_mode": True}, 1),  # the second window starts at 3
        (1, 2, {"stride": 2, "padding": 1, "ceil_mode": True}, 1),
    ],
)
def test_output_size(size, kernel, options, expected):
    assert arithmetic.output_size(size, kernel, **options) == expected


def test_kernel_larger_than_input():
    with pytest.raises(UserError, match="spans 7 does not fit into an input of 4"):
        arithmetic.output_size(4, 4, dilation=2, padding=1)


def test_dilation_widens_the_field_of_view():
    # The lecture: 3x3 of dilation 2 sees what 5x5 sees, with 9 parameters.
    assert arithmetic.receptive_field([(3, 1, 2)]) == 5
    assert arithmetic.receptive_field([(5, 1, 1)]) == 5
    assert arithmetic.conv_parameters((3, 3), 1, 1, use_bias=False) == 9
    # Yu and Koltun 2016, figure 1: exponential expansion, at the same cost a layer.
    fields = [
        arithmetic.receptive_field([(3, 1, 1), (3, 1, 2), (3, 1, 4)][:n])
        for n in (1, 2, 3)
    ]
    assert fields == [3, 7, 15]


@settings(max_examples=25, deadline=None)
@given(*[st.integers(1, high) for high in (12, 5, 4, 3)])
def test_same_padding(size, kernel, stride, dilation):
    before, after = arithmetic.same_padding(
        size, kernel, stride=stride, dilation=dilation
    )
    assert 0 <= after - before <= 1
    if (size - 1) // stride * stride + dilation * (kernel - 1) + 1 < size:
        return  # the windows do not reach the end: no padding, and none is missing
    assert -(-size // stride) == arithmetic.output_size(
        size, kernel, stride=stride, padding=(before, after), dilation=dilation
    )


@settings(max_examples=25, deadline=None)
@given(*[st.integers(1, high) for high in (8, 4, 4, 3)], st.integers(0, 2), st.data())
def test_transposed_size_is_what_the_convolution_came_from(
    size, kernel, stride, dilation, padding, data
):
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    extra = data.draw(st.integers(0, stride - 1))
    try:
        length = arithmetic.transposed_output_size(
            size, kernel, **options, output_padding=extra
        )
    except UserError:
        extent = dilation * (kernel - 1) + 1
        assert (size - 1) * stride + extent + extra <= 2 * padding
        return
    assert arithmetic.output_size(length, kernel, **options) == size


def test_costs_of_factorised_convolutions():
    # Howard et al. 2017, "MobileNets", section 3.1: a 3x3 depthwise separable
    # convolution costs 1 / c_out + 1 / 9 of the whole one.
    whole = arithmetic.conv_macs((14, 14), (3, 3), 512, 512)
    separable = arithmetic.separable_macs((14, 14), (3, 3), 512, 512)
    assert separable * 512 * 9 == whole * (9 + 512)
    depthwise = arithmetic.depthwise_macs((14, 14), (3, 3), 512)
    assert depthwise + arithmetic.conv_macs((14, 14), (1, 1), 512, 512) == separable
    # Jin et al. 2014: c + x + y weights in the place of c * x * y.
    assert arithmetic.flattened_parameters((5, 5), 96, 128, use_bias=False) == (
        (96 + 5 + 5) * 128
    )
    # Each input value of a transposed convolution meets the whole kernel.
    assert arithmetic.transposed_macs((7, 7), (4, 4), 8, 6, groups=2) == 49 * 16 * 24
    # AlexNet's first layer, not shared over its 54x54 pixels.
    assert arithmetic.locally_connected_parameters((54, 54), (11, 11), 3, 96) == (
        54 * 54 * 34_944
    )


@pytest.mark.parametrize(
    ("in_features", "features", "between"),
    [
        # R(2+1)D-18, Tran et al. 2018, as torchvision prints it.
        (64, 64, 144),
        (64, 128, 230),
        (128, 128, 288),
        (128, 256, 460),
        (256, 256, 576),
        (256, 512, 921),
        (512, 512, 1152),
    ],
)
def test_2plus1d_has_the_parameters_of_3d(in_features, features, between):
    channels = ((3, 3, 3), in_features, features)
    assert arithmetic.conv2plus1d_features(*channels) == between
    parts = arithmetic.conv2plus1d_parameters(*channels)
    whole = arithmetic.conv_parameters(*channels, use_bias=False)
    assert whole - (9 * in_features + 3 * features) < parts <= whole
