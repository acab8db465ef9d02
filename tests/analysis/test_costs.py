"""The table of layers: rows, totals, and how it is written."""

import json
import math
from functools import partial

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
    return sum(leaf.size for leaf in jax.tree.leaves(variables.get("params", {})))


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


class Owner(nn.Module):
    """A parameter that another module reads."""

    def setup(self):
        self.kernel = self.param("kernel", nn.initializers.ones, (3, 2))


class Read(nn.Module):
    def setup(self):
        self.owner = Owner()

    def __call__(self, x):
        return x @ self.owner.kernel


class Double(nn.Module):
    def __call__(self, x):
        return 2 * x


class Trees(nn.Module):
    """A parameter that is a tree, and an output that is another."""

    @nn.compact
    def __call__(self, x):
        tree = {"a": jnp.ones((3, 2)), "b": [jnp.ones(2), jnp.ones(4)]}
        tree = self.param("tree", lambda key: tree)
        return {"x": x @ tree["a"], "y": (x, None)}


class Around(nn.Module):
    kind: type

    @nn.compact
    def __call__(self, x, train):
        return self.kind(name="layer")(x)


def rows(table):
    return [(r.name, r.type, r.parameters, r.macs, r.traced) for r in table[1:]]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Scale, [("layer", "Scale", 3, 0, True)]),
        (
            Weighted,
            [
                ("layer/dense", "Dense", 8, 16 * 3 * 2, False),
                ("layer", "Weighted", 1, 0, True),
            ],
        ),
        # Parameters that a method other than `__call__` uses.
        (Sideways, [("layer/inner", "ScaleOnly", 3, 0, True)]),
        (
            Read,
            [
                ("layer", "Read", 0, 16 * 3 * 2, True),
                ("layer/owner", "Owner", 6, 0, False),
            ],
        ),
        (Double, [("layer", "Double", 0, 0, True)]),
        (
            Trees,
            [("layer", "Trees", 3 * 2 + 2 + 4, 16 * 3 * 2, True)],
        ),
    ],
)
def test_layers_from_elsewhere_are_counted(kind, expected):
    table = costs.layer_table(Around(kind), (4, 4, 3))
    assert rows(table) == expected
    assert table.parameters == parameters_of(Around(kind), (4, 4, 3))
    assert table.traced


def test_a_layer_from_elsewhere_has_no_words():
    row = costs.layer_table(Around(Double), (4, 4, 3))[1]
    assert (row.kind, row.explanation) == ("Double", "")


class Single(nn.Module):
    """Layers one after the other, as anybody writes them: they take no `name`, and
    `train` is a keyword."""

    made: tuple

    @nn.compact
    def __call__(self, x, *, train):
        for make in self.made:
            x = make()(x)
        return x


VALID = {"strides": (2, 2), "padding": "VALID"}


@pytest.mark.parametrize(
    ("linen", "ours"),
    [
        (partial(nn.Conv, 6, (3, 3)), partial(layers.Conv, 6, 3)),
        (
            partial(
                nn.Conv,
                6,
                (3, 5),
                2,
                kernel_dilation=(1, 2),
                feature_group_count=2,
                use_bias=False,
            ),
            partial(layers.Conv, 6, (3, 5), 2, "SAME", (1, 2), 2, use_bias=False),
        ),
        (
            partial(nn.Conv, 8, (3, 3), feature_group_count=4, padding=1),
            partial(layers.DepthwiseConv, 3, multiplier=2, padding=1),
        ),
        (
            partial(nn.ConvTranspose, 6, (3, 3), (2, 2)),
            partial(layers.ConvTranspose, 6, 3, 2),
        ),
        (
            partial(nn.ConvTranspose, 6, (3, 3), **VALID),
            partial(layers.ConvTranspose, 6, 3, **VALID),
        ),
        (partial(nn.Dense, 5), partial(layers.Dense, 5)),
        (partial(nn.DenseGeneral, 5), partial(layers.Dense, 5)),
        (
            partial(nn.BatchNorm, use_running_average=True),
            partial(layers.BatchNorm, use_running_average=True),
        ),
        (partial(nn.GroupNorm, 2), partial(layers.GroupNorm, 2)),
    ],
)
def test_layers_of_linen_cost_what_ours_do(linen, ours):
    network = [partial(layers.Conv, 4, 3), None, partial(layers.Dense, 2)]
    tables = [
        costs.layer_table(Single((network[0], make, network[2])), (9, 8, 3))
        for make in (linen, ours)
    ]
    theirs, expected = (
        [(r.output_shape, r.parameters, r.macs, r.memory) for r in table]
        for table in tables
    )
    assert theirs == expected
    assert [row.traced for row in tables[0]] == [False, False, True, False]
    assert not tables[1].traced


