"""The lecture's AlexNet table and cost examples, and PyTorch's size rules."""

import pytest

from cnn_jax.errors import UserError
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
