"""The state of a fresh run, and the keys of its random numbers."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnn_jax import layers, models
from cnn_jax.training import freezing, optimizers, state

SHAPE, CLASSES = (2, 2, 1), 3
sgd = optimizers.sgd(lambda step: 0.1)


class Normed(nn.Module):
    """Batch normalization of the pixels, then a linear classifier."""

    @nn.compact
    def __call__(self, x, train):
        x = layers.BatchNorm(use_running_average=not train, name="norm")(x)
        return layers.Dense(CLASSES, name="head")(layers.Flatten()(x))


def test_a_fresh_state_is_that_of_the_seed():
    model = models.create("mlp", num_classes=CLASSES, hidden=(4,))
    make = partial(state.create, model, sgd, SHAPE, ema=False)
    kernels = [make(seed=s).params["hidden1"]["kernel"] for s in (0, 0, 1)]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[0], kernels[2])
    assert kernels[0].dtype == np.float32
    assert state.parameter_count(make(seed=0).params) == (4 * 4 + 4) + (4 * 3 + 3)


def test_streams_of_random_numbers_differ():
    keys = {
        tuple(jax.random.key_data(state.stream(jax.random.key(seed), name)).tolist())
        for seed in (0, 1)
        for name in state.STREAMS
    }
    assert len(keys) == 2 * len(state.STREAMS)


@pytest.mark.parametrize("ema", [False, True])
def test_what_evaluation_applies(ema):
    fresh = state.create(Normed(), sgd, SHAPE, seed=0, ema=ema)
    assert fresh.step == 0 and fresh.step.dtype == jnp.int32
    own = {"params": fresh.params, "batch_stats": fresh.batch_stats}
    assert (fresh.ema is not None) == ema
    found = fresh.variables()
    assert jax.tree.structure(found) == jax.tree.structure(own)
    jax.tree.map(np.testing.assert_array_equal, found, own)
    # The averages are buffers of their own: a donated state has each buffer once.
    leaf = found["params"]["head"]["kernel"]
    pointers = {
        x.unsafe_buffer_pointer() for x in (leaf, fresh.params["head"]["kernel"])
    }
    assert len(pointers) == (2 if ema else 1)


def test_initial_variables_take_the_place_of_drawn_ones():
    mean = jnp.full((1,), 0.25)
    kernel = jnp.ones((4, CLASSES))
    initial = {
        "params": {"head": {"kernel": kernel}},
        "batch_stats": {"norm": {"mean": mean}},
    }
    make = partial(state.create, Normed(), sgd, SHAPE, seed=0)
    found, drawn = make(ema=True, initial=initial), make(ema=True)
    for tree in (
        {"params": found.params, "batch_stats": found.batch_stats},
        found.ema,
    ):
        np.testing.assert_array_equal(tree["params"]["head"]["kernel"], kernel)
        np.testing.assert_array_equal(tree["batch_stats"]["norm"]["mean"], mean)
    np.testing.assert_array_equal(
        found.params["norm"]["scale"], drawn.params["norm"]["scale"]
    )
    np.testing.assert_array_equal(found.batch_stats["norm"]["var"], [1])


def test_frozen_parameters_take_no_optimizer_state():
    paths = list(freezing.shapes_of(Normed(), SHAPE))
    plan = freezing.make(lambda: paths, train_only="head")
    adam = optax.adam(0.1)

    def moments(phase):
        make = partial(
            state.create, Normed(), adam, SHAPE, seed=0, ema=False, phase=phase
        )
        return state.parameter_count(jax.eval_shape(make).opt_state[0].mu)

    head = 4 * CLASSES + CLASSES
    assert moments(plan.ever()) == head
    assert moments(freezing.EVERYTHING) == head + 2


def test_counting_parameters():
    assert state.parameter_count({}) == 0
    tree = {"a": jax.ShapeDtypeStruct((3, 4), jnp.float32), "b": {"c": jnp.zeros(())}}
    assert state.parameter_count(tree) == 13
