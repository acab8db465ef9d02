"""Batch statistics over many training images against NumPy."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from cnn_jax import layers
from cnn_jax.core.errors import UserError
from cnn_jax.data.augment import Augment
from cnn_jax.runs.resolve import resolve
from cnn_jax.training import parallel, precise_statistics, setup
from cnn_jax.training.freezing import Phase

SHAPE, BATCH = (3, 2, 2), 6


class Normed(nn.Module):
    """Two batch normalizations with a layer between them."""

    @nn.compact
    def __call__(self, x, train):
        x = layers.BatchNorm(use_running_average=not train, name="first")(x)
        x = layers.Dense(3, name="dense")(nn.relu(x))
        last = layers.BatchNorm(use_running_average=not train, momentum=0.5)
        return last(x)


def scaled(images):
    return images / np.float32(100)


@pytest.fixture(scope="module")
def batches():
    rng = np.random.default_rng(0)
    return [
        {
            "image": rng.integers(0, bright, (BATCH, *SHAPE), np.uint8),
            "index": np.arange(BATCH, dtype=np.int32),
            "epoch": np.zeros(BATCH, np.int32),
        }
        for bright in (50, 100, 150)
    ]


@pytest.fixture(scope="module")
def variables():
    return Normed().init(jax.random.key(0), np.zeros((1, *SHAPE)), train=False)


def computed(variables, batches, phase):
    step = precise_statistics.make_step(
        Normed(), augmentation=Augment(), normalize=scaled, phase=phase
    )
    mapped, key = parallel.statistics_step(step), jax.random.key(0)
    return precise_statistics.computed(mapped, variables, iter(batches), key)


def test_the_statistics_are_those_of_all_images(variables, batches):
    found = computed(variables, batches, Phase())
    inputs = np.concatenate([scaled(batch["image"]) for batch in batches])
    axes = (0, 1, 2)
    np.testing.assert_allclose(found["first"]["mean"], inputs.mean(axes), rtol=1e-5)
    np.testing.assert_allclose(found["first"]["var"], inputs.var(axes), rtol=1e-4)
    # Each batch is normalized by itself before the second layer.
    outputs = []
    for batch in batches:
        x = scaled(batch["image"])
        x = (x - x.mean(axes)) / np.sqrt(x.var(axes) + 1e-5)
        outputs.append(np.maximum(x, 0) @ variables["params"]["dense"]["kernel"])
    outputs, last = np.concatenate(outputs), found["BatchNorm_0"]
    np.testing.assert_allclose(last["mean"], outputs.mean(axes), atol=1e-5)
    np.testing.assert_allclose(last["var"], outputs.var(axes), rtol=1e-4)


def test_a_frozen_layer_keeps_its_statistics(variables, batches):
    frozen = frozenset({("first", "scale"), ("first", "bias")})
    found = computed(variables, batches, Phase(resting=frozen))
    np.testing.assert_array_equal(found["first"]["mean"], np.zeros(2))
    np.testing.assert_array_equal(found["first"]["var"], np.ones(2))
    kernel = variables["params"]["dense"]["kernel"]
    x = np.concatenate([scaled(batch["image"]) for batch in batches])
    outputs = np.maximum(x / np.sqrt(1 + 1e-5), 0) @ kernel
    mean = outputs.mean((0, 1, 2))
    np.testing.assert_allclose(found["BatchNorm_0"]["mean"], mean, rtol=1e-4)


def test_a_network_without_batch_statistics(values, few_digits):
    mlp = {"model": {"name": "mlp", "hidden": (3,)}}
    config = resolve(values(eval={"statistics_examples": 16}) | mlp)
    training = setup.training(setup.network(config, few_digits), 24)
    with pytest.raises(UserError, match="mlp has no batch normalization"):
        setup.check_normalization(training)
