"""Heads and checks of a network that has nothing but a head."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import models
from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import Index, Positive
from cnn_jax.models import classifier
from cnn_jax.models.classifier import HEADS, Classifier, NormalizedClassifier, scaled

SPACE, CHANNELS, CLASSES = (4, 6), 3, 5


class Net(Classifier, kw_only=True):
    """A classifier whose input is its last map."""

    width_multiplier: Positive = 1.0
    random_filters: Index = 0
    branches: tuple[str, ...] = ("a",)
    filters: tuple[str, ...] = ()
    shared: bool = False

    @property
    def subsampling(self):
        return (2, (1, 2), 2)

    @nn.compact
    def __call__(self, x, train):
        return self.classify(x, train, size=x.shape[1:-1])


class Undropped(Net, kw_only=True):
    head_dropout = False


class Gridded(Net, kw_only=True):
    default_head_width = (6,)
    default_head_grid = 2


class Auxiliary(Net, kw_only=True):
    @nn.compact
    def __call__(self, x, train):
        self.auxiliary_logits("second", nn.Dense(2, name="aux"), x.mean((1, 2)), train)
        return self.classify(x, train, size=x.shape[1:-1])


def net(kind=Net, **attributes):
    return kind(num_classes=CLASSES, **attributes)


def maps(space=SPACE, dtype=jnp.float32):
    noise = np.random.default_rng(0).standard_normal((2, *space, CHANNELS))
    return jnp.asarray(noise, dtype)


def initialized(model, x=None):
    x = maps() if x is None else x
    return model.init(jax.random.key(0), x, train=False)


def applied(model, variables, x=None):
    return model.apply(variables, maps() if x is None else x, train=False)


# ------------------------------------------------------------------------- the heads


@pytest.mark.parametrize("head", ["flatten_fc", "pyramid"])
def test_hidden_layers_written_out(head, random_variables):
    model = net(head=head, head_width=(4,))
    variables = random_variables(model, (*SPACE, CHANNELS))
    x = np.asarray(maps())
    if head == "flatten_fc":
        vectors = x.reshape(2, -1)
    else:  # by default grids of 4, 2 and 1 cells a side, whose columns may overlap
        vectors = np.concatenate(
            [
                np.stack(
                    [
                        np.stack([c.max((1, 2)) for c in cells(row, 2, n)], 1)
                        for row in cells(x, 1, n)
                    ],
                    1,
                ).reshape(2, -1)
                for n in (4, 2, 1)
            ],
            1,
        )
    params = variables["params"]
    hidden = vectors @ params["fc1"]["kernel"] + params["fc1"]["bias"]
    logits = np.maximum(hidden, 0) @ params["head"]["kernel"] + params["head"]["bias"]
    np.testing.assert_allclose(applied(model, variables), logits, rtol=1e-4, atol=1e-4)


def cells(x, axis, n):
    """The parts of an axis, as adaptive pooling cuts it."""
    size = x.shape[axis]
    ends = [(i * size // n, -(-(i + 1) * size // n)) for i in range(n)]
    return [np.take(x, range(a, b), axis) for a, b in ends]


def test_the_papers_hidden_layers():
    """Krizhevsky et al. 2012: two of 4,096 units."""
    shapes = jax.eval_shape(lambda: initialized(net(head="flatten_fc")))["params"]
    assert shapes["fc1"]["kernel"].shape == (4 * 6 * CHANNELS, 4096)
    assert shapes["fc2"]["kernel"].shape == (4096, 4096)
    assert shapes["head"]["kernel"].shape == (4096, CLASSES)


def test_no_hidden_layer_at_all():
    variables = initialized(net(head="flatten_fc", head_width=()))
    assert variables["params"].keys() == {"head"}


@pytest.mark.parametrize("space", [(4, 6), (8, 8), (9, 5)])
def test_a_grid_takes_images_of_any_size(space):
    """The grid is set by the config or by the architecture."""
    for model in (net(Gridded, head="flatten_fc"), net(head="embedding", head_grid=2)):
        x = maps(space)
        shapes = jax.eval_shape(lambda m=model, x=x: initialized(m, x))["params"]
        first = "embedding" if model.head == "embedding" else "fc1"
        assert shapes[first]["kernel"].shape[0] == 2 * 2 * CHANNELS
    shapes = jax.eval_shape(lambda: initialized(net(Gridded, head="flatten_fc")))
    assert shapes["params"]["fc1"]["kernel"].shape[1] == 6


def test_class_maps_are_averaged_behind_relu():
    """Lin et al. 2014. A class that ReLU shuts off everywhere would never come back,
    so at first all pass: the bias is one."""
    model = net(head="conv_gap")
    variables = initialized(model)
    head = variables["params"]["head"]
    np.testing.assert_array_equal(head["bias"], np.ones(CLASSES))
    scores = np.asarray(maps()) @ head["kernel"][0, 0] + head["bias"]
    expected = np.maximum(scores, 0).mean((1, 2))
    np.testing.assert_allclose(applied(model, variables), expected, rtol=1e-5)


def test_how_the_last_layer_starts():
    """The kernel is uniform in +-1/sqrt(fan_in), as in PyTorch; the bias is zero."""
    x = jnp.ones((1, 1, 1, 400))
    head = net().init(jax.random.key(0), x, train=False)["params"]["head"]
    bound = 1 / np.sqrt(400)
    kernel = np.asarray(head["kernel"])
    assert np.abs(kernel).max() <= bound < 1.02 * np.abs(kernel).max()
    np.testing.assert_allclose(kernel.std(), bound / np.sqrt(3), rtol=0.03)
    np.testing.assert_array_equal(head["bias"], np.zeros(CLASSES))


def test_how_hidden_layers_start():
    """He et al. 2015, equation 10: a variance of 2 / fan_in."""
    x = jnp.ones((1, 1, 1, 400))
    model = net(head="flatten_fc", head_width=(300,))
    params = model.init(jax.random.key(0), x, train=False)["params"]
    np.testing.assert_allclose(params["fc1"]["kernel"].std(), np.sqrt(2 / 400), 0.02)


@pytest.mark.parametrize("head", HEADS)
def test_what_each_head_returns(head):
    model = net(head=head, **({"head_width": (3, 3)} if head == "deeplab" else {}))
    kind = model.output_kind
    outputs = jax.eval_shape(
        lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0],
        maps(dtype=jnp.bfloat16),
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(outputs)} == {jnp.dtype("float32")}
    shapes = jax.tree.map(lambda leaf: leaf.shape, outputs)
    assert kind in models.OUTPUTS
    assert (
        shapes
        == {
            "logits": (2, CLASSES),
            "maps": (2, *SPACE, CLASSES),
            "embedding": {"embedding": (2, 512), "cosine": (2, CLASSES)},
            "class_maps": {"logits": (2, CLASSES), "maps": (2, *SPACE, CLASSES)},
        }[kind]
    )


def test_the_last_map_is_what_comes_before_the_head():
    model = net()
    np.testing.assert_array_equal(
        models.features(model, initialized(model), maps()), maps()
    )


# --------------------------------------------------------------------------- dropout

# Layers with dropout behind them; the last layer has it before.
DROPPED = {
    "gap": ["pool"],
    "gmp": ["flatten"],
    "flatten_fc": ["fc1", "fc2"],
    "pyramid": ["fc1", "fc2"],
    "embedding": ["flatten"],
}


@pytest.mark.parametrize("head", DROPPED)
def test_where_dropout_is(head, dropped_layers):
    model = net(head=head, dropout=0.5)
    assert dropped_layers(model, (*SPACE, CHANNELS)) == DROPPED[head]
    assert dropped_layers(model.clone(dropout=0.0), (*SPACE, CHANNELS)) == []


def test_an_architecture_may_have_none_before_its_last_layer(dropped_layers):
    """The hidden layers of such an architecture still have dropout."""
    shape = (*SPACE, CHANNELS)
    assert dropped_layers(net(Undropped, dropout=0.5), shape) == []
    hidden = net(Undropped, dropout=0.5, head="flatten_fc", head_width=(4,))
    assert dropped_layers(hidden, shape) == [
        "fc1"
    ]  # a hidden layer has it all the same


def test_dropout_is_for_training_alone():
    model = net(dropout=0.9)
    variables = initialized(model)
    np.testing.assert_array_equal(applied(model, variables), applied(net(), variables))
    keys = {"dropout": jax.random.key(1)}
    dropped = model.apply(variables, maps(), train=True, rngs=keys)
    assert not np.allclose(dropped, applied(model, variables))


# -------------------------------------------------------------------- auxiliary heads


def test_auxiliary_logits_are_made_in_training_alone():
    model = net(Auxiliary)
    variables = initialized(model)
    assert "aux" in variables["params"] and "auxiliary" not in variables
    expected = maps().mean((1, 2)) @ variables["params"]["aux"]["kernel"]
    _, state = model.apply(variables, maps(), train=True, mutable=["auxiliary"])
    np.testing.assert_allclose(state["auxiliary"]["second"][0], expected, rtol=1e-5)
    _, state = model.apply(variables, maps(), train=False, mutable=["auxiliary"])
    assert not state


# ---------------------------------------------------------------------- normalization


@pytest.mark.parametrize(
    ("base", "normalized"), [(NormalizedClassifier, True), (Classifier, False)]
)
def test_a_heads_convolutions_are_normalized_as_the_network_is(base, normalized):
    class Normed(base, kw_only=True):
        subsampling = ()

        @nn.compact
        def __call__(self, x, train):
            return self.classify(x, train, size=x.shape[1:-1])

    model = Normed(num_classes=CLASSES, head="fcn", head_width=(2,))
    variables = jax.eval_shape(lambda: initialized(model))
    assert ("norm" in variables["params"]["head_conv1"]) == normalized


# ----------------------------------------------------------------------------- checks


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"head": "gapp"}, r"unknown head 'gapp'.*Did you mean 'gap'"),
        ({"num_classes": 0}, "num_classes=0 must be at least 1"),
        ({"width_multiplier": -1.0}, "width_multiplier=-1.0 must be above 0"),
        ({"random_filters": -1}, "random_filters=-1 must be at least 0"),
        ({"branches": ()}, r"branches=\(\) needs at least one entry"),
        ({"dropout": -0.1}, "dropout=-0.1 must be at least 0 and below 1"),
        ({"dropout": float("nan")}, "dropout=nan must be at least 0"),
        ({"head_width": (3,)}, "belongs to head=flatten_fc or pyramid or fcn or dee"),
        ({"head": "deeplab", "aspp_rates": (0,)}, r"aspp_rates=\(0,\) must be at le"),
        ({"output_stride": 3}, "set one of 1, 2, 4, 8 .* stride is 8"),
        ({"output_stride": 0}, "output_stride=0 must be at least 1"),
    ],
)
def test_values_that_make_no_network(attributes, words):
    with pytest.raises(UserError, match=words):
        Net(**{"num_classes": CLASSES} | attributes)


@pytest.mark.parametrize(
    "attributes",
    [
        {"random_filters": 0, "filters": (), "shared": False},
        {"head": "flatten_fc", "head_width": ()},
        {"dropout": 0.999},
        *({"output_stride": stride} for stride in (1, 2, 4, 8)),
    ],
)
def test_values_at_the_border(attributes):
    assert net(**attributes) == net(**attributes)


def test_a_subclass_checks_what_is_its_own():
    """After the numbers are known to be right."""

    class Picky(Net, kw_only=True):
        pool: str = "avg"

        def validate(self):
            assert self.random_filters >= 0
            self.check("pool", ["avg", "max"])

    assert net(Picky, pool="max").pool == "max"
    with pytest.raises(UserError, match=r"unknown pool 'maxx'.*Did you mean 'max'"):
        net(Picky, pool="maxx")
    with pytest.raises(UserError, match="must be at least 0"):
        net(Picky, random_filters=-1)


def test_a_plan_of_strides():
    steps = [step.strides for step in net().plan()]
    assert steps == [(2, 2), (1, 2), (2, 2)]
    steps = [step.strides for step in net(output_stride=4).plan()]
    assert steps == [(2, 2), (1, 2), (1, 1)]


# --------------------------------------------------------------------- width multiplier


def make_divisible(value, divisor):
    """The reference implementation's, in tensorflow/models, slim/nets/mobilenet."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    if rounded < 0.9 * value:
        rounded += divisor
    return rounded


