"""Heads that make a row of logits per pixel, from the last map."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import layers, models
from cnn_jax.analysis import costs
from cnn_jax.models import pixel_heads

SMALL = {"stem": "small", "width": 4, "stage_sizes": (1, 1)}
SHAPE = (9, 8, 3)


def created(head, name="resnet20", **attributes):
    return models.create(name, num_classes=5, head=head, **SMALL, **attributes)


@pytest.fixture
def run(random_variables):
    """A function of a model to its variables, its last map and its logits."""

    def apply(model):
        variables = random_variables(model, SHAPE)
        x = jax.random.normal(jax.random.key(0), (2, *SHAPE))
        maps, logits = jax.jit(
            lambda v, x: (models.features(model, v, x), model.apply(v, x, False))
        )(variables, x)
        return variables, maps, logits

    return apply


def part(variables, name):
    return {kind: tree[name] for kind, tree in variables.items() if name in tree}


def test_a_wider_fully_convolutional_head(run):
    model = created("fcn", head_width=(3, 6))
    variables, x, logits = run(model)
    for i, features in enumerate((3, 6), start=1):
        unit = model.head_conv(False)(features, (3, 3))
        x = unit.apply(part(variables, f"head_conv{i}"), x)
    head = variables["params"]["head"]
    scores = x @ head["kernel"][0, 0] + head["bias"]
    expected = layers.resize_bilinear(scores, size=SHAPE[:2])
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_the_head_of_deeplab(run):
    model = created("deeplab", head_width=(3, 6), aspp_rates=(1, 3))
    variables, x, logits = run(model)
    conv = model.head_conv(False)
    x = layers.ASPP(3, (1, 3), conv).apply(part(variables, "aspp"), x)
    x = conv(6, (3, 3)).apply(part(variables, "head_conv1"), x)
    head = variables["params"]["head"]
    scores = x @ head["kernel"][0, 0] + head["bias"]
    expected = layers.resize_bilinear(scores, size=SHAPE[:2])
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("large", [False, pytest.param(True, marks=pytest.mark.full)])
def test_a_context_module_behind_the_scores(run, large):
    variables, x, logits = run(created("large_context" if large else "context"))
    head = variables["params"]["head"]
    scores = x @ head["kernel"][0, 0] + head["bias"]
    module = layers.ContextModule(large)
    scores = module.apply(part(variables, "context"), scores)
    expected = layers.resize_bilinear(scores, size=SHAPE[:2])
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4)


def test_at_first_a_context_module_changes_nothing():
    """The initial module is the identity for scores above zero, such as the first."""
    plain, model = created("fcn"), created("context")
    x = 0.1 * jax.random.normal(jax.random.key(0), (2, *SHAPE))
    variables = jax.jit(lambda x: model.init(jax.random.key(0), x, False))(x)
    params = {k: v for k, v in variables["params"].items() if k != "context"}
    assert (params["head"]["bias"] == 1).all()
    without = {"params": params, "batch_stats": variables["batch_stats"]}
    expected = plain.apply(without, x, False)
    logits = model.apply(variables, x, False)
    np.testing.assert_allclose(logits, jax.nn.relu(expected), rtol=1e-5)
    assert (np.asarray(expected) > 0).mean() > 0.9


def test_convolutions_of_a_head_have_biases_where_there_is_no_normalization():
    for name, normalized in (("vgg11", False), ("vgg11_bn", True), ("lenet5", False)):
        model = models.create(name, num_classes=3, head="fcn", head_width=(4,))
        x = jax.ShapeDtypeStruct((1, 32, 32, 1), jnp.float32)
        shapes = jax.eval_shape(
            lambda x, m=model: m.init(jax.random.key(0), x, False)["params"], x
        )
        unit = shapes["head_conv1"]
        assert ("norm" in unit) == normalized == ("bias" not in unit["conv"])


# --------------------------------------------------------------------- auxiliary


@pytest.mark.parametrize("name", ["resnet20", "preactresnet"])
def test_auxiliary_logits_in_training_only(name):
    model = created("fcn", name, auxiliary=True, dtype="bfloat16")
    x = jax.ShapeDtypeStruct((2, *SHAPE), jnp.float32)

    def both(x):
        key = jax.random.key(0)
        variables = model.init(key, x, False)
        mutable, rngs = ["batch_stats", "auxiliary"], {"dropout": key}
        runs = [
            model.apply(variables, x, train, mutable=mutable, rngs=rngs)
            for train in (True, False)
        ]
        return variables, runs

    variables, ((logits, state), (_, evaluated)) = jax.eval_shape(both, x)
    (auxiliary,) = state["auxiliary"]["aux_logits"]
    for found in (logits, auxiliary):
        assert (found.shape, found.dtype) == ((2, *SHAPE[:2], 5), jnp.float32)
    assert "auxiliary" not in evaluated
    # A quarter of the four channels of the stage before the last.
    aux = variables["params"]["aux"]
    assert aux["head_conv1"]["conv"]["kernel"].shape == (3, 3, 4, 1)
    assert aux["head"]["kernel"].shape == (1, 1, 1, 5)


def test_the_auxiliary_head_is_on_the_stage_before_the_last(random_variables):
    """The gradient of the auxiliary head reaches this stage, but not the last one."""
    model = created("fcn", auxiliary=True, auxiliary_dropout=0.0)
    variables = random_variables(model, SHAPE)
    x = jax.random.normal(jax.random.key(0), (2, *SHAPE))

    def total(params):
        state = variables | {"params": params}
        mutable = ["batch_stats", "auxiliary"]
        _, found = model.apply(state, x, True, mutable=mutable)
        (logits,) = found["auxiliary"]["aux_logits"]
        return (logits**2).sum()

    gradients = jax.jit(jax.grad(total))(variables["params"])
    moved = {
        name: any(leaf.any() for leaf in jax.tree.leaves(tree))
        for name, tree in gradients.items()
    }
    assert moved == {
        "stem": True,
        "stage1_block1": True,
        "stage2_block1": False,
        "head": False,
        "aux": True,
    }


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "parameters"),
    # torchvision 0.28, without and with `aux_loss`.
    [
        ("fcn_resnet50", (32_957_013, 35_322_218)),
        ("deeplabv3_resnet50", (39_638_869, 42_004_074)),
    ],
)
def test_parameters(name, parameters):
    for auxiliary, expected in zip((False, True), parameters, strict=True):
        model = models.create(name, num_classes=21, auxiliary=auxiliary)
        table = costs.layer_table(model, (64, 64, 3))
        assert table.parameters == parameters[0]
        assert table.parameters + table.training_only_parameters == expected


@pytest.mark.full
def test_rates_of_a_dilated_network():
    """The first block of a stage that dilates keeps the distance of the one before."""
    model = models.create("deeplabv3_resnet50")
    table = costs.layer_table(model, (64, 64, 3))
    dilation = {
        row.name: row.explanation.partition("dilation ")[2].split(",")[0].split(";")[0]
        for row in table
        if row.name.endswith("conv2") or "dilated" in row.name
    }
    found = [dilation[f"stage{s}_block{b}/conv2"] for s in (3, 4) for b in (1, 2)]
    assert found == ["", "2", "2", "4"]
    rates = [dilation[f"aspp/dilated{i}/conv"] for i in (1, 2, 3)]
    assert rates == [str(rate) for rate in pixel_heads.RATES]