def test_a_container_is_no_row():
    # Linen puts the modules that `Sequential` calls beside it.
    make = lambda: nn.Sequential((nn.Dense(3), nn.relu))  # noqa: E731
    table = costs.layer_table(Single((make,)), (4,))
    assert rows(table) == [("Dense_0", "Dense", 15, 12, True)]


def test_attention():
    attention = partial(nn.MultiHeadDotProductAttention, 2, qkv_features=6)
    table = costs.layer_table(Single((attention,)), (5, 4))
    *projections, last, products = table[1:]
    # Queries, keys and values, 5 vectors of 4 to 6 each, and back.
    assert [row.macs for row in (*projections, last)] == 4 * [5 * 4 * 6]
    # Each query with each key, and the values with the weights.
    assert (products.macs, products.parameters) == (2 * 5 * 5 * 6, 0)
    assert products.memory == 0  # the output is that of the last projection
    assert table.parameters == 3 * (4 * 6 + 6) + (6 * 4 + 4)
    assert [row.receptive_field for row in (last, products)] == [(5,), (5,)]


class Step(nn.Module):
    make: object

    @nn.compact
    def __call__(self, x, _):
        return self.make(name="inner")(x), None


class Scanned(nn.Module):
    make: object

    @nn.compact
    def __call__(self, x, train):
        scan = nn.scan(
            Step, variable_axes={"params": 0}, split_rngs={"params": True}, length=5
        )
        return scan(self.make, name="scan")(x, None)[0]


@pytest.mark.parametrize("dense", [nn.Dense, layers.Dense])
def test_layers_inside_of_scan(dense):
    table = costs.layer_table(Scanned(partial(dense, 4)), (3, 4))
    assert rows(table) == [
        ("scan/inner", "Dense", 5 * (4 * 4 + 4), 5 * 3 * 4 * 4, True)
    ]
    assert table[1].receptive_field is None


class Lifted(nn.Module):
    """Linen's other transformations."""

    @nn.compact
    def __call__(self, x, train):
        x = nn.remat(layers.Dense)(4, name="remat")(x)
        x = nn.jit(nn.Dense)(4, name="jit")(x)
        x = nn.jit(nn.Dense)(4, name="again")(x)
        vmap = nn.vmap(
            nn.Dense,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=1,
            out_axes=1,
        )
        return vmap(4, name="vmap")(x)


@pytest.mark.parametrize("time", ["first", "second"])  # JAX keeps what it traced
def test_lifted_layers(time):
    table = costs.layer_table(Lifted(), (3, 4))
    assert (table.macs, table.parameters) == (4 * 3 * 16, 3 * 20 + 3 * 20)
    assert {row.name for row in table[1:]} == {"remat", "jit", "again", "vmap"}


def test_recurrent_layers():
    cell = nn.OptimizedLSTMCell(5)
    table = costs.layer_table(Single((partial(nn.RNN, cell),)), (6, 4))
    assert table.macs == 6 * 4 * (4 * 5 + 5 * 5)
    assert table.parameters == 4 * (4 * 5 + 5 * 5 + 5)


