"""Multi-label classification against scikit-learn, over padded batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from cnn_jax.tasks import metrics, multi_label
from cnn_jax.tasks.multi_label import MultiLabel

NAMES = tuple("abcd")
BATCH = 4
task = MultiLabel(NAMES)
compiled = jax.jit(lambda logits, batch: (task.metrics(logits, batch), predict(logits)))


def predict(logits):
    labels = jnp.zeros((len(logits), len(NAMES)))
    return task.predictions(logits, {"label": labels})["probabilities"]


def evaluated(logits, labels):
    """The scores of an evaluation, batch by batch."""
    totals, rows = {}, []
    for start in range(0, len(labels), BATCH):
        own = labels[start : start + BATCH]
        filled = np.full((BATCH, logits.shape[1]), np.nan, np.float32)
        filled[: len(own)] = logits[start : start + BATCH]
        mask = (np.arange(BATCH) < len(own)).astype(np.float32)
        padded = np.concatenate(
            [own, np.zeros((BATCH - len(own), len(NAMES)), np.uint8)]
        )
        pairs, chances = compiled(filled, {"label": padded, "mask": mask})
        totals = metrics.add(totals, pairs)
        rows += [
            {"label": label, "probabilities": np.asarray(chance)}
            for label, chance in zip(own, chances, strict=False)
        ]
    return task.scores(totals, rows)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 15), st.integers(0, 2**16))
def test_evaluation_is_scikit_learns(count, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (count, len(NAMES))).astype(np.uint8)
    labels[:, 3] = 0  # a class without images
    logits = rng.integers(-3, 4, labels.shape).astype(np.float32)  # with ties
    logits[:, 3] = -9
    found = evaluated(logits, labels)
    known = [i for i in range(len(NAMES)) if labels[:, i].any()]
    precisions = {
        i: reference.average_precision_score(labels[:, i], logits[:, i]) for i in known
    }
    named = {k.removeprefix("ap/"): v for k, v in found.items() if k.startswith("ap/")}
    assert named == pytest.approx({NAMES[i]: ap for i, ap in precisions.items()})
    if known:
        expected = np.mean(list(precisions.values()))
        assert found["mean_average_precision"] == pytest.approx(expected)
        assert found["mean_average_precision_classes"] == len(known)
    predicted = logits >= 0
    occurs = np.flatnonzero(labels.any(0) | predicted.any(0))
    if len(occurs):
        scores = reference.f1_score(labels, predicted, average=None, zero_division=0)
        assert found["mean_f1"] == pytest.approx(scores[occurs].mean())
    probabilities = 1 / (1 + np.exp(-logits.astype(np.float64)))
    expected = np.mean(
        [
            reference.log_loss(y, p, labels=[0, 1])
            for y, p in zip(labels, probabilities, strict=True)
        ]
    )
    assert found["loss"] == pytest.approx(expected, rel=1e-5)


def test_a_perfect_network():
    labels = np.array([[1, 0, 0, 1], [0, 1, 0, 0], [0, 1, 1, 1]], np.uint8)
    found = evaluated(10.0 * labels - 5, labels)
    assert found["mean_average_precision"] == found["mean_f1"] == 1
    assert "mean_f1_classes" not in found  # all of them


LOGITS = jnp.array([[2.0, -1.0, 0.5, 0.1, 9.0]])  # one output more than classes
IMAGE = np.zeros((8, 8, 1), np.uint8)
LABELS = {"label": jnp.array([[1, 0, 1, 0]], jnp.uint8)}


def test_the_loss_is_the_mean_of_the_classes_and_auxiliary_heads_count():
    logits = np.asarray(LOGITS[0, :4], np.float64)
    labels = np.array([1, 0, 1, 0])
    expected = np.log1p(np.exp(np.where(labels, -logits, logits))).mean()
    assert task.loss(LOGITS, LABELS) == pytest.approx(expected, rel=1e-5)
    both = task.loss(LOGITS, LABELS, [LOGITS, LOGITS])
    assert both == pytest.approx(1.6 * expected, rel=1e-5)


def test_a_probability_below_another_threshold():
    sure = MultiLabel(NAMES, threshold=0.6)
    for one, classes in ((task, "acd"), (sure, "ac")):
        (found,) = one.answers([IMAGE], np.asarray(LOGITS), None)
        assert [answer["class"] for answer in found] == list(classes)
    (two,) = task.answers([IMAGE], np.asarray(LOGITS), 4)
    assert [answer["class"] for answer in two] == list("acdb")


def test_pictures():
    assert task.drawn(IMAGE, np.asarray(LOGITS[0])).shape[-1] == 3
    row = {"image": IMAGE, "label": np.zeros(4, np.uint8)}
    row["probabilities"] = np.array([0.9, 0.1, 0.1, 0.1])
    assert task.summaries({}, [row])["wrong"].shape[-1] == 3
    assert task.summaries({}, []) == {}


def test_what_no_class_is_said_of():
    labels = np.zeros((2, 1), bool)
    assert np.isnan(multi_label.average_precision(labels, np.ones((2, 1)))).all()
    assert np.isnan(multi_label.f1(labels, labels)).all()
