"""Which parameters decay."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest

from cnn_jax import models
from cnn_jax.training.weight_decay import decay_mask


@pytest.mark.parametrize(
    ("name", "shape"),
    [("resnet20", (8, 8, 3)), ("mlp", (8, 8, 1)), ("lenet5", (32, 32, 1))],
)
def test_exactly_the_kernels_decay(name, shape):
    """The tensors of more than one dimension, as timm and Bag of Tricks have it."""
    model = models.create(name, num_classes=10)
    x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    params = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), x)
    params = params["params"]
    mask = decay_mask(params)
    assert mask == jax.tree.map(lambda leaf: leaf.ndim > 1, params)
    assert set(jax.tree.leaves(mask)) == {True, False}


def test_parameters_of_users_layers_decay_by_their_dimensions():
    params = {
        "layer": {
            "matrix": jnp.ones((2, 2)),
            "temperature": jnp.ones(()),
            "pixels": jnp.ones((2, 2)),
        }
    }
    assert decay_mask(params) == {
        "layer": {"matrix": True, "temperature": False, "pixels": False}
    }