@pytest.mark.parametrize("divisor", [1, 8])
def test_widths_are_rounded_as_mobilenets(divisor):
    for channels in (1, 3, 16, 24, 32, 64, 96, 160, 320, 1280):
        for multiplier in (0.01, 0.1, 0.35, 0.5, 0.75, 1.0, 1.3, 2.5):
            found = scaled(channels, multiplier, divisor)
            assert found == make_divisible(channels * multiplier, divisor)
            assert found >= divisor and found % divisor == 0
            assert found >= 0.9 * channels * multiplier


def test_the_published_widths_of_mobilenet():
    """The widths are torchvision's, at multipliers of 0.35, 0.75 and 1.4."""
    stages = (32, 16, 24, 32, 64, 96, 160, 320)
    assert [scaled(c, 0.35, 8) for c in stages] == [16, 8, 8, 16, 24, 32, 56, 112]
    assert [scaled(c, 0.75, 8) for c in stages] == [24, 16, 24, 24, 48, 72, 120, 240]
    assert [scaled(c, 1.4, 8) for c in stages] == [48, 24, 32, 48, 88, 136, 224, 448]


@pytest.mark.parametrize("multiplier", [0.0, -0.5, float("inf"), float("nan")])
def test_a_multiplier_that_is_none(multiplier):
    with pytest.raises(UserError, match="must be above 0 and finite"):
        scaled(16, multiplier)


def test_attributes_of_heads_belong_to_a_head():
    assert set(classifier.OF_HEADS) <= Net.__dataclass_fields__.keys()
    assert all(set(own) <= set(classifier.OF_HEADS) for own in HEADS.values())
