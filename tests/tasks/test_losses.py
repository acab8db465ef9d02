"""Losses of class scores against their formulas, written out in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from cnn_jax.core.errors import UserError
from cnn_jax.tasks import losses


def examples(smoothing):
    rng = np.random.default_rng(0)
    logits = (3 * rng.standard_normal((4, 3, 5))).astype(np.float32)
    targets = np.eye(5)[rng.integers(0, 5, (4, 3))]
    return logits, (targets * (1 - smoothing) + smoothing / 5).astype(np.float32)


def focal(logits, targets, gamma):
    chances = softmax(logits.astype(np.float64), -1)
    return -(targets * (1 - chances) ** gamma * np.log(chances)).sum(-1)


def binary(logits, targets):
    chances = 1 / (1 + np.exp(-logits.astype(np.float64)))
    return -(targets * np.log(chances) + (1 - targets) * np.log(1 - chances))


FORMULAS = {
    "cross_entropy": lambda x, t: -(t * log_softmax(x, -1)).sum(-1),
    "binary_cross_entropy": lambda x, t: binary(x, t).mean(-1),
    "binary_cross_entropy(sum_classes=True)": lambda x, t: binary(x, t).sum(-1),
    "focal": lambda x, t: focal(x, t, 2),
    "focal(gamma=0.5)": lambda x, t: focal(x, t, 0.5),
}


@pytest.mark.parametrize("smoothing", [0, 0.1])
@pytest.mark.parametrize("text", FORMULAS)
def test_losses_are_their_formulas(text, smoothing):
    logits, targets = examples(smoothing)
    found = losses.find(text)(jnp.asarray(logits), jnp.asarray(targets))
    np.testing.assert_allclose(found, FORMULAS[text](logits, targets), rtol=1e-4)


def test_every_loss_has_a_formula():
    assert {text.partition("(")[0] for text in FORMULAS} == losses.LOSSES.keys()


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_the_focal_loss_of_a_certain_class_has_a_gradient(gamma):
    def loss(logits):
        return losses.focal(logits, jnp.array([1.0, 0.0]), gamma=gamma)

    for margin in (0.0, 20.0, 200.0):
        logits = jnp.array([margin, -margin])
        assert np.isfinite(jax.grad(loss)(logits)).all()
        assert np.isfinite(jax.grad(loss)(-logits)).all()


def test_a_loss_by_its_import_path():
    assert losses.find("cnn_jax.tasks.losses.focal(gamma=1)").keywords == {"gamma": 1.0}
    assert losses.find("cross_entropy") is losses.cross_entropy


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("focl", "unknown loss 'focl'. Did you mean 'focal'?"),
        ("focal(gama=1)", "unknown option of the loss 'focal': 'gama'"),
        ("focal(gamma=-1)", r"config.task.loss_name: focal\(gamma\)=-1.0 must be"),
        ("focal(1)", "config.task.loss_name has the text 'focal"),
        ("focal, focal", "config.task.loss_name has the text 'focal, focal', which"),
        ("", "config.task.loss_name has the text ''"),
        ("cnn_jax.tasks.losses.LOSSES", "loss .* must be a function"),
    ],
)
def test_mistakes(text, message):
    with pytest.raises(UserError, match=message):
        losses.find(text)


def test_several_losses():
    found = losses.find_all("cross_entropy, focal(gamma=1)", losses.LOSSES)
    assert found[0] is losses.cross_entropy and found[1].keywords == {"gamma": 1.0}
    with pytest.raises(UserError, match="which is no list of losses"):
        losses.find_all(" ", losses.LOSSES)
