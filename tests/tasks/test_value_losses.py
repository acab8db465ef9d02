"""Losses of regression against scikit-learn and the formula."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import huber
from sklearn import metrics as reference

from cnn_jax.tasks import losses, value_losses

RNG = np.random.default_rng(0)
OUTPUTS, TARGETS = RNG.normal(0, 2, (2, 30)).astype(np.float32)
EXPECTED = {
    "mean_squared_error": reference.mean_squared_error(TARGETS, OUTPUTS),
    "mean_absolute_error": reference.mean_absolute_error(TARGETS, OUTPUTS),
    "huber": huber(1, OUTPUTS - TARGETS).mean(),
    "huber(delta=0.5)": huber(0.5, OUTPUTS - TARGETS).mean(),
}


@pytest.mark.parametrize("text", EXPECTED)
def test_losses_are_the_references(text):
    loss = losses.find(text, value_losses.LOSSES)
    found = loss(jnp.asarray(OUTPUTS), jnp.asarray(TARGETS))
    assert found.shape == TARGETS.shape
    assert found.mean() == pytest.approx(EXPECTED[text], rel=1e-5)


def test_every_loss_has_a_reference():
    assert {text.partition("(")[0] for text in EXPECTED} == value_losses.LOSSES.keys()
