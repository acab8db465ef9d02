"""The words of the lecture's table, and its formulas for every layer of every model."""

import math
import re

import flax.linen as nn
import pytest

from cnn_jax import layers, models
from cnn_jax.analysis import costs

# Name, type, output shape, parameters, explanation: the lecture's last table, with the
# right product for the first fully connected layer, and its formulas of output sizes.
LECTURE = [
    ("input", "-", (224, 224, 3), 0, "Input RGB image"),
    (
        "conv1",
        "Convolution (11x11)",
        (54, 54, 96),
        34_944,
        "96 filters of 11x11, stride 4, padding 0; (11*11*3*96) + 96 = 34,944; "
        "(224 - 11 + 2*0)/4 + 1 = 54",
    ),
    (
        "pool1",
        "Max Pooling (3x3)",
        (26, 26, 96),
        0,
        "3x3 pool, stride 2; (54 - 3 + 2*0)/2 + 1 = 26",
    ),
    (
        "conv2",
        "Convolution (5x5)",
        (26, 26, 256),
        614_656,
        "256 filters of 5x5, stride 1, padding 2; (5*5*96*256) + 256 = 614,656; "
        "(26 - 5 + 2*2)/1 + 1 = 26",
    ),
    (
        "pool2",
        "Max Pooling (3x3)",
        (12, 12, 256),
        0,
        "3x3 pool, stride 2; (26 - 3 + 2*0)/2 + 1 = 12",
    ),
    (
        "conv3",
        "Convolution (3x3)",
        (12, 12, 384),
        885_120,
        "384 filters of 3x3, stride 1, padding 1; (3*3*256*384) + 384 = 885,120; "
        "(12 - 3 + 2*1)/1 + 1 = 12",
    ),
    (
        "conv4",
        "Convolution (3x3)",
        (12, 12, 384),
        1_327_488,
        "384 filters of 3x3, stride 1, padding 1; (3*3*384*384) + 384 = 1,327,488; "
        "(12 - 3 + 2*1)/1 + 1 = 12",
    ),
    (
        "conv5",
        "Convolution (3x3)",
        (12, 12, 256),
        884_992,
        "256 filters of 3x3, stride 1, padding 1; (3*3*384*256) + 256 = 884,992; "
        "(12 - 3 + 2*1)/1 + 1 = 12",
    ),
    (
        "pool3",
        "Max Pooling (3x3)",
        (5, 5, 256),
        0,
        "3x3 pool, stride 2; (12 - 3 + 2*0)/2 + 1 = 5",
    ),
    ("flatten", "-", (6400,), 0, "Flatten to 1D; 5*5*256 = 6,400"),
    (
        "fc1",
        "Fully Connected",
        (4096,),
        26_218_496,
        "4096 units; (6400*4096) + 4096 = 26,218,496",
    ),
    (
        "fc2",
        "Fully Connected",
        (4096,),
        16_781_312,
        "4096 units; (4096*4096) + 4096 = 16,781,312",
    ),
    (
        "head",
        "Fully Connected",
        (1000,),
        4_097_000,
        "1000 units; (4096*1000) + 1000 = 4,097,000",
    ),
]


def test_alexnet_reads_like_the_lectures_table(table_of):
    table = table_of("alexnet")
    rows = [
        (row.name, row.kind, row.output_shape, row.parameters, row.explanation)
        for row in table
    ]
    assert rows == LECTURE
    lines = costs.render(table, "markdown").splitlines()
    for line, row in zip(lines[2:], LECTURE, strict=False):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[0] == row[0] and cells[1] == row[1]
        assert cells[-1].replace(r"\*", "*") == row[-1]
        assert cells[2] == costs.shape_text(row[2])
        assert cells[3] == f"{row[3]:,}"


FORMULA = re.compile(r"(?:^|[;,] )([-+*/(). \dceil]+) = ([\d,]*\d)")


def check(row):
    """All formulas of a row are right, and are those of its parameters and shape."""
    values = []
    for formula, result in FORMULA.findall(row.explanation):
        value = eval(formula, {"ceil": math.ceil})
        assert math.floor(value + 1e-9) == int(result.replace(",", "")), row
        values.append(int(result.replace(",", "")))
    if row.parameters:
        assert values[0] == row.parameters, row
        values = values[1:]
    if re.search("Convolution|Connected [(]|[xX]. pool", row.kind + row.explanation):
        assert values and set(values) == set(row.output_shape[:-1]), row
    elif row.type == "Flatten":
        assert tuple(values) == row.output_shape, row


QUICK = ("alexnet", "squeezenet1_0", "resnet18", "r3d_18")


@pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK else pytest.param(name, marks=pytest.mark.full)
        for name in models.MODELS
    ],
)
def test_formulas_hold(name, table_of):
    for row in table_of(name):
        check(row)


class Single(nn.Module):
    wrapped: nn.Module

    @nn.compact
    def __call__(self, x, train):
        return self.wrapped(x)


