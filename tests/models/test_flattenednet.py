"""The flattened network against its baseline, heads and dilation."""

import functools

import pytest

from cnn_jax import models
from cnn_jax.analysis import costs
from cnn_jax.core.errors import UserError

CIFAR = (32, 32, 3)


@functools.cache
def rows(**attributes):
    model = models.create("flattenednet", num_classes=10, **attributes)
    return costs.layer_table(model, CIFAR)


def parameters(layer, **attributes):
    return sum(r.parameters for r in rows(**attributes) if r.name.startswith(layer))


def test_baseline():
    table = rows(flattened=())
    assert [(row.name, row.output_shape) for row in table if row.type != "Dropout"] == [
        ("input", (32, 32, 3)),
        ("conv1", (32, 32, 96)),
        ("pool1", (16, 16, 96)),
        ("conv2", (16, 16, 128)),
        ("pool2", (8, 8, 128)),
        ("conv3", (8, 8, 256)),
        ("pool3", (4, 4, 256)),
        ("flatten", (4096,)),
        ("fc1", (256,)),
        ("fc2", (256,)),
        ("head", (10,)),
    ]


def test_a_cascade_stands_in_the_place_of_a_convolution():
    names = [row.name for row in rows() if row.name.startswith("conv")]
    parts = ("lateral", "vertical", "horizontal")
    cascades = [f"conv{i}_{j}/{part}" for i in (2, 3) for j in (1, 2) for part in parts]
    assert names == ["conv1", *cascades]
    shapes = [r.output_shape for r in rows() if r.name.startswith("pool")]
    assert shapes == [(16, 16, 96), (8, 8, 128), (4, 4, 256)]


def test_flattened_layers_are_8_to_10_times_smaller_but_the_first():
    ratio = {
        i: parameters(f"conv{i}", flattened=())
        / parameters(f"conv{i}", flattened=(1, 2, 3))
        for i in (1, 2, 3)
    }
    assert ratio[1] < 1
    assert ratio[2] == pytest.approx(10, abs=0.5)
    assert ratio[3] == pytest.approx(8, abs=0.5)


def test_parameters_of_a_cascade():
    # Weights c_in + 5 + 5 of a filter, and three biases.
    assert parameters("conv2", cascade=1) == (96 + 5 + 5 + 3) * 128
    assert parameters("conv2", cascade=2) == (96 + 128 + 2 * (5 + 5 + 3)) * 128


@pytest.mark.full
@pytest.mark.parametrize("head", ["gap", "conv_gap", "flatten_fc", "pyramid"])
def test_heads(head, output_of):
    model = models.create(
        "flattenednet", num_classes=7, head=head, width_multiplier=0.1
    )
    assert output_of(model, (8, 8, 1)) == (2, 7)


def test_dilation(assert_dilation_samples):
    model = models.create(
        "flattenednet", num_classes=2, head="gap", width_multiplier=0.03
    )
    assert_dilation_samples(model, 2, 21)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"flattened": (4,)}, "numbers from 1 to 3"),
        ({"cascade": 0}, "cascade=0 must be at least 1"),
        ({"width_multiplier": 0.0}, "width_multiplier=0.0 must be above 0"),
    ],
)
def test_impossible_values(attributes, message):
    with pytest.raises(UserError, match=message):
        models.create("flattenednet", num_classes=2, **attributes)
