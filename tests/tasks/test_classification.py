"""Classification against scikit-learn, over any split into padded batches."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from cnn_jax.tasks import metrics
from cnn_jax.tasks.classification import MAX_CONFUSION_CLASSES, Classification

CLASSES = 5
NAMES = tuple("abcde")
BATCH = 4
task = Classification(NAMES, top_k=(2, 4))
compiled = jax.jit(task.metrics)


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True).astype(np.float64))
    return powers / powers.sum(-1, keepdims=True)


def distinct_logits(seed, count):
    """No two alike in a row, so that there is one order."""
    rng = np.random.default_rng(seed)
    order = rng.permuted(np.tile(np.arange(CLASSES), (count, 1)), axis=1)
    return (order + rng.uniform(0, 0.5, order.shape)).astype(np.float32)


def totals_of(logits, labels):
    totals = {}
    for start in range(0, len(labels), BATCH):
        real = len(labels[start : start + BATCH])
        rows = np.full((BATCH, CLASSES), 3.0, np.float32)
        rows[:real] = logits[start : start + BATCH]
        batch = {
            "label": np.zeros(BATCH, np.int32),
            "mask": (np.arange(BATCH) < real).astype(np.float32),
        }
        batch["label"][:real] = labels[start : start + BATCH]
        totals = metrics.add(totals, compiled(rows, batch))
    return totals


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(0, CLASSES - 1), min_size=1, max_size=15),
    st.integers(0, 2**16),
)
def test_evaluation_is_scikit_learns(labels, seed):
    labels = np.array(labels, np.int32)
    logits = distinct_logits(seed, len(labels))
    totals = totals_of(logits, labels)
    found = task.scores(totals)
    known = range(CLASSES)
    assert found["accuracy"] == pytest.approx(
        reference.accuracy_score(labels, logits.argmax(-1))
    )
    for k in (2, 4):
        assert found[f"top_{k}_accuracy"] == pytest.approx(
            reference.top_k_accuracy_score(labels, logits, k=k, labels=known)
        )
    assert found["loss"] == pytest.approx(
        reference.log_loss(labels, softmax(logits), labels=known), rel=1e-5
    )
    np.testing.assert_array_equal(
        totals["confusion"][0],
        reference.confusion_matrix(labels, logits.argmax(-1), labels=known),
    )
    assert totals["confusion"][1] == len(labels)


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 1), st.integers(0, 2**16))
def test_label_smoothing(share, seed):
    """(1 - share) of the cross entropy, and share of its mean over all classes."""
    rng = np.random.default_rng(seed)
    logits = jnp.asarray(rng.standard_normal((6, CLASSES)) * 3, jnp.float32)
    labels = rng.integers(0, CLASSES, 6).astype(np.int32)
    smooth = Classification(NAMES, label_smoothing=share)
    losses = -np.log(softmax(np.asarray(logits)))
    own = losses[np.arange(6), labels]
    expected = ((1 - share) * own + share * losses.mean(-1)).mean()
    batch = {"label": jnp.asarray(labels)}
    assert smooth.loss(logits, batch) == pytest.approx(expected, rel=1e-5)
    # What is reported is not smoothed.
    total, count = smooth.metrics(logits, batch)["loss"]
    assert total / count == pytest.approx(own.mean(), rel=1e-5)


def test_ties_are_not_called_right():
    logits = jnp.zeros((CLASSES, CLASSES))
    batch = {"label": jnp.arange(CLASSES)}
    found = task.scores(metrics.add({}, task.metrics(logits, batch)))
    assert found["accuracy"] == found["top_2_accuracy"] == found["top_4_accuracy"] == 0
    everything = Classification(NAMES, top_k=(CLASSES,))
    found = everything.scores(metrics.add({}, everything.metrics(logits, batch)))
    assert found[f"top_{CLASSES}_accuracy"] == 1


@pytest.mark.parametrize("where", ["own", "other", "all"])
def test_nan_is_never_right(where):
    labels = np.arange(CLASSES)
    logits = np.eye(CLASSES, dtype=np.float32)
    if where == "all":
        logits[:] = np.nan
    else:
        logits[labels, labels if where == "own" else labels - 1] = np.nan
    pairs = task.metrics(jnp.asarray(logits), {"label": jnp.asarray(labels)})
    found = task.scores(metrics.add({}, pairs))
    assert np.isnan(found["loss"])
    if where != "other":
        assert found["accuracy"] == found["top_4_accuracy"] == 0


def test_the_confusion_matrix_is_for_evaluations_of_few_classes():
    labels = jnp.zeros(2, jnp.int32)
    mask = {"mask": jnp.ones(2)}
    assert "confusion" not in task.metrics(jnp.zeros((2, CLASSES)), {"label": labels})
    for count, there in (
        (MAX_CONFUSION_CLASSES, True),
        (MAX_CONFUSION_CLASSES + 1, False),
    ):
        many = Classification(tuple(map(str, range(count))))
        found = many.metrics(jnp.zeros((2, count)), {"label": labels} | mask)
        assert ("confusion" in found) == there


def test_predictions():
    logits = np.array([[0, 2, 1, 0, 0], [3, 0, 0, 0, 0]], np.float32)
    labels = np.array([1, 4], np.int32)
    found = task.predictions(jnp.asarray(logits), {"label": jnp.asarray(labels)})
    chances = softmax(logits)
    assert found["class"].tolist() == [1, 0]
    np.testing.assert_allclose(found["probability"], chances.max(-1), rtol=1e-5)
    np.testing.assert_allclose(found["error"], [0, -np.log(chances[1, 4])], rtol=1e-5)


@pytest.mark.parametrize("k", [1, 3, 9])
def test_the_most_probable_classes(k):
    logits = distinct_logits(1, 7)
    # Two outputs more than the data has names.
    found = Classification(NAMES[:3]).answers([], np.asarray(logits), k)
    for row, chances in zip(found, softmax(logits), strict=True):
        order = np.argsort(-chances)[:k]
        names = [NAMES[i] if i < 3 else f"output {i}" for i in order]
        assert [entry["class"] for entry in row] == names
        np.testing.assert_allclose(
            [entry["probability"] for entry in row], chances[order], rtol=1e-5
        )


def test_pictures_of_an_evaluation():
    def row(label, predicted):
        return {
            "image": np.zeros((8, 8, 1), np.uint8),
            "label": np.int32(label),
            "class": np.int32(predicted),
            "probability": np.float32(0.9),
        }

    logits, labels = distinct_logits(0, 6), np.arange(6, dtype=np.int32) % CLASSES
    totals = totals_of(logits, labels)
    few = Classification(NAMES[:3])  # the network has outputs without a name
    found = few.summaries(totals, [row(0, 1), row(2, 4)])
    assert found.keys() == {"confusion", "wrong"}
    for picture in found.values():
        assert picture.dtype == np.uint8 and picture.shape[-1] == 3
        assert len(np.unique(picture)) > 1
    assert few.summaries({}, []) == {}


def test_the_task_is_a_value():
    """Equal tasks are one to the compiler."""
    make = functools.partial(Classification, NAMES, label_smoothing=0.1)
    assert make() == make() and hash(make()) == hash(make())
    assert make() != Classification(NAMES)