class Branches(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        large, small = nn.Dense(9, name="large"), nn.Dense(9, name="small")

        def both(module, x):
            return large(x @ jnp.ones((4, 4)))

        return nn.cond(x.sum() > 0, both, lambda module, x: small(x), self, x)


def test_the_largest_branch_counts():
    table = costs.layer_table(Branches(), (4,))
    assert (table.macs, table.parameters) == (4 * 4 + 4 * 9, 2 * (4 * 9 + 9))


class Foreign(nn.Module):
    """A network by itself: positional `train`, parameters of its own, statistics,
    dropout, a branch for initialization, `features` that are no maps."""

    @nn.compact
    def __call__(self, x, train=True):
        self.sow("intermediates", "maps", {"x": x})
        x = x @ self.param("kernel", nn.initializers.ones, (x.shape[-1], 4))
        if train or self.is_initializing():
            nn.Dense(3, name="auxiliary")(x)
        x = nn.BatchNorm(use_running_average=not train)(x)
        self.variable("cache", "count", jnp.zeros, ())
        return nn.Dropout(0.5, deterministic=not train)(Double(name="features")(x))


def test_a_network_from_elsewhere():
    table = costs.layer_table(Foreign(), (3, 3))
    assert rows(table) == [
        ("BatchNorm_0", "BatchNorm", 8, 0, True),
        ("features", "Double", 0, 0, True),
        ("Foreign", "Foreign", 12, 9 * 4, True),
        ("auxiliary", "Dense", 15, 0, False),
    ]
    assert (table.parameters, table.training_only_parameters) == (20, 15)
    assert table.features is None


class Sowing(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        if self.is_initializing():
            nn.remat(nn.Dense)(3, name="auxiliary")(x)
        self.sow("intermediates", "features", {"x": x})
        return x


def test_features_that_are_no_array():
    table = costs.layer_table(Sowing(), (4,))
    assert table.features is None
    assert (table.parameters, table.training_only_parameters) == (0, 15)


def test_counted_rows_are_marked():
    made = (partial(layers.Dense, 3), partial(nn.Dense, 2))
    table = costs.layer_table(Single(made), (4,))
    lines = costs.render(table).splitlines()
    assert lines[3].startswith("Dense_0  ") and lines[4].startswith("Dense_1 (traced)")
    assert lines[6].split() == ["total", "(traced)", "23", "18", "20", "B"]
    assert lines[-1] == "(traced): multiply-accumulates counted from the traced program"
    markdown = costs.render(table, "markdown").splitlines()
    assert markdown[-3].startswith("| total (traced)") and markdown[-1] == lines[-1]
    document = costs.as_json(table)
    assert document["traced"] is True
    assert [row["traced"] for row in document["layers"]] == [False, False, True]


def test_exchanged_layers_are_named():
    """The table and the explanations of its rows name exchanged layers."""
    small = {"num_classes": 2, "widths": (4,), "depth": 1}
    model = models.create("plain", **small, norm="layer", activation="gelu")
    table = costs.layer_table(model, (8, 8, 1))
    text = "activation: gelu in place of relu; normalization: layer in place of batch"
    assert table.exchanged == costs.as_json(table)["exchanged"] == text
    for format in ("table", "markdown"):
        assert costs.render(table, format).splitlines()[-1] == text
    (row,) = [row for row in table if row.name == "stage1_layer1/norm"]
    assert row.receptive_field == (8, 8) and row.macs == 0
    assert "one group: layer normalization over space and channels" in row.explanation
    own = costs.layer_table(models.create("plain", **small), (8, 8, 1))
    assert own.exchanged == "" and own.macs == table.macs
    assert own.parameters == table.parameters


def test_dropout_is_no_row():
    for layer in (layers.Dropout, layers.SpatialDropout, layers.StochasticDepth):
        make = partial(layer, rate=0.5, deterministic=True)
        assert len(costs.layer_table(Single((make,)), (8, 8, 4))) == 1


@pytest.mark.parametrize(
    ("dtype", "size"), [(None, 4), (jnp.bfloat16, 2), (jnp.float16, 2)]
)
def test_memory_is_that_of_the_computation(dtype, size):
    make = partial(layers.Conv, 4, 3, dtype=dtype)
    _, row = costs.layer_table(Single((make,)), (6, 5, 3))
    assert row.memory == 6 * 5 * 4 * size


def test_json_has_the_documented_names(lenet):
    document = json.loads(costs.render(lenet, "json"))
    assert document == costs.as_json(lenet)
    assert document["parameters"] == 61_706
    assert document["traced"] is False
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
        "traced": False,
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