SINGLE = [
    (
        layers.Conv(6, 3, padding="SAME", strides=2, dilation=2, groups=2),
        (9, 8, 4),
        "Convolution (3x3)",
        "6 filters of 3x3, stride 2, padding (2, 2)x(1, 2), dilation 2, 2 groups; "
        "(3*3*4/2*6) + 6 = 114; (9 - (2*(3 - 1) + 1) + 2*2)/2 + 1 = 5, "
        "(8 - (2*(3 - 1) + 1) + 1 + 2)/2 + 1 = 4",
    ),
    (
        layers.Conv(2, (1, 3, 3), (1, 2, 2), padding=(0, 1, 1), use_bias=False),
        (4, 9, 9, 3),
        "Convolution (1x3x3)",
        "2 filters of 1x3x3, stride 1x2x2, padding 0x1x1, no bias; 1*3*3*3*2 = 54; "
        "(4 - 1 + 2*0)/1 + 1 = 4, (9 - 3 + 2*1)/2 + 1 = 5",
    ),
    (
        layers.DepthwiseConv(3, padding=1, multiplier=2, use_bias=False),
        (8, 8, 3),
        "Depthwise Convolution (3x3)",
        "6 filters of 3x3, stride 1, padding 1, 3 groups, no bias; 3*3*3/3*6 = 54; "
        "(8 - 3 + 2*1)/1 + 1 = 8",
    ),
    (
        layers.LocallyConnected(2, 3, padding=0),
        (6, 5, 4),
        "Locally Connected (3x3)",
        "2 filters of 3x3, stride 1, padding 0; (4*3*3*3*4*2) + 24 = 888; "
        "(6 - 3 + 2*0)/1 + 1 = 4, (5 - 3 + 2*0)/1 + 1 = 3",
    ),
    (
        layers.ConvTranspose(2, 3, 2, padding=1, output_padding=1),
        (7, 7, 4),
        "Transposed Convolution (3x3)",
        "2 filters of 3x3, stride 2, padding 1, output padding 1; (3*3*4*2) + 2 = 74; "
        "(7 - 1)*2 - 2*1 + (3 - 1) + 1 + 1 = 14",
    ),
    (
        layers.ConvTranspose(2, 4, 2),
        (7, 5, 4),
        "Transposed Convolution (4x4)",
        "2 filters of 4x4, stride 2, padding SAME; (4*4*4*2) + 2 = 130; 7*2 = 14, "
        "5*2 = 10",
    ),
    (
        layers.MaxPool(3, 2, ceil_mode=True),
        (8, 8, 4),
        "Max Pooling (3x3)",
        "3x3 pool, stride 2, ceil mode; ceil((8 - 3 + 2*0)/2) + 1 = 4",
    ),
    (
        # A third window would see padding alone.
        layers.AvgPool(2, 3, 1, ceil_mode=True, count_include_pad=False),
        (5, 5, 4),
        "Average Pooling (2x2)",
        "2x2 pool, stride 3, padding 1, ceil mode, padding not counted; "
        "ceil((5 - 2 + 2*1)/3) - 1 + 1 = 2",
    ),
    (
        layers.LpPool(2, dilation=2, p=2.0),
        (8, 8, 4),
        "Lp Pooling (2x2)",
        "2x2 pool, stride 2, dilation 2, p = 2; (8 - (2*(2 - 1) + 1) + 2*0)/2 + 1 = 3",
    ),
    (
        layers.SpatialPyramidPool((2, 1)),
        (8, 8, 4),
        "Spatial Pyramid Pooling",
        "maximum over grids of 2x2, 1x1 cells; (2*2 + 1*1)*4 = 20",
    ),
    (
        layers.AdaptiveAvgPool(3),
        (8, 8, 4),
        "Adaptive Average Pooling",
        "8x8 values to 3x3 cells",
    ),
    (layers.GlobalAvgPool(), (8, 6, 4), "Global Average Pooling", "mean of 8x6 values"),
    (
        layers.BatchNorm(use_running_average=True, use_scale=False),
        (8, 8, 4),
        "Batch Normalization",
        "shift learned for 4 channels; 1*4 = 4",
    ),
    (
        layers.GroupNorm(num_groups=2),
        (8, 8, 6),
        "Group Normalization",
        "scale and shift learned for 6 channels, 2 groups of 3; 2*6 = 12",
    ),
    (
        layers.FilterBank(("gaussian", "sobel_vertical"), learned=True),
        (8, 8, 3),
        "Filters (5x5)",
        "gaussian, sobel_vertical, each on each channel, padding SAME; 5*5*3*2 = 150",
    ),
]


@pytest.mark.parametrize(("layer", "shape", "kind", "words"), SINGLE)
def test_what_differs_from_the_default_is_named(layer, shape, kind, words):
    _, row = costs.layer_table(Single(layer), shape)
    assert (row.kind, row.explanation) == (kind, words)
    check(row)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((28, 28, 1), "Input grayscale image"),
        ((28, 28, 4), "Input 4-channel image"),
        ((16, 112, 112, 3), "Input clip of 16 RGB images"),
    ],
)
def test_words_for_the_input(shape, words):
    table = costs.layer_table(Single(layers.Flatten()), shape)
    assert table[0].explanation == words
