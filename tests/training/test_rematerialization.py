"""Gradients whose feature maps are computed again: equal, with less to keep."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import models
from cnn_jax.core.errors import UserError
from cnn_jax.training import rematerialization

IMAGES = jax.random.normal(jax.random.key(1), (4, 8, 8, 1))


class Block(nn.Module):
    """Layers with dropout and batch normalization."""

    @nn.compact
    def __call__(self, x, train):
        for i in range(4):
            x = nn.Dense(8, name=f"dense{i}")(x)
            x = nn.BatchNorm(use_running_average=not train)(x)
            x = nn.Dropout(0.3, deterministic=not train)(jnp.tanh(x))
        return x


class Blocks(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        for i in range(3):
            x = Block(name=f"block{i}")(x, train)
        return x.mean((1, 2))


@pytest.fixture(scope="module")
def variables():
    return Blocks().init(jax.random.key(0), IMAGES, False)


def loss(params, statistics, remat):
    """The loss of a step, and the new batch statistics."""
    with rematerialization.rematerialized(remat=remat):
        outputs, updated = Blocks().apply(
            {"params": params, "batch_stats": statistics},
            IMAGES,
            True,
            mutable=["batch_stats"],
            rngs={"dropout": jax.random.key(2)},
        )
    return jnp.sum(jnp.square(outputs)), updated


@pytest.mark.parametrize("remat", [r"block\d", "block1", r"block\d/dense2"])
def test_the_gradient_and_the_statistics_are_the_same(remat, variables):
    step = jax.jit(jax.grad(loss, has_aux=True), static_argnums=2)
    expected = step(*variables.values(), None)
    found = step(*variables.values(), remat)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        found,
        expected,
    )


def kept(apply, *args):
    """The number of values that a function keeps for its backward pass."""
    _, backward = jax.eval_shape(lambda *args: jax.vjp(apply, *args), *args)
    return sum(leaf.size for leaf in jax.tree.leaves(backward))


def test_modules_keep_only_their_inputs(variables):
    params, statistics = variables.values()

    def values(remat):
        return kept(lambda params: loss(params, statistics, remat)[0], params)

    own = sum(leaf.size for leaf in jax.tree.leaves(params))
    one = 4 * 8 * 8 * 8  # the values of a feature map
    assert values(None) > 3 * 4 * 2 * one
    # The inputs of two blocks (the first has one channel), and the last output.
    assert values(r"block\d") <= 2.2 * one + 2 * own
    assert values(r"block\d") < values("block1") < values(None)


def test_blocks_of_a_residual_network_keep_a_third():
    model = models.create("resnet20", num_classes=3, stage_sizes=(2, 2, 2), width=4)
    images = jnp.zeros((8, 16, 16, 1))
    made = jax.eval_shape(lambda: model.init(jax.random.key(0), images, False))

    def values(remat):
        def apply(variables):
            with rematerialization.rematerialized(remat=remat):
                return model.apply(variables, images, True, mutable=["batch_stats"])

        return kept(lambda variables: jnp.sum(apply(variables)[0]), made)

    assert values("stage.*") < 0.4 * values(None)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("stage7.*", r"matches no module of the network\. Its modules are stem"),
        ("stage(", r"is not a regular expression"),
    ],
)
def test_patterns_that_are_wrong(pattern, words):
    model = models.create("resnet20", num_classes=3)
    with pytest.raises(UserError, match=words):
        rematerialization.check(model, (8, 8, 1), pattern)
