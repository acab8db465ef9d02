"""MobileNetV2: published counts, stems, widths, heads and dilation."""

import pytest

from cnn_jax import models
from cnn_jax.analysis import costs
from cnn_jax.core.errors import UserError

IMAGENET = (224, 224, 3)


# torchvision's published figures for width 1. Parameters at 1.4 are those of its
# model of that `width_mult`, and the operations in table 4 of the paper.
@pytest.mark.parametrize(
    ("width", "parameters", "gmacs"),
    [
        (1.0, 3_504_872, 0.301),
        pytest.param(1.4, 6_108_776, 0.585, marks=pytest.mark.full),
    ],
)
def test_counts(width, parameters, gmacs):
    model = models.create("mobilenet_v2", num_classes=1000, width_multiplier=width)
    counted, macs = costs.totals(costs.layer_table(model, IMAGENET))
    assert counted == parameters
    assert macs / 1e9 == pytest.approx(gmacs, rel=0.01)


@pytest.mark.parametrize(
    ("stem", "sizes"),
    [
        ("imagenet", [32, 32, 16, 8, 4, 4, 2, 2]),
        pytest.param("small", [64, 64, 64, 32, 16, 16, 8, 8], marks=pytest.mark.full),
    ],
)
def test_table_2(stem, sizes):
    model = models.create("mobilenet_v2", num_classes=3, stem=stem)
    table = costs.layer_table(model, (64, 64, 3))
    shapes = {row.name: row.output_shape for row in table}
    names = ["first_conv"]
    names += [f"stage{i}_block1/project_conv" for i in range(1, 8)]
    assert [shapes[name][0] for name in names] == sizes
    assert [shapes[n][2] for n in names] == [32, 16, 24, 32, 64, 96, 160, 320]
    blocks = {name.split("/")[0] for name in shapes if "_block" in name}
    assert len(blocks) == 17
    assert shapes["last_conv"][2] == 1280


@pytest.mark.full
@pytest.mark.parametrize("head", ["gap", "conv_gap", "flatten_fc", "pyramid"])
def test_heads_and_8x8_images(head, output_of):
    model = models.create(
        "mobilenet_v2", num_classes=7, stem="small", head=head, width_multiplier=0.1
    )
    assert output_of(model, (8, 8, 1)) == (2, 7)


# At this width all stages have 8 channels: a block that dilates must not have a
# shortcut that it has not when it strides.
def test_dilation(assert_dilation_samples):
    model = models.create("mobilenet_v2", num_classes=2, width_multiplier=0.02)
    assert_dilation_samples(model, 8, 75)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"stem": "cifar"}, "stem 'cifar'.*Known: imagenet, small"),
        ({"width_multiplier": 0.0}, "width_multiplier=0.0 must be above 0"),
    ],
)
def test_impossible_values(attributes, message):
    with pytest.raises(UserError, match=message):
        models.create("mobilenet_v2", num_classes=2, **attributes)
