"""Losses of segmentation against NumPy and scikit-learn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax
from sklearn import metrics as reference

from cnn_jax.core.errors import UserError
from cnn_jax.tasks import losses, segmentation_losses
from cnn_jax.tasks.segmentation import Segmentation

RNG = np.random.default_rng(0)
LOGITS = (2 * RNG.standard_normal((2, 3, 4, 5))).astype(np.float32)
LABELS = RNG.integers(0, 4, (2, 3, 4))  # the last class has no pixels
TARGETS = np.eye(5, dtype=np.float32)[LABELS]
WEIGHTS = (RNG.uniform(0.5, 2, (2, 3, 4)) * (RNG.random((2, 3, 4)) < 0.8)).astype(
    np.float32
)


def value(text, logits=LOGITS, targets=TARGETS, weights=WEIGHTS):
    (loss,) = losses.find_all(text, segmentation_losses.LOSSES)
    return loss(jnp.asarray(logits), jnp.asarray(targets), jnp.asarray(weights))


def test_losses_of_pixels_are_weighted_means():
    chances = softmax(LOGITS.astype(np.float64), -1)
    own = (chances * TARGETS).sum(-1)
    entropy = -np.log(own)
    expected = (entropy * WEIGHTS).sum() / WEIGHTS.sum()
    assert value("cross_entropy") == pytest.approx(expected, rel=1e-5)
    expected = ((1 - own) ** 1.5 * entropy * WEIGHTS).sum() / WEIGHTS.sum()
    assert value("focal(gamma=1.5)") == pytest.approx(expected, rel=1e-5)


def test_the_dice_loss_is_its_formula():
    chances = softmax(LOGITS.astype(np.float64), -1)[WEIGHTS > 0]
    true = TARGETS[WEIGHTS > 0]
    scores = 2 * (chances * true).sum(0) / (chances.sum(0) + true.sum(0))
    assert value("dice") == pytest.approx(1 - scores[:4].mean(), rel=1e-5)
    # Smoothed targets and the size of weights do not matter.
    smooth = 0.9 * TARGETS + 0.02
    found = value("dice", targets=smooth, weights=3 * WEIGHTS)
    assert found == pytest.approx(float(value("dice")), rel=1e-5)


def test_the_dice_loss_of_certain_predictions_is_one_minus_f1():
    predicted = RNG.integers(0, 5, LABELS.shape)
    certain = 200 * np.eye(5, dtype=np.float32)[predicted]
    scores = reference.f1_score(LABELS.ravel(), predicted.ravel(), average=None)
    found = value("dice", certain, weights=np.ones_like(WEIGHTS))
    assert found == pytest.approx(1 - scores[:4].mean(), rel=1e-5)


@pytest.mark.parametrize("text", segmentation_losses.LOSSES)
def test_without_labels_there_is_no_loss_and_no_gradient(text):
    def of(logits):
        return value(text, logits, weights=np.zeros_like(WEIGHTS))

    loss, gradient = jax.value_and_grad(of)(jnp.asarray(LOGITS))
    assert loss == 0 and not gradient.any()


def test_the_losses_of_a_task_are_added():
    names = tuple("abcde")
    batch = {"label": jnp.asarray(LABELS, jnp.uint8)}

    def of(text):
        made = Segmentation(names, loss_name=text, label_smoothing=0.1)
        return float(made.loss(jnp.asarray(LOGITS), batch, [jnp.asarray(LOGITS)]))

    parts = [of(text) for text in ("cross_entropy", "dice", "focal(gamma=1)")]
    assert of("cross_entropy, dice, focal(gamma=1)") == pytest.approx(sum(parts))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dise", "unknown loss 'dise'. Did you mean 'dice'"),
        ("", "has the text '', which is no list of losses"),
        ("cross_entropy+dice", r"has the text 'cross_entropy\+dice', which is no list"),
        ("dice, focal(gamma=-1)", r"config.task.loss_name: focal\(gamma\)=-1.0 must"),
    ],
)
def test_mistakes(text, message):
    with pytest.raises(UserError, match=message):
        Segmentation(tuple("ab"), loss_name=text)
