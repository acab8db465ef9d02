"""AlexNet: the textbooks' table, published counts, stems, heads and dilation."""

import jax
import numpy as np
import pytest

from cnn_jax import models
from cnn_jax.analysis import costs
from cnn_jax.core.errors import UserError

IMAGENET = (224, 224, 3)
TINY = {"channels": (4, 6, 4, 4, 4), "head_width": (8,)}
NAMES = ["alexnet", "alexnet_grouped", "alexnet_owt"]


def test_rows_of_the_textbooks_table():
    table = costs.layer_table(models.create("alexnet", num_classes=1000), IMAGENET)
    rows = [
        (row.name, row.output_shape, row.parameters)
        for row in table
        if row.type != "Dropout"
    ]
    assert rows == [
        ("input", (224, 224, 3), 0),
        ("conv1", (54, 54, 96), 34_944),
        ("pool1", (26, 26, 96), 0),
        ("conv2", (26, 26, 256), 614_656),
        ("pool2", (12, 12, 256), 0),
        ("conv3", (12, 12, 384), 885_120),
        ("conv4", (12, 12, 384), 1_327_488),
        ("conv5", (12, 12, 256), 884_992),
        ("pool3", (5, 5, 256), 0),
        ("flatten", (6400,), 0),
        ("fc1", (4096,), 6400 * 4096 + 4096),
        ("fc2", (4096,), 16_781_312),
        ("head", (1000,), 4_097_000),
    ]


@pytest.mark.parametrize("name", NAMES)
def test_dropout_is_behind_the_hidden_layers(name, dropped_layers):
    model = models.create(name, num_classes=3, width_multiplier=0.05)
    assert dropped_layers(model, (96, 96, 3)) == ["fc1", "fc2"]


# The two towers and the one: Krizhevsky et al. 2012, counted from its figure 2;
# torchvision publishes the last, and 0.714e9 multiply-accumulates.
@pytest.mark.parametrize(
    ("name", "attributes", "parameters", "gmacs"),
    [
        ("alexnet", {}, 50_844_008, None),
        ("alexnet_grouped", {}, 60_965_224, None),
        ("alexnet_grouped", {"groups": 1}, 62_378_344, None),
        ("alexnet_owt", {}, 61_100_840, 0.714),
    ],
)
def test_counts(name, attributes, parameters, gmacs):
    model = models.create(name, num_classes=1000, **attributes)
    table = costs.layer_table(model, IMAGENET)
    counted, macs = costs.totals(table)
    assert counted == parameters
    if gmacs is not None:
        assert macs / 1e9 == pytest.approx(gmacs, rel=0.01)


def test_published_network_normalizes_between_relu_and_pooling():
    model = models.create("alexnet_grouped", num_classes=1000)
    table = costs.layer_table(model, IMAGENET)
    names = [row.name for row in table]
    assert names[1:7] == ["conv1", "norm1", "pool1", "conv2", "norm2", "pool2"]
    sizes = [row.output_shape[0] for row in table if row.name.startswith("conv")]
    assert sizes == [55, 27, 13, 13, 13]


def test_normalization_is_the_papers(random_variables):
    # One value of section 3.3's formula, k = 2, n = 5, alpha = 1e-4, beta = 0.75.
    model = models.create(
        "alexnet_grouped", num_classes=2, stem="small", **TINY, groups=1
    )

    @jax.jit
    def run(variables, x):
        _, state = model.apply(
            variables,
            x,
            False,
            capture_intermediates=lambda module, _: module.name in ("conv1", "norm1"),
            mutable=["intermediates"],
        )
        maps = state["intermediates"]
        return {name: maps[name]["__call__"][0] for name in ("conv1", "norm1")}

    variables = random_variables(model, (8, 8, 3))
    maps = run(variables, 100 * np.ones((1, 8, 8, 3), np.float32))
    a = np.maximum(np.array(maps["conv1"], np.float64)[0, 4, 4], 0)
    assert a.max() > 50  # so that the sum counts beside k
    expected = a[1] / (2 + 1e-4 * np.sum(a[:4] ** 2)) ** 0.75
    np.testing.assert_allclose(maps["norm1"][0, 4, 4, 1], expected, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_small_stem_takes_8x8_images(name, output_of):
    attributes = {"stem": "small", "width_multiplier": 0.05, "head_width": (8,)}
    model = models.create(name, num_classes=7, **attributes)
    assert output_of(model, (8, 8, 1)) == (2, 7)
    table = costs.layer_table(model, (32, 32, 3))
    sizes = {row.name: row.output_shape[0] for row in table}
    assert [sizes[f"pool{i}"] for i in (1, 2, 3)] == [16, 8, 4]


@pytest.mark.full
@pytest.mark.parametrize("head", ["gap", "conv_gap", "flatten_fc", "pyramid"])
@pytest.mark.parametrize("name", NAMES)
def test_heads(name, head, output_of):
    model = models.create(name, num_classes=7, head=head, width_multiplier=0.05)
    assert output_of(model, (96, 96, 3)) == (2, 7)


@pytest.mark.full
@pytest.mark.parametrize(
    ("attributes", "output_stride", "size"),
    [
        ({"padding": 2, "groups": 2, "local_response_norm": True}, 8, 125),
        ({}, 1, 99),
        ({"stem": "small"}, 2, 21),
    ],
)
def test_dilation(attributes, output_stride, size, assert_dilation_samples):
    attributes |= {"head": "gap", "channels": TINY["channels"]}
    model = models.create("alexnet", num_classes=2, **attributes)
    assert_dilation_samples(model, output_stride, size)


def test_widths_are_multiples_of_the_groups():
    model = models.create("alexnet_grouped", num_classes=2, width_multiplier=0.01)
    table = costs.layer_table(model, IMAGENET)
    features = [r.output_shape[-1] for r in table if r.name.startswith("conv")]
    assert features == [2, 4, 4, 4, 4]


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"stem": "cifar"}, "stem 'cifar'.*Known: imagenet, small"),
        ({"channels": (4, 4)}, "needs five entries"),
        ({"groups": 0}, "groups=0 must be at least 1"),
        ({"width_multiplier": 0.0}, "width_multiplier=0.0 must be above 0"),
        ({"output_stride": 2}, "set one of 1, 4, 8, 16, 32"),
    ],
)
def test_impossible_values(attributes, message):
    with pytest.raises(UserError, match=message):
        models.create("alexnet", num_classes=2, **attributes)


def test_image_too_small():
    with pytest.raises(UserError, match="does not fit into an input of 2"):
        costs.layer_table(models.create("alexnet", num_classes=2), (32, 32, 3))
