"""Class weights and adjusted logits against scikit-learn and the formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax
from sklearn.utils.class_weight import compute_class_weight

from cnn_jax.core.errors import UserError
from cnn_jax.core.fit import check
from cnn_jax.data import facts
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.labels.kind import LabelStatistics
from cnn_jax.data.splits import Arrays, Records
from cnn_jax.tasks import imbalance
from cnn_jax.tasks.classification import Classification
from tests.made import Unlisted

NAMES = tuple("abc")
COUNTS = (6, 3, 1)
LABELS = np.array([0, 1, 2, 2], np.int32)
LOGITS = np.random.default_rng(0).normal(0, 2, (4, 3)).astype(np.float32)
SHARE = np.array([0.9, 0.9, 0.3, 0.3], np.float32)
OTHER = np.array([1, 0, 2, 2], np.int32)


def task(**options):
    return Classification(NAMES, LabelStatistics(COUNTS), **options)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=6).filter(any))
def test_balanced_weights_are_scikit_learns(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    present = np.unique(labels)
    found = imbalance.balanced_weights(counts)
    expected = compute_class_weight("balanced", classes=present, y=labels)
    np.testing.assert_allclose(found[present], expected, rtol=1e-6)
    assert found.sum() == pytest.approx(found[present].sum())


def test_log_priors():
    found = np.exp(imbalance.log_priors((6, 3, 0), 4))
    np.testing.assert_allclose(found, np.array([6, 3, 1, 1]) / 11, rtol=1e-6)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("name", ["cross_entropy", "binary_cross_entropy", "focal"])
@pytest.mark.parametrize("weights", [None, "balanced", (1.0, 2.0, 0.5)])
def test_the_loss_is_a_mean_of_weighted_losses(mixed, name, weights):
    options = {"loss_name": name, "label_smoothing": 0.1}
    made = task(**options, class_weights=weights)
    by_class = imbalance.class_weights(weights, COUNTS)
    by_class = np.ones(3) if by_class is None else by_class

    def one(row, label):
        batch = {"label": jnp.array([label])}
        loss = task(**options).loss(jnp.asarray(LOGITS[row : row + 1]), batch)
        return by_class[label] * float(loss)

    batch = {"label": jnp.asarray(LABELS)}
    expected = np.array([one(row, label) for row, label in enumerate(LABELS)])
    if mixed:
        batch |= {"share": jnp.asarray(SHARE), "other_label": jnp.asarray(OTHER)}
        other = np.array([one(row, label) for row, label in enumerate(OTHER)])
        expected = SHARE * expected + (1 - SHARE) * other
    found = made.loss(jnp.asarray(LOGITS), batch)
    assert found == pytest.approx(expected.mean(), rel=1e-5)


def test_logits_are_adjusted_in_the_training_loss_alone():
    made = task(logit_adjustment=0.5)
    batch = {"label": jnp.asarray(LABELS)}
    shifted = LOGITS + 0.5 * np.log(np.array(COUNTS) / 10)
    expected = -log_softmax(shifted, -1)[np.arange(4), LABELS].mean()
    loss = made.loss(jnp.asarray(LOGITS), batch, [jnp.asarray(LOGITS)])
    assert loss == pytest.approx(1.3 * expected, rel=1e-5)
    plain, found = (
        each.metrics(jnp.asarray(LOGITS), batch)["loss"] for each in (task(), made)
    )
    assert plain == found


def test_without_new_keys_the_program_is_the_old_one():
    """Runs with default values train with the same bits as before the keys existed."""
    batch = {"label": jnp.asarray(LABELS)}
    plain, other = (
        str(jax.make_jaxpr(each.loss)(LOGITS, batch))
        for each in (Classification(NAMES), task())
    )
    assert plain == other


def test_without_data_weights_are_equal():
    assert imbalance.class_weights("balanced", ()) is None
    unknown = Classification(NAMES, class_weights="balanced", logit_adjustment=1.0)
    batch = {"label": jnp.asarray(LABELS)}
    logits = jnp.asarray(LOGITS)
    assert unknown.loss(logits, batch) == Classification(NAMES).loss(logits, batch)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("balance", "class_weights=balance must be 'balanced', None, or"),
        ((1.0, 2.0), "has 2 numbers, but needs 3, one for each class: a, b, c"),
        ((), "has 0 numbers"),
    ],
)
def test_wrong_weights(weights, message):
    with pytest.raises(UserError, match=message):
        task(class_weights=weights)


@pytest.mark.parametrize(
    "options", [{"class_weights": "balanced"}, {"logit_adjustment": 1.0}]
)
def test_the_data_must_list_the_classes(options):
    shape = (2, 2, 1)
    arrays = Arrays(np.zeros((4, *shape), np.uint8), LABELS)
    splits = {"known": arrays, "unknown": Records(Unlisted(), shape)}
    data = {
        name: Dataset({"train": split}, NAMES, shape, (0.5,), (0.5,))
        for name, split in splits.items()
    }
    assert data["known"].label_statistics.counts == (1, 1, 2)
    made = task(**options).part("the task")
    check([made, facts.part("data", data["known"])])
    with pytest.raises(UserError, match="data has training examples whose classes are"):
        check([made, facts.part("data", data["unknown"])])
    check([task().part("the task"), facts.part("data", data["unknown"])])
