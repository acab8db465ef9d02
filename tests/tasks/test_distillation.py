"""The loss of a teacher against SciPy."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import rel_entr, softmax

from cnn_jax.tasks.classification import Classification
from cnn_jax.tasks.distillation import Distillation, divergence
from cnn_jax.tasks.task import TEACHER

RNG = np.random.default_rng(0)
NAMES = tuple("abc")
LOGITS, TEACHERS = RNG.normal(0, 3, (2, 6, 4)).astype(np.float32)  # one output more
BATCH = {"label": jnp.asarray(RNG.integers(0, 3, 6), jnp.int32)}


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_divergence_is_scipys(temperature):
    expected = rel_entr(
        softmax(TEACHERS[:, :3] / temperature, -1),
        softmax(LOGITS[:, :3] / temperature, -1),
    ).sum(-1)
    found = divergence(jnp.asarray(TEACHERS), jnp.asarray(LOGITS), 3, temperature)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)
    same = divergence(jnp.asarray(LOGITS), jnp.asarray(LOGITS), 3, temperature)
    assert not same.any()


def test_the_loss_is_a_weighted_mean():
    made = Distillation(NAMES, label_smoothing=0.1, distillation_weight=0.25)
    plain = Classification(NAMES, label_smoothing=0.1)
    logits, auxiliary = jnp.asarray(LOGITS), [jnp.asarray(LOGITS)]
    own = plain.loss(logits, BATCH, auxiliary)
    assert made.loss(logits, BATCH, auxiliary) == own
    taught = divergence(jnp.asarray(TEACHERS), logits, 3, 4.0).mean()
    found = made.loss(logits, BATCH | {TEACHER: jnp.asarray(TEACHERS)}, auxiliary)
    expected = 0.75 * float(own) + 0.25 * 16 * float(taught)
    assert found == pytest.approx(expected, rel=1e-5)


def test_only_this_task_has_a_teacher():
    assert Classification(NAMES).teacher is None
    assert Distillation(NAMES).teacher == ""
