"""What every model keeps, and the table of models itself."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import models
from cnn_jax.errors import UserError

# Attributes with which a model is small enough to run.
SMALL = {
    "resnet20": {"width": 4, "stage_sizes": (1, 1)},
    "resnet50": {"width": 4, "stage_sizes": (1, 1)},
}
DIGITS = (8, 8, 1)


def abstract(name, dtype, train, **attributes):
    """Shapes and dtypes of variables and output, for two images."""
    model = models.create(name, num_classes=7, dtype=dtype, **attributes)
    x = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)

    def apply(key, x):
        variables = model.init(key, x, train=False)
        return variables, model.apply(variables, x, train, mutable=["batch_stats"])

    variables, (logits, updates) = jax.eval_shape(apply, jax.random.key(0), x)
    return variables, logits, updates


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("name", models.MODELS)
def test_logits_and_variables_are_float32(name, train):
    variables, logits, updates = abstract(name, "bfloat16", train)
    assert logits.shape == (2, 7)
    assert logits.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    shape_of = lambda tree: jax.tree.map(lambda leaf: leaf.shape, tree)  # noqa: E731
    assert shape_of(updates) == shape_of(
        {k: v for k, v in variables.items() if k != "params"}
    )


@pytest.mark.parametrize("name", models.MODELS)
def test_attributes_are_plain_and_are_the_defaults(name):
    known = models.attributes(name)
    assert not {"name", "parent", "num_classes"} & known.keys()
    defaults = {key: default for key, (_, default) in known.items()}
    json.dumps(defaults)
    assert models.create(name, num_classes=3, **defaults) == models.create(
        name, num_classes=3
    )


def test_attributes_of_a_variant():
    assert models.attributes("mlp") == {
        "hidden": (tuple[int, ...], (100,)),
        "activation": (str, "relu"),
        "dtype": (str | None, None),
    }
    known = models.attributes("resnext50_32x4d")
    assert known["groups"] == (int, 32)
    assert known["stage_sizes"] == (tuple[int, ...], (3, 4, 6, 3))
    assert known["output_stride"] == (int | None, None)


@pytest.mark.parametrize("dtype", [None, "float32", "bfloat16", jnp.bfloat16])
def test_computes_in_dtype(dtype):
    model = models.create("lenet5", num_classes=3, dtype=dtype, padding=(2, 2))
    _, state = jax.eval_shape(
        lambda x: model.init_with_output(
            jax.random.key(0),
            x,
            False,
            capture_intermediates=True,
            mutable=["params", "intermediates"],
        ),
        jax.ShapeDtypeStruct((1, *DIGITS), jnp.float32),
    )
    (first,) = state["intermediates"]["conv1"]["__call__"]
    assert first.dtype == jnp.dtype(dtype or "float32")


@pytest.mark.parametrize("name", SMALL)
def test_learns_and_keeps_statistics(name, random_variables):
    model = models.create(name, num_classes=4, stem="small", **SMALL[name])
    x = jax.random.normal(jax.random.key(0), (4, *DIGITS))
    variables = random_variables(model, DIGITS)
    params, stats = variables["params"], variables["batch_stats"]

    @jax.jit
    def loss_and_stats(params):
        logits, updates = model.apply(
            {"params": params, "batch_stats": stats}, x, True, mutable=["batch_stats"]
        )
        log_p = jax.nn.log_softmax(logits)
        return -jnp.mean(jnp.diagonal(log_p)), updates["batch_stats"]

    step = jax.jit(jax.value_and_grad(loss_and_stats, has_aux=True))
    (before, new_stats), grads = step(params)
    assert all(np.any(leaf != 0) for leaf in jax.tree.leaves(grads))
    moved = jax.tree.map(lambda a, b: bool(np.any(a != b)), stats, new_stats)
    assert all(jax.tree.leaves(moved))
    params = jax.tree.map(lambda p, g: p - 0.01 * g, params, grads)
    (after, _), _ = step(params)
    assert after < before

    # Evaluation leaves statistics alone and sees each example by itself.
    evaluate = jax.jit(lambda x: model.apply(variables, x, False))
    others_changed = x.at[1:].set(0)
    np.testing.assert_allclose(evaluate(x)[0], evaluate(others_changed)[0], rtol=1e-5)


def test_unknown_names():
    with pytest.raises(
        UserError,
        match=r"model 'resnetl8'\. Did you mean 'resnet18'\? Known: lenet5, mlp",
    ):
        models.create("resnetl8", num_classes=10)
    with pytest.raises(UserError, match="unknown model 'vit'"):
        models.attributes("vit")
    with pytest.raises(UserError, match=r"of resnet20 'widht'\. Did you mean 'width'"):
        models.create("resnet20", num_classes=10, widht=8)
    with pytest.raises(UserError, match=r"dtype 'bfloat'\. Did you mean 'bfloat16'"):
        models.create("resnet20", num_classes=10, dtype="bfloat")


@pytest.mark.parametrize(
    ("name", "attributes", "message"),
    [
        ("resnet20", {"block": "basics"}, "block 'basics'. Did you mean 'basic'"),
        ("resnet20", {"stem": "cifar"}, "stem 'cifar'.*Known: imagenet, small"),
        ("resnet20", {"shortcut": "A"}, "shortcut 'A'.*identity, projection"),
        ("resnet20", {"groups": 2}, "block='bottleneck'"),
        (
            "resnet20",
            {"output_stride": 8},
            "own is 4, and dilation can make it one of 1, 2, 4",
        ),
        ("resnet50", {"output_stride": 3}, "can make it one of 1, 2, 4, 8, 16, 32"),
        ("resnext50_32x4d", {"width": 8}, "must be at least 64"),
        ("mlp", {"activation": "rellu"}, "activation 'rellu'. Did you mean 'relu'"),
        ("lenet5", {"activation": "sin"}, "unknown activation 'sin'"),
        ("lenet5", {"pool": "mean"}, "pool 'mean'.*Known: avg, max"),
        ("lenet5", {"padding": (2,)}, "needs two entries"),
    ],
)
def test_impossible_values(name, attributes, message):
    with pytest.raises(UserError, match=message):
        models.create(name, num_classes=10, **attributes)


def test_image_too_small_for_lenet():
    model = models.create("lenet5", num_classes=10)
    with pytest.raises(UserError, match="conv2: a kernel that spans 5"):
        model.init(jax.random.key(0), jnp.zeros((1, *DIGITS)), train=False)
