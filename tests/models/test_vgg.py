"""VGG: published counts, names, stems, heads and dilation."""

import jax
import jax.numpy as jnp
import pytest

from cnn_jax import models
from cnn_jax.analysis import costs
from cnn_jax.core.errors import UserError

TINY = {"width": 2, "head_width": (8,)}


# torchvision's published figures.
@pytest.mark.parametrize(
    ("name", "parameters", "gmacs"),
    [
        ("vgg11", 132_863_336, 7.609),
        pytest.param("vgg13", 133_047_848, 11.308, marks=pytest.mark.full),
        pytest.param("vgg16", 138_357_544, 15.47, marks=pytest.mark.full),
        pytest.param("vgg19", 143_667_240, 19.632, marks=pytest.mark.full),
        ("vgg11_bn", 132_868_840, 7.609),
        pytest.param("vgg13_bn", 133_053_736, 11.308, marks=pytest.mark.full),
        pytest.param("vgg16_bn", 138_365_992, 15.47, marks=pytest.mark.full),
        pytest.param("vgg19_bn", 143_678_248, 19.632, marks=pytest.mark.full),
    ],
)
def test_counts(name, parameters, gmacs):
    table = costs.layer_table(models.create(name, num_classes=1000), (224, 224, 3))
    counted, macs = costs.totals(table)
    assert counted == parameters
    assert macs / 1e9 == pytest.approx(gmacs, rel=0.01)


def test_names_and_shapes():
    table = costs.layer_table(
        models.create("vgg13_bn", num_classes=3, **TINY), (64, 64, 3)
    )
    shapes = {row.name: row.output_shape for row in table}
    assert list(shapes)[1:8] == [
        "conv1_1",
        "norm1_1",
        "conv1_2",
        "norm1_2",
        "pool1",
        "conv2_1",
        "norm2_1",
    ]
    widths = [shapes[f"conv{stage}_1"] for stage in (1, 2, 3, 4, 5)]
    assert widths == [(64, 64, 2), (32, 32, 4), (16, 16, 8), (8, 8, 16), (4, 4, 16)]
    assert shapes["pool5"] == (2, 2, 16)
    assert shapes["pool"] == (7, 7, 16)


def test_small_stem_leaves_out_two_poolings(output_of):
    model = models.create("vgg11_bn", num_classes=7, stem="small", head_grid=1, **TINY)
    assert output_of(model, (8, 8, 1)) == (2, 7)
    shapes = {r.name: r.output_shape for r in costs.layer_table(model, (32, 32, 3))}
    assert {"pool1", "pool2"}.isdisjoint(shapes)
    assert [shapes[f"pool{i}"][0] for i in (3, 4, 5)] == [16, 8, 4]
    assert shapes["pool"] == (1, 1, 16)


@pytest.mark.full
@pytest.mark.parametrize("head", ["gap", "conv_gap", "flatten_fc", "pyramid"])
@pytest.mark.parametrize("name", ["vgg11", "vgg11_bn"])
def test_heads(name, head, output_of):
    model = models.create(name, num_classes=7, head=head, width=2)
    assert output_of(model, (64, 64, 3)) == (2, 7)


@pytest.mark.parametrize(
    ("name", "attributes", "output_stride", "size"),
    [
        pytest.param("vgg11_bn", {}, 8, 75, marks=pytest.mark.full),
        ("vgg11", {"stem": "small"}, 1, 21),
    ],
)
def test_dilation(name, attributes, output_stride, size, assert_dilation_samples):
    model = models.create(name, num_classes=2, **TINY, **attributes)
    assert_dilation_samples(model, output_stride, size)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"stem": "cifar"}, "stem 'cifar'.*Known: imagenet, small"),
        ({"width": 0}, "width=0 must be at least 1"),
        ({"stage_sizes": (1, 0, 1)}, "stage_sizes=.*must be at least 1"),
        (
            {"stage_sizes": (1,), "stem": "small"},
            "stage_sizes=.*at least three entries",
        ),
    ],
)
def test_impossible_values(attributes, message):
    with pytest.raises(UserError, match=message):
        models.create("vgg11", num_classes=2, **attributes)


@pytest.mark.parametrize("name", ["vgg11", "vgg11_bn"])
def test_a_head_is_normalized_as_the_network_is(name):
    model = models.create(name, num_classes=3, width=2, head="fcn", head_width=(2,))
    shapes = jax.eval_shape(
        lambda x: model.init(jax.random.key(0), x, False)["params"],
        jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32),
    )
    assert ("norm" in shapes["head_conv1"]) == ("norm1_1" in shapes) == model.batch_norm
