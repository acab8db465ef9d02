"""Parameters and multiply-accumulates against the literature's, and the table."""

import functools
import json
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from cnn_jax import layers, models
from cnn_jax.analysis import costs
from cnn_jax.errors import UserError

CIFAR = (32, 32, 3)
IMAGENET = (224, 224, 3)

# (model, classes, input, parameters, 10^9 multiply-accumulates or None).
# ImageNet: torchvision's published figures. CIFAR-10, option A: He et al. 2016,
# table 6, give 0.27, 0.46, 0.66, 0.85, 1.7 million; the exact numbers are those of
# the usual implementations. The MLP is the lecture's, LeNet-5 the textbooks'.
LITERATURE = [
    ("resnet18", {}, 1000, IMAGENET, 11_689_512, 1.814),
    ("resnet34", {}, 1000, IMAGENET, 21_797_672, 3.664),
    ("resnet50", {}, 1000, IMAGENET, 25_557_032, 4.089),
    ("resnet101", {}, 1000, IMAGENET, 44_549_160, 7.801),
    ("resnet152", {}, 1000, IMAGENET, 60_192_808, 11.514),
    ("wide_resnet50_2", {}, 1000, IMAGENET, 68_883_240, 11.398),
    ("resnext50_32x4d", {}, 1000, IMAGENET, 25_028_904, 4.23),
    ("resnet20", {}, 10, CIFAR, 272_474, None),
    ("resnet20", {"shortcut": "identity"}, 10, CIFAR, 269_722, 0.0406),
    ("resnet32", {"shortcut": "identity"}, 10, CIFAR, 464_154, 0.0689),
    ("resnet44", {"shortcut": "identity"}, 10, CIFAR, 658_586, 0.0972),
    ("resnet56", {"shortcut": "identity"}, 10, CIFAR, 853_018, 0.1255),
    ("resnet110", {"shortcut": "identity"}, 10, CIFAR, 1_727_962, 0.2529),
    ("mlp", {}, 26, (16, 16, 1), 28_326, None),
    ("lenet5", {}, 10, (32, 32, 1), 61_706, None),
    ("lenet5", {"padding": (2, 0)}, 10, (28, 28, 1), 61_706, None),
    ("lenet5", {"padding": (2, 2)}, 10, (8, 8, 1), 21_386, None),
]


@pytest.mark.parametrize(
    ("name", "attributes", "classes", "shape", "parameters", "gmacs"), LITERATURE
)
def test_literature(name, attributes, classes, shape, parameters, gmacs):
    model = models.create(name, num_classes=classes, **attributes)
    table = costs.layer_table(model, shape)
    counted, macs = costs.totals(table)
    assert counted == parameters
    if gmacs is not None:
        assert macs / 1e9 == pytest.approx(gmacs, rel=0.01)


@functools.cache
def lenet_table():
    model = models.create("lenet5", num_classes=10, dtype="bfloat16")
    return costs.layer_table(model, (32, 32, 1))


def test_every_model_is_literature():
    assert {row[0] for row in LITERATURE} == set(models.MODELS)


@pytest.mark.parametrize("name", models.MODELS)
def test_rows_add_up_to_the_parameter_tree(name):
    model = models.create(name, num_classes=5)
    table = costs.layer_table(model, CIFAR)
    variables = jax.eval_shape(
        lambda x: model.init(jax.random.key(0), x, train=False),
        jax.ShapeDtypeStruct((1, *CIFAR), jnp.float32),
    )
    leaves = jax.tree.leaves(variables["params"])
    assert sum(row.parameters for row in table) == sum(leaf.size for leaf in leaves)
    assert table[-1].name == "head"
    assert table[-1].output_shape == (5,)


def test_rows_of_lenet():
    rows = [
        (r.name, r.type, r.output_shape, r.parameters, r.macs) for r in lenet_table()
    ]
    assert rows == [
        ("input", "Input", (32, 32, 1), 0, 0),
        ("conv1", "Conv", (28, 28, 6), 156, 28 * 28 * 25 * 6),
        ("pool1", "AvgPool", (14, 14, 6), 0, 0),
        ("conv2", "Conv", (10, 10, 16), 2416, 10 * 10 * 25 * 6 * 16),
        ("pool2", "AvgPool", (5, 5, 16), 0, 0),
        ("flatten", "Flatten", (400,), 0, 0),
        ("fc1", "Dense", (120,), 48_120, 48_000),
        ("fc2", "Dense", (84,), 10_164, 10_080),
        ("head", "Dense", (10,), 850, 840),
    ]


