"""The multi-layer perceptron, written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.models.mlp import MLP


def test_the_lectures_network():
    """256*100 + 100 + 100*26 + 26 = 28,326 parameters."""
    model = MLP(num_classes=26)
    images = jax.ShapeDtypeStruct((1, 16, 16, 1), jnp.float32)
    params = jax.eval_shape(
        lambda x: model.init(jax.random.key(0), x, train=False), images
    )["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 28_326
    assert params.keys() == {"hidden1", "head"}


@pytest.mark.parametrize("hidden", [(), (4,), (4, 3)])
@pytest.mark.parametrize("shape", [(2, 3, 2), (2, 2, 2, 1)])
def test_written_out(hidden, shape, random_variables):
    """A perceptron for images and for clips equals its formula."""
    model = MLP(num_classes=5, hidden=hidden, activation="tanh")
    variables = random_variables(model, shape)
    images = np.random.default_rng(1).standard_normal((3, *shape)).astype(np.float32)
    x = images.reshape(3, -1)
    params = variables["params"]
    for number in range(len(hidden)):
        layer = params[f"hidden{number + 1}"]
        x = np.tanh(x @ layer["kernel"] + layer["bias"])
    x = x @ params["head"]["kernel"] + params["head"]["bias"]
    found = model.apply(variables, jnp.asarray(images), train=False)
    np.testing.assert_allclose(found, x, rtol=1e-4, atol=1e-5)


def test_how_weights_start():
    """LeCun et al. 1998, "Efficient BackProp": a variance of 1 / fan_in."""
    model = MLP(num_classes=300, hidden=(200,))
    params = model.init(jax.random.key(0), jnp.zeros((1, 20, 20, 1)), False)["params"]
    for name, fan_in in (("hidden1", 400), ("head", 200)):
        np.testing.assert_allclose(params[name]["kernel"].std(), fan_in**-0.5, 0.02)
        np.testing.assert_array_equal(params[name]["bias"], 0)


def test_logits_are_float32():
    model = MLP(num_classes=3, hidden=(4,), dtype=jnp.bfloat16)
    _, state = jax.eval_shape(
        lambda x: model.init_with_output(
            jax.random.key(0),
            x,
            train=False,
            capture_intermediates=True,
            mutable=["params", "intermediates"],
        ),
        jax.ShapeDtypeStruct((1, 2, 2, 1), jnp.float32),
    )
    found = {
        name: value["__call__"][0].dtype
        for name, value in state["intermediates"].items()
        if name in ("hidden1", "head")
    }
    assert found == {"hidden1": jnp.bfloat16, "head": jnp.float32}


@pytest.mark.parametrize("hidden", [(0,), (4, -1)])
def test_a_layer_without_units(hidden):
    with pytest.raises(UserError, match="must be at least 1"):
        MLP(num_classes=3, hidden=hidden)
