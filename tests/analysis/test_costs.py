"""The table of layers: rows, totals, and how it is written."""

import json
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from cnn_jax import layers, models
from cnn_jax.analysis import costs
from cnn_jax.core.errors import UserError


@pytest.fixture(scope="module")
def lenet():
    model = models.create("lenet5", num_classes=10, dtype="bfloat16")
    return costs.layer_table(model, (32, 32, 1))


def parameters_of(model, shape):
    variables = jax.eval_shape(
        lambda x: model.init(jax.random.key(0), x, train=False),
        jax.ShapeDtypeStruct((1, *shape), jnp.float32),
    )
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


@pytest.mark.parametrize("name", ["resnet18", "googlenet", "squeezenet1_1", "r3d_18"])
def test_rows_add_up_to_the_parameter_tree(name, table_of):
    table, setting = table_of(name), models.published(name)
    model = models.create(name, num_classes=setting.num_classes)
    counted = sum(row.parameters for row in table)
    assert counted == parameters_of(model, setting.input_shape)
    assert counted == table.parameters + table.training_only_parameters


@pytest.mark.full
@pytest.mark.parametrize("name", models.MODELS)
def test_every_row_has_a_field_and_the_last_one_the_classes(name, table_of):
    rows = [row for row in table_of(name) if not row.training_only]
    assert all(row.receptive_field is not None for row in rows)
    setting = models.published(name)
    classes = setting.num_classes or setting.input_shape[-1]
    assert rows[-1].output_shape[-1] == classes


def test_rows_of_lenet(lenet):
    rows = [
        (r.name, r.type, r.output_shape, r.parameters, r.macs, r.memory, *r.offset)
        for r in lenet
    ]
    assert rows == [
        ("input", "Input", (32, 32, 1), 0, 0, 4096, 0, 0),
        ("conv1", "Conv", (28, 28, 6), 156, 28 * 28 * 25 * 6, 2 * 4704, 0, 0),
        ("pool1", "AvgPool", (14, 14, 6), 0, 0, 2 * 1176, 0, 0),
        ("conv2", "Conv", (10, 10, 16), 2416, 10 * 10 * 25 * 6 * 16, 3200, 0, 0),
        ("pool2", "AvgPool", (5, 5, 16), 0, 0, 800, 0, 0),
        ("flatten", "Flatten", (400,), 0, 0, 800, 0, 0),
        ("fc1", "Dense", (120,), 48_120, 48_000, 240, 0, 0),
        ("fc2", "Dense", (84,), 10_164, 10_080, 168, 0, 0),
        ("head", "Dense", (10,), 850, 840, 40, 0, 0),
    ]
    assert [row.receptive_field[0] for row in lenet[1:5]] == [5, 6, 14, 16]
    assert [row.stride[1] for row in lenet[1:6]] == [1, 2, 2, 4, None]
    assert lenet.weighted_layers == 5
    assert lenet.features.receptive_field == (16, 16)


def brief(table):
    return [(r.name, r.output_shape, r.parameters, r.macs) for r in table[1:]]


def test_grouped_dilated_and_three_dimensional_convolutions():
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            x = layers.Conv(8, 3, groups=2, padding=0, dilation=2, name="grouped")(x)
            x = x[:, None]
            return layers.Conv(2, (1, 3, 2), (1, 2, 1), padding=0, name="video")(x)

    assert brief(costs.layer_table(Net(), (8, 9, 4))) == [
        ("grouped", (4, 5, 8), 9 * 2 * 8 + 8, 20 * 9 * 2 * 8),
        ("video", (1, 1, 4, 2), 6 * 8 * 2 + 2, 4 * 6 * 8 * 2),
    ]


def test_shared_layer_counts_parameters_once_and_macs_every_time():
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            dense = layers.Dense(4, name="shared")
            return dense(dense(x))

    assert brief(costs.layer_table(Net(), (3, 4))) == [
        ("shared", (3, 4), 20, 3 * 16),
        ("shared", (3, 4), 0, 3 * 16),
    ]


class Auxiliary(nn.Module):
    """A network with a head for training, and a layer that is shared with it."""

    @nn.compact
    def __call__(self, x, train):
        shared = layers.Dense(4, name="shared")
        y = shared(x)
        if train or self.is_initializing():
            layers.Dense(3, name="auxiliary")(shared(y))
        return layers.Dropout(0.5, deterministic=not train, name="dropout")(y)


