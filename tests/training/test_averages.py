"""Averages of the parameters against their definitions."""

import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.training import averages


def averaged(decay, values):
    average = 0.0
    for step, value in enumerate(values):
        weight = float(decay(jnp.asarray(step)))
        average = weight * average + (1 - weight) * value
    return average


def test_an_equal_average_is_the_mean_of_the_last_steps():
    values = np.random.default_rng(0).normal(size=20)
    decay = averages.make(20, swa_start=0.75)
    np.testing.assert_allclose(averaged(decay, values), values[15:].mean(), rtol=1e-6)
    assert averaged(decay, values[:10]) == values[9]


def test_an_exponential_average_starts_with_a_lower_decay():
    decay = averages.make(20, ema_decay=0.9)
    found = [float(decay(jnp.asarray(step))) for step in (0, 1, 8, 1000)]
    np.testing.assert_allclose(found, [0.1, 2 / 11, 0.5, 0.9], rtol=1e-6)


def test_one_kind_of_average_at_a_time():
    assert averages.make(20) is None
    with pytest.raises(UserError, match="swa_start set two kinds of averages"):
        averages.make(20, ema_decay=0.9, swa_start=0.75)