def test_grouped_dilated_and_three_dimensional_convolutions():
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            x = layers.Conv(8, 3, groups=2, padding=0, dilation=2, name="grouped")(x)
            x = x[:, None]
            return layers.Conv(2, (1, 3, 2), (1, 2, 1), padding=0, name="video")(x)

    table = costs.layer_table(Net(), (8, 9, 4))
    assert table[1:] == [
        costs.Layer("grouped", "Conv", (4, 5, 8), 9 * 2 * 8 + 8, 20 * 9 * 2 * 8),
        costs.Layer("video", "Conv", (1, 1, 4, 2), 6 * 8 * 2 + 2, 4 * 6 * 8 * 2),
    ]


def test_shared_layer_counts_parameters_once_and_macs_every_time():
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            dense = layers.Dense(4, name="shared")
            return dense(dense(x))

    table = costs.layer_table(Net(), (3, 4))
    shared = costs.Layer("shared", "Dense", (3, 4), 20, 3 * 16)
    again = costs.Layer("shared", "Dense", (3, 4), 0, 3 * 16)
    assert table[1:] == [shared, again]


class Scale(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x * self.param("scale", nn.initializers.ones, (x.shape[-1],))


class Weighted(nn.Module):
    """A layer that calls another and has a parameter of its own."""

    @nn.compact
    def __call__(self, x):
        weight = self.param("weight", nn.initializers.ones, ())
        return weight * layers.Dense(2, name="dense")(x)


class Sideways(nn.Module):
    """A layer whose parameters belong to a method other than `__call__`."""

    @nn.compact
    def __call__(self, x):
        return ScaleOnly(name="inner").scale(x)


class ScaleOnly(nn.Module):
    @nn.compact
    def scale(self, x):
        return x * self.param("scale", nn.initializers.ones, (x.shape[-1],))


class Around(nn.Module):
    kind: type

    @nn.compact
    def __call__(self, x, train):
        return self.kind(name="layer")(x)


@pytest.mark.parametrize("kind", [Scale, Weighted])
def test_unknown_type_with_parameters_is_refused(kind):
    with pytest.raises(TypeError, match=f"layer is a {kind.__name__}, whose"):
        costs.layer_table(Around(kind), (4, 4, 3))


def test_parameters_outside_of_call_are_refused():
    with pytest.raises(TypeError, match="layer/inner are used outside"):
        costs.layer_table(Around(Sideways), (4, 4, 3))


def test_unknown_type_without_parameters_is_a_row():
    class Double(nn.Module):
        def __call__(self, x):
            return 2 * x

    row = costs.Layer("layer", "Double", (4, 4, 3), 0, 0)
    assert costs.layer_table(Around(Double), (4, 4, 3))[1:] == [row]


def test_json_has_the_documented_names():
    table = lenet_table()
    document = json.loads(costs.render(table, "json"))
    assert document == costs.as_json(table)
    assert list(document) == ["layers", "parameters", "macs"]
    assert document["parameters"] == 61_706
    assert document["layers"][1] == {
        "name": "conv1",
        "type": "Conv",
        "output_shape": [28, 28, 6],
        "parameters": 156,
        "macs": 117_600,
    }


@pytest.mark.parametrize("format", ["table", "markdown"])
def test_text(format):
    table = lenet_table()
    lines = costs.render(table, format).splitlines()
    words = lines[-1].replace("|", " ").split()
    macs = sum(row.macs for row in table)
    assert words == ["total", "61,706", f"{macs:,}"]
    (conv,) = [line for line in lines if "conv2" in line]
    assert "(10, 10, 16)" in conv
    assert "2,416" in conv
    assert all(line.startswith("|") for line in lines) == (format == "markdown")


def test_unknown_format():
    with pytest.raises(UserError, match=r"format 'yaml'.*json, markdown, table"):
        costs.render(lenet_table(), "yaml")


def test_large_network_costs_no_memory():
    model = models.create("mlp", num_classes=10, hidden=(10**6, 10**6))
    parameters, macs = costs.totals(costs.layer_table(model, IMAGENET))
    assert macs == math.prod(IMAGENET) * 10**6 + 10**12 + 10**7
    assert parameters == macs + 2 * 10**6 + 10