def test_what_only_training_uses_is_apart():
    table = costs.layer_table(Auxiliary(), (4,))
    rows = [(r.name, r.parameters, r.macs, r.training_only) for r in table]
    assert rows == [
        ("input", 0, 0, False),
        ("shared", 20, 16, False),
        ("auxiliary", 15, 0, True),
    ]
    assert (table.parameters, table.training_only_parameters) == (20, 15)
    assert (table.macs, table.memory, table.weighted_layers) == (16, 16, 1)
    lines = costs.render(table).splitlines()
    assert "auxiliary (training only)" in lines[4]
    assert lines[-2].split() == ["total", "20", "16", "16", "B"]
    assert lines[-1].split() == ["in", "training", "only", "15"]
    document = costs.as_json(table)
    assert document["parameters"] == 20
    assert document["training_only_parameters"] == 15
    assert [row["training_only"] for row in document["layers"]] == [False, False, True]


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

    table = costs.layer_table(Around(Double), (4, 4, 3))
    assert brief(table) == [("layer", (4, 4, 3), 0, 0)]
    assert (table[1].kind, table[1].explanation) == ("Double", "")


def test_json_has_the_documented_names(lenet):
    document = json.loads(costs.render(lenet, "json"))
    assert document == costs.as_json(lenet)
    assert document["parameters"] == 61_706
    assert document["activation_bytes"] == sum(r.memory for r in lenet[1:])
    assert document["features"]["receptive_field"] == [16, 16]
    assert document["layers"][1] == {
        "name": "conv1",
        "type": "Conv",
        "output_shape": [28, 28, 6],
        "parameters": 156,
        "macs": 117_600,
        "activation_bytes": 9408,
        "receptive_field": [5, 5],
        "stride": [1, 1],
        "offset": [0, 0],
        "training_only": False,
        "kind": "Convolution (5x5)",
        "explanation": "6 filters of 5x5, stride 1, padding 0; (5*5*1*6) + 6 = 156; "
        "(32 - 5 + 2*0)/1 + 1 = 28",
    }
    assert document["layers"][-1]["stride"] == [None, None]


def test_a_stride_below_one_is_written_as_a_number():
    class Larger(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            return layers.ConvTranspose(2, 3, 2, name="up")(x)

    table = costs.layer_table(Larger(), (4, 4, 1))
    assert costs.as_json(table)["layers"][1]["stride"] == [0.5, 0.5]


@pytest.mark.parametrize("format", ["table", "markdown"])
def test_text(format, lenet):
    lines = costs.render(lenet, format).splitlines()
    words = lines[-1].replace("|", " ").split()
    size = costs.memory_text(lenet.memory).split()
    assert words == ["total", "61,706", f"{lenet.macs:,}", *size]
    (conv,) = [line for line in lines if "conv2" in line]
    assert "(10, 10, 16)" in conv and "2,416" in conv and "3.1 KiB" in conv
    markdown = format == "markdown"
    assert ("16 filters of 5x5" in conv) == markdown
    assert ("Convolution (5x5)" in conv) == markdown
    assert all(line.startswith("|") for line in lines) == markdown
    if not markdown:
        assert max(map(len, lines)) <= 90


@pytest.mark.parametrize(
    ("size", "text"),
    [(40, "40 B"), (1024, "1.0 KiB"), (2**20, "1.0 MiB"), (3 * 2**31, "6,144.0 MiB")],
)
def test_memory_as_text(size, text):
    assert costs.memory_text(size) == text


def test_unknown_format(lenet):
    with pytest.raises(UserError, match=r"format 'yaml'.*json, markdown, table"):
        costs.render(lenet, "yaml")


def test_large_network_costs_no_memory():
    model = models.create("mlp", num_classes=10, hidden=(10**6, 10**6))
    table = costs.layer_table(model, (224, 224, 3))
    parameters, macs = costs.totals(table)
    assert macs == math.prod((224, 224, 3)) * 10**6 + 10**12 + 10**7
    assert parameters == macs + 2 * 10**6 + 10
