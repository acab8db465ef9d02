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
    *means, _ = reference.precision_recall_fscore_support(
        labels, logits.argmax(-1), average="macro", zero_division=0
    )
    names = ("macro_precision", "macro_recall", "macro_f1")
    assert [found[name] for name in names] == pytest.approx(means)
    chances = softmax(logits)
    squares = (chances - np.eye(CLASSES)[labels]) ** 2
    assert found["brier_score"] == pytest.approx(squares.sum(-1).mean(), rel=1e-4)
    right, sure = logits.argmax(-1) == labels, chances.max(-1)
    bins = np.minimum((sure * 15).astype(int), 14)
    gaps = [abs((right - sure)[bins == m].sum()) for m in range(15)]
    error = found["expected_calibration_error"]
    assert error == pytest.approx(sum(gaps) / len(labels), abs=1e-5)
    (table,) = task.tables(totals).values()
    assert [row["class"] for row in table] == list(NAMES)
    assert [row["examples"] for row in table] == [sum(labels == c) for c in known]


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
        logits = jax.ShapeDtypeStruct((2, count), jnp.float32)
        found = jax.eval_shape(many.metrics, logits, {"label": labels} | mask)
        assert ("confusion" in found) == there


@pytest.mark.parametrize(("count", "there"), [(10, False), (11, True)])
def test_the_top_5_of_more_than_ten_classes(count, there):
    many = Classification(tuple(map(str, range(count))))
    logits = np.arange(count, dtype=np.float32)[None]
    batch = {"label": np.array([count - 5], np.int32)}
    training = jax.eval_shape(many.metrics, logits, batch)
    assert training.keys() == {"loss", "accuracy"}
    batch["mask"] = np.ones(1, np.float32)
    found = jax.eval_shape(many.metrics, logits, batch)
    assert ("top_5_accuracy" in found) == there
    if there:
        found = jax.jit(many.metrics)(logits, batch)
        assert found["top_5_accuracy"] == (1, 1) and found["accuracy"] == (0, 1)


def rows_of(task, logits, labels):
    """The collected and the kept entries of each example."""
    batch = {"label": jnp.asarray(labels)}
    found = batch | jax.jit(task.predictions)(jnp.asarray(logits), batch)
    names = {*task.collected, *task.kept}
    return [
        {name: np.asarray(found[name])[i] for name in names} for i in range(len(labels))
    ]


def test_the_curves_of_two_classes():
    two = Classification(("no", "yes"))
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 40).astype(np.int32)
    # Both probabilities of the last examples are rounded to 0 or 1.
    logits = rng.normal(0, 1, (40, 2)).astype(np.float32)
    logits[30:] *= 100
    rows = rows_of(two, logits, labels)
    found, score = two.scores({}, rows), logits[:, 1] - logits[:, 0]
    assert found == {
        "roc_auc": pytest.approx(reference.roc_auc_score(labels, score)),
        "average_precision": pytest.approx(
            reference.average_precision_score(labels, score)
        ),
    }
    assert two.summaries({}, [], rows).keys() == {"roc", "precision_recall"}
    assert two.scores({}, rows[:1]) == two.summaries({}, [], rows[:1]) == {}
    assert task.collected == ()


def test_kept_predictions():
    logits, labels = distinct_logits(3, 9), np.arange(9, dtype=np.int32) % CLASSES
    found = task.records(rows_of(task, logits, labels))
    chances = softmax(logits)
    assert list(found) == ["label", "prediction", "probability", "loss"]
    assert found["label"].tolist() == labels.tolist()
    assert found["prediction"].tolist() == logits.argmax(-1).tolist()
    np.testing.assert_allclose(found["probability"], chances.max(-1), rtol=1e-5)
    own = chances[np.arange(9), labels]
    np.testing.assert_allclose(found["loss"], -np.log(own), rtol=1e-4)
    assert found["label"].dtype == found["prediction"].dtype == np.int32
    assert found["probability"].dtype == found["loss"].dtype == np.float32


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
    assert found.keys() == {"confusion", "reliability", "wrong"}
    for picture in found.values():
        assert picture.dtype == np.uint8 and picture.shape[-1] == 3
        assert len(np.unique(picture)) > 1
    assert few.summaries({}, []) == {}


def test_the_task_is_a_value():
    """Equal tasks are one to the compiler."""
    make = functools.partial(Classification, NAMES, label_smoothing=0.1)
    assert make() == make() and hash(make()) == hash(make())
    assert make() != Classification(NAMES)
