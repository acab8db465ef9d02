"""Inception-v3: published figures, shapes, dilation, the auxiliary head."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import models
from cnn_jax.analysis.costs import layer_table
from cnn_jax.core.errors import UserError

TINY = {"width_multiplier": 0.02}
BLOCKS = {
    "mixed5b": (35, 256),
    "mixed5c": (35, 288),
    "mixed5d": (35, 288),
    "mixed6a": (17, 768),
    "mixed6b": (17, 768),
    "mixed6c": (17, 768),
    "mixed6d": (17, 768),
    "mixed6e": (17, 768),
    "mixed7a": (8, 1280),
    "mixed7b": (8, 2048),
    "mixed7c": (8, 2048),
}


def traced(model, size, channels=3):
    """Shapes of logits, and of the variables with all that is captured and sown."""
    x = jax.ShapeDtypeStruct((2, size, size, channels), jnp.float32)
    return jax.eval_shape(
        lambda x: model.init_with_output(
            jax.random.key(0),
            x,
            train=False,
            capture_intermediates=True,
            mutable=True,
        ),
        x,
    )


def test_as_published():
    _, variables = traced(models.create("inception_v3", num_classes=1000), 299)
    # torchvision's count.
    count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    assert count == 27_161_264
    convs = ("conv1a", "conv2a", "conv2b", "conv3b", "conv4a")
    assert set(variables["params"]) == {*convs, *BLOCKS, "aux", "head"}
    # Szegedy et al. 2016, table 1.
    maps = variables["intermediates"]
    for name, (size, channels) in BLOCKS.items():
        assert maps[name]["__call__"][0].shape == (2, size, size, channels), name
    sizes = [maps[name]["__call__"][0].shape[1] for name in (*convs, "pool1", "pool2")]
    assert sizes == [149, 147, 147, 73, 71, 73, 35]


@pytest.mark.full
def test_costs_as_published():
    model = models.create("inception_v3", num_classes=1000)
    table = layer_table(model, (299, 299, 3))
    assert table.parameters == 27_161_264 - 3_326_696
    assert table.training_only_parameters == 3_326_696
    assert table.macs == pytest.approx(5.713e9, rel=0.001)  # torchvision


@pytest.mark.full
def test_auxiliary_logits_in_training_only():
    model = models.create("inception_v3", num_classes=7, dtype="bfloat16", **TINY)
    x = jnp.zeros((2, 75, 75, 3))
    inputs, outputs = {}, {}

    def record(next_method, args, kwargs, context):
        result = next_method(*args, **kwargs)
        inputs[context.module.name], outputs[context.module.name] = args, result
        return result

    def apply(variables, train):
        rngs = {"dropout": jax.random.key(1)}
        mutable = ["batch_stats", "auxiliary"]
        with nn.intercept_methods(record):
            y = model.apply(variables, x, train, rngs=rngs, mutable=mutable)
        # The very map that goes on: nothing stops the gradient.
        if train:
            assert inputs["aux"][0] is outputs["mixed6e"]
            assert inputs["mixed7a"][0] is outputs["mixed6e"]
        return y

    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), x, False))
    logits, state = jax.eval_shape(lambda v: apply(v, True), shapes)
    (auxiliary,) = state["auxiliary"]["aux_logits"]
    for found in (logits, auxiliary):
        assert found.shape == (2, 7)
        assert found.dtype == jnp.float32
    inputs.clear()
    assert "auxiliary" not in jax.eval_shape(lambda v: apply(v, False), shapes)[1]
    assert "aux" not in inputs


@pytest.mark.full
@pytest.mark.parametrize(("size", "sizes"), [(8, (8, 3, 1)), (32, (32, 15, 7))])
def test_small_images(size, sizes):
    model = models.create("inception_v3", num_classes=7, stem="small", **TINY)
    logits, variables = traced(model, size, channels=1)
    blocks = ("mixed5d", "mixed6e", "mixed7c")
    maps = variables["intermediates"]
    found = [maps[name]["__call__"][0].shape[1] for name in blocks]
    assert tuple(found) == sizes
    assert logits.shape == (2, 7)
    # The auxiliary head's 5x5 convolution fits a map of any size.
    assert maps["aux"]["pool"]["__call__"][0].shape[1:3] == (5, 5)
    assert maps["aux"]["__call__"][0].shape == (2, 7)


@pytest.mark.full
def test_dilated_network_equals_the_strided_one_sampled(random_variables):
    plain = models.create("inception_v3", num_classes=3, **TINY)
    variables = random_variables(plain, (107, 107, 3))
    x = jax.random.normal(jax.random.key(0), (1, 107, 107, 3))

    def maps(output_stride, *names):
        @jax.jit
        def run(variables, x):
            _, state = plain.clone(output_stride=output_stride).apply(
                variables,
                x,
                False,
                capture_intermediates=lambda module, _: module.name in names,
                mutable=["intermediates"],
            )
            return [state["intermediates"][name]["__call__"][0] for name in names]

        return [np.array(y) for y in run(variables, x)]

    strided = maps(None, "pool2", "mixed7c")
    # All of the stem dilates; its last pooling and the two reductions do.
    dilated = maps(1, "pool2") + maps(4, "mixed7c")
    assert [y.shape[1] for y in strided] == [11, 2]
    for a, b in zip(dilated, strided, strict=True):
        assert a.shape[1] > 8 * (b.shape[1] - 1)
        scale = np.abs(b).max()
        assert scale > 0
        np.testing.assert_allclose(a[:, ::8, ::8], b, atol=1e-5 * scale)


def test_impossible_values():
    with pytest.raises(UserError, match=r"stem 'tiny'.*imagenet, small"):
        models.create("inception_v3", num_classes=3, stem="tiny")
    with pytest.raises(UserError, match=r"width_multiplier=-1\.0 must be above 0"):
        models.create("inception_v3", num_classes=3, width_multiplier=-1.0)
    with pytest.raises(UserError, match="does not fit into an input"):
        traced(models.create("inception_v3", num_classes=3), 32)
