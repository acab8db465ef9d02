"""GoogLeNet: published figures, shapes, dilation, auxiliary heads."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import models
from cnn_jax.analysis.costs import layer_table
from cnn_jax.core.errors import UserError
from cnn_jax.models import googlenet

NAMES = ("googlenet", "googlenet_bn")
BLOCKS = ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
TINY = {"width_multiplier": 0.04}


def traced(model, size, channels=3):
    """Shapes of the variables, with what is sown, and of logits, for two images."""
    x = jax.ShapeDtypeStruct((2, size, size, channels), jnp.float32)
    return jax.eval_shape(
        lambda x: model.init_with_output(
            jax.random.key(0), x, train=False, mutable=True
        ),
        x,
    )


@functools.cache
def costs(name):
    return layer_table(models.create(name, num_classes=1000), (224, 224, 3))


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "expected", "with_auxiliary"),
    [
        # Caffe's bvlc_googlenet; torchvision.
        ("googlenet", 6_998_552, 13_378_280),
        ("googlenet_bn", 6_624_904, 13_004_888),
    ],
)
def test_parameters(name, expected, with_auxiliary):
    table = costs(name)
    assert table.parameters == expected
    assert table.parameters + table.training_only_parameters == with_auxiliary
    _, variables = traced(models.create(name, num_classes=1000, auxiliary=False), 224)
    leaves = jax.tree.leaves(variables["params"])
    assert sum(leaf.size for leaf in leaves) == expected


def test_multiply_accumulates_of_the_papers_blocks():
    table = costs("googlenet")
    # Millions of operations in table 1 of the paper; that of 5a (54) is not the sum of
    # its own row.
    published = dict(
        zip(BLOCKS, (128, 304, 73, 88, 100, 119, 170, 54, 71), strict=True)
    )
    del published["5a"]
    for block, millions in published.items():
        rows = [row for row in table.rows if row.name.startswith(f"inception{block}/")]
        assert abs(sum(row.macs for row in rows) / 1e6 - millions) < 1, block


@pytest.mark.full
def test_multiply_accumulates_as_torchvisions():
    assert costs("googlenet_bn").macs == pytest.approx(1.498e9, rel=0.001)


@pytest.mark.full
def test_names_and_auxiliary_logits():
    model = models.create("googlenet_bn", num_classes=1000, dtype="bfloat16")
    x = jnp.zeros((2, 224, 224, 3))
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), x, False))
    assert set(shapes["params"]) == {
        *("conv1", "conv2", "conv3", "aux1", "aux2", "head"),
        *(f"inception{block}" for block in BLOCKS),
    }
    inputs, outputs = {}, {}

    def record(next_method, args, kwargs, context):
        result = next_method(*args, **kwargs)
        inputs[context.module.name], outputs[context.module.name] = args, result
        return result

    def apply(variables, train):
        rngs = {"dropout": jax.random.key(1)}
        mutable = ["batch_stats", "auxiliary", "intermediates"]
        with nn.intercept_methods(record):
            y = model.apply(variables, x, train, rngs=rngs, mutable=mutable)
        # The very maps that go on: nothing stops the gradient.
        if train:
            assert inputs["aux1"][0] is outputs["inception4a"]
            assert inputs["aux2"][0] is outputs["inception4d"]
        return y

    logits, state = jax.eval_shape(lambda v: apply(v, True), shapes)
    assert logits.shape == (2, 1000)
    assert state["intermediates"]["features"][0].shape == (2, 7, 7, 1024)
    for i in (1, 2):
        (auxiliary,) = state["auxiliary"][f"aux{i}_logits"]
        assert auxiliary.shape == (2, 1000)
        assert auxiliary.dtype == jnp.float32
    inputs.clear()
    _, state = jax.eval_shape(lambda v: apply(v, False), shapes)
    assert "auxiliary" not in state
    assert "aux1" not in inputs


@pytest.mark.full
@pytest.mark.parametrize(
    ("stem", "size", "expected"),
    [("small", 8, 1), ("small", 32, 4), ("imagenet", 32, 1), ("imagenet", 64, 2)],
)
@pytest.mark.parametrize("name", NAMES)
def test_small_images(name, stem, size, expected):
    model = models.create(name, num_classes=7, stem=stem, **TINY)
    logits, variables = traced(model, size, channels=1)
    (features,) = variables["intermediates"]["features"]
    assert features.shape[:3] == (2, expected, expected)
    assert logits.shape == (2, 7)
    side = 3 if stem == "small" else 7
    assert variables["params"]["conv1"]["conv"]["kernel"].shape == (side, side, 1, 3)
    # The grid of the auxiliary heads is that of 224x224: 4x4x128, times 0.04.
    assert variables["params"]["aux1"]["fc1"]["kernel"].shape == (4 * 4 * 5, 41)


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "stem", "size", "natural", "output_stride"),
    [
        ("googlenet", "imagenet", 75, 32, 8),
        ("googlenet_bn", "small", 21, 8, 2),
    ],
)
def test_dilated_network_equals_the_strided_one_sampled(
    name, stem, size, natural, output_stride, random_variables, monkeypatch
):
    # Fewer blocks compile faster.
    some = {block: googlenet.BLOCKS[block] for block in ("3a", "4a", "4d", "5a")}
    monkeypatch.setattr(googlenet, "BLOCKS", some)
    # Without dropout; with batch normalization, running statistics.
    train = name == "googlenet"
    rates = {"dropout": 0.0, "auxiliary_dropout": 0.0}
    plain = models.create(name, num_classes=3, stem=stem, **rates, **TINY)
    variables = random_variables(plain, (size, size, 3))
    x = jax.random.normal(jax.random.key(0), (1, size, size, 3))

    def run(model):
        apply = jax.jit(
            lambda variables, x: model.apply(
                variables, x, train, mutable=["intermediates", "auxiliary"]
            )[1]
        )
        state = apply(variables, x)
        return np.array(state["intermediates"]["features"][0]), state.get("auxiliary")

    strided, auxiliary = run(plain)
    dilated, same = run(plain.clone(output_stride=output_stride))
    every = natural // output_stride
    assert strided.shape[1] > 1
    assert dilated.shape[1] > every * (strided.shape[1] - 1)
    scale = np.abs(strided).max()
    assert scale > 0
    np.testing.assert_allclose(dilated[:, ::every, ::every], strided, atol=1e-5 * scale)
    # An auxiliary head has the same weights, and sees the same pixels.
    assert (auxiliary is not None) == train
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5 * np.abs(b).max()),
        same,
        auxiliary,
    )


@pytest.mark.full
def test_gradient_of_the_auxiliary_logits_reaches_the_first_layer(random_variables):
    model = models.create(
        "googlenet", num_classes=3, stem="small", auxiliary_dropout=0.0, **TINY
    )
    variables = random_variables(model, (8, 8, 1))
    x = jax.random.normal(jax.random.key(0), (2, 8, 8, 1))

    @jax.jit
    def gradient(first):
        def loss(first):
            _, state = model.apply(
                {"params": {**variables["params"], "conv1": first}},
                x,
                True,
                rngs={"dropout": jax.random.key(0)},
                mutable=["auxiliary"],
            )
            return jnp.sum(state["auxiliary"]["aux1_logits"][0])

        return jax.grad(loss)(first)

    assert np.any(gradient(variables["params"]["conv1"])["conv"]["kernel"])


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"stem": "tiny"}, "stem 'tiny'.*imagenet, small"),
        ({"width_multiplier": 0.0}, "width_multiplier=0.0 must be above 0"),
        ({"auxiliary_dropout": 1.0}, "auxiliary_dropout=1.0 must be at least 0"),
        ({"output_stride": 3}, "set one of 1, 2, 4, 8, 16, 32"),
    ],
)
def test_impossible_values(attributes, message):
    with pytest.raises(UserError, match=message):
        models.create("googlenet", num_classes=3, **attributes)
