"""Segmentation against scikit-learn, over any split into padded batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax
from sklearn import metrics as reference
from sklearn.utils.class_weight import compute_class_weight

from cnn_jax.core.errors import UserError
from cnn_jax.data.labels.pixels import IGNORED, PIXELS
from cnn_jax.tasks import metrics, pictures
from cnn_jax.tasks.segmentation import MANY_CLASSES, Segmentation

CLASSES, BATCH, SHAPE = 4, 3, (3, 5)
NAMES = tuple("abcd")
task = Segmentation(NAMES)
compiled = jax.jit(task.metrics)

seeds = st.integers(0, 2**16)
counts = st.integers(1, 8)


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True).astype(np.float64))
    return powers / powers.sum(-1, keepdims=True)


def examples(seed, count, ignored=0.3, classes=CLASSES):
    """Logits and labels of so many images; a class or two may not occur at all."""
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((count, *SHAPE, classes)).astype(np.float32) * 3
    logits[..., rng.integers(classes)] -= 20
    known = rng.permutation(classes)[: rng.integers(1, classes + 1)]
    labels = rng.choice(known, (count, *SHAPE)).astype(np.uint8)
    labels[rng.random(labels.shape) < ignored] = IGNORED
    return logits, labels


def entropies(logits, labels):
    """Returns cross entropies. scikit-learn cuts off probabilities below 2e-16."""
    return -log_softmax(logits, axis=-1)[np.arange(len(labels)), labels]


def totals_of(logits, labels):
    totals = {}
    for start in range(0, len(labels), BATCH):
        real = len(labels[start : start + BATCH])
        # Padding of any value, which only the mask keeps out.
        rows = np.full((BATCH, *SHAPE, logits.shape[-1]), np.nan, np.float32)
        rows[:real] = logits[start : start + BATCH]
        batch = {
            "label": np.zeros((BATCH, *SHAPE), np.uint8),
            "mask": (np.arange(BATCH) < real).astype(np.float32),
        }
        batch["label"][:real] = labels[start : start + BATCH]
        totals = metrics.add(totals, compiled(rows, batch))
    return totals


@settings(max_examples=40, deadline=None)
@example(seed=291, count=8)
@given(seeds, counts)
def test_evaluation_is_scikit_learns(seed, count):
    logits, labels = examples(seed, count)
    counted = labels != IGNORED
    totals = totals_of(logits, labels)
    assert totals["pixel_accuracy"][1] == counted.sum()
    found = task.scores(totals)
    if not counted.any():
        assert found == {}
        return
    truth, values = labels[counted], np.float64(logits[counted])
    predicted = logits[counted].argmax(-1)
    known = range(CLASSES)
    assert found["pixel_accuracy"] == pytest.approx(
        reference.accuracy_score(truth, predicted)
    )
    # Without `labels`, the average is over those that either of the two has.
    assert found["mean_iou"] == pytest.approx(
        reference.jaccard_score(truth, predicted, average="macro")
    )
    assert found["loss"] == pytest.approx(entropies(values, truth).mean(), rel=1e-4)
    np.testing.assert_array_equal(
        totals["confusion"][0],
        reference.confusion_matrix(truth, predicted, labels=known),
    )
    each = reference.jaccard_score(truth, predicted, average=None)
    occurs = np.union1d(truth, predicted)
    assert {k: v for k, v in found.items() if k.startswith("iou/")} == {
        f"iou/{NAMES[i]}": pytest.approx(iou)
        for i, iou in zip(occurs, each, strict=True)
    }
    some = {"mean_iou_classes"} if len(occurs) < CLASSES else set()
    assert found.get("mean_iou_classes", CLASSES) == len(occurs)
    assert found.keys() - {f"iou/{name}" for name in NAMES} - some == {
        "loss",
        "pixel_accuracy",
        "mean_iou",
    }


def test_mean_iou_by_hand():
    """Long et al. 2015: of three classes, one that nothing has does not count."""
    matrix = np.array([[6.0, 2, 0], [1, 3, 0], [0, 0, 0]])
    found = task.scores({"confusion": (matrix, 12.0)})
    assert found.pop("mean_iou") == pytest.approx((6 / 9 + 3 / 6) / 2)
    assert found.pop("mean_iou_classes") == 2
    assert found == {"iou/a": pytest.approx(6 / 9), "iou/b": pytest.approx(3 / 6)}
    # One that is predicted and never right does.
    matrix[1, 2] = 1
    found = task.scores({"confusion": (matrix, 13.0)})
    assert found["mean_iou"] == pytest.approx((6 / 9 + 3 / 7 + 0) / 3)
    assert found["iou/c"] == 0


@settings(max_examples=20, deadline=None)
@example(seed=1983)
@given(seeds)
def test_weights_of_classes(seed):
    logits, labels = examples(seed, 2)
    labels[0, 0, 0] = 1
    weights = tuple(np.random.default_rng(seed).uniform(0.1, 5, CLASSES).tolist())
    weighted = Segmentation(NAMES, class_weights=weights)
    counted = labels != IGNORED
    truth = labels[counted]
    losses = entropies(np.float64(logits[counted]), truth)
    expected = np.average(losses, weights=np.array(weights)[truth])
    found = weighted.loss(jnp.asarray(logits), {"label": jnp.asarray(labels)})
    assert float(found) == pytest.approx(expected, rel=1e-4)


def test_balanced_weights_are_scikit_learns():
    logits, labels = examples(0, 3)
    counted = labels != IGNORED
    statistics = PIXELS.statistics(labels, CLASSES)
    balanced = compute_class_weight(
        "balanced", classes=np.unique(labels[counted]), y=labels[counted]
    )
    weights = np.zeros(CLASSES)
    weights[np.unique(labels[counted])] = balanced
    given = Segmentation(NAMES, class_weights=tuple(np.maximum(weights, 1e-9).tolist()))
    found = Segmentation(NAMES, statistics, class_weights="balanced")
    batch = {"label": jnp.asarray(labels)}
    loss = found.loss(jnp.asarray(logits), batch)
    assert float(loss) == pytest.approx(float(given.loss(jnp.asarray(logits), batch)))
    assert [need.fact for need in found.takes].count("class counts") == 1
    with pytest.raises(UserError, match="class_weights=even must be 'balanced'"):
        Segmentation(NAMES, class_weights="even")


def test_nothing_to_learn_has_no_loss():
    logits, labels = examples(0, 2)
    nothing = {"label": jnp.full_like(labels, IGNORED)}
    assert task.loss(jnp.asarray(logits), nothing) == 0


def test_weights_of_other_classes():
    with pytest.raises(UserError, match=r"has 2 numbers, but needs 4, .*: a, b, c, d"):
        Segmentation(NAMES, class_weights=(1.0, 2.0))


def test_it_is_not_the_mean_over_images():
    logits, labels = examples(3, 6)
    whole = task.scores(totals_of(logits, labels))["mean_iou"]
    each = [
        task.scores(totals_of(logits[i : i + 1], labels[i : i + 1]))["mean_iou"]
        for i in range(6)
    ]
    assert abs(whole - np.mean(each)) > 1e-3


@settings(max_examples=20, deadline=None)
@given(seeds, st.floats(0, 1))
def test_the_loss_and_label_smoothing(seed, share):
    """(1 - share) of the cross entropy, and share of its mean over all classes."""
    logits, labels = examples(seed, 2)
    labels[0, 0, 0] = 1
    counted = labels != IGNORED
    losses = -np.log(softmax(logits[counted]))
    own = losses[np.arange(len(losses)), labels[counted]]
    expected = ((1 - share) * own + share * losses.mean(-1)).mean()
    batch = {"label": jnp.asarray(labels)}
    smooth = Segmentation(NAMES, label_smoothing=share)
    assert smooth.loss(jnp.asarray(logits), batch) == pytest.approx(expected, rel=1e-4)
    # What is reported is not smoothed.
    total, count = smooth.metrics(jnp.asarray(logits), batch)["loss"]
    assert total / count == pytest.approx(own.mean(), rel=1e-4)


def test_auxiliary_heads_are_weighed():
    """The auxiliary head has the same loss, with the weight 0.5 as in torchvision."""
    logits, labels = examples(0, 2)
    others, _ = examples(1, 2)
    batch = {"label": jnp.asarray(labels)}
    own, other = (task.loss(jnp.asarray(values), batch) for values in (logits, others))
    for weight, smooth in (
        (0.5, task),
        (0.2, Segmentation(NAMES, auxiliary_weight=0.2)),
    ):
        found = smooth.loss(jnp.asarray(logits), batch, [jnp.asarray(others)])
        assert found == pytest.approx(own + weight * other)


@pytest.mark.parametrize("ignored", [0.5, 1.0])
def test_ignored_pixels_have_no_gradient(ignored):
    logits, labels = examples(0, 2, ignored)
    batch = {"label": jnp.asarray(labels)}
    gradient = jax.grad(lambda x: task.loss(x, batch))(jnp.asarray(logits))
    counted = labels != IGNORED
    assert np.isfinite(gradient).all()
    assert not gradient[~counted].any()
    assert (np.abs(gradient[counted]).sum(-1) > 0).all()


def test_training_counts_no_confusion():
    logits, labels = examples(0, 2)
    pairs = task.metrics(jnp.asarray(logits), {"label": jnp.asarray(labels)})
    assert pairs.keys() == {"loss", "pixel_accuracy"}
    assert task.scores(metrics.add({}, pairs)).keys() == pairs.keys()


@pytest.mark.full
def test_many_pixels_are_counted_exactly():
    """2**24 + 1 is no float32, and a batch of large images has more pixels."""
    logits, labels = examples(0, 1)
    pairs = task.metrics(
        jnp.asarray(logits), {"label": jnp.asarray(labels), "mask": jnp.ones(1)}
    )
    assert pairs["pixel_accuracy"][0].dtype == jnp.int32
    assert pairs["pixel_accuracy"][1].dtype == jnp.int32
    assert pairs["confusion"][0].dtype == jnp.int32


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_predictions(seed):
    logits, labels = examples(seed, 4)
    labels[0] = IGNORED
    labels[1] = logits[1].argmax(-1)
    found = task.predictions(jnp.asarray(logits), {"label": jnp.asarray(labels)})
    predicted = logits.argmax(-1)
    np.testing.assert_array_equal(found["class"], predicted)
    assert found["class"].dtype == np.uint8
    counted = labels != IGNORED
    index = np.where(counted, labels, 0)[..., None]
    losses = -np.log(np.take_along_axis(softmax(logits), index, -1))[..., 0]
    wrong = losses * (counted & (predicted != labels))
    expected = wrong.sum((1, 2)) / np.maximum(counted.sum((1, 2)), 1)
    np.testing.assert_allclose(found["error"], expected, rtol=1e-4)
    assert found["error"][0] == found["error"][1] == 0


@pytest.mark.parametrize("k", [1, 3, 9])
def test_the_classes_that_most_pixels_have(k):
    logits, _ = examples(1, 5, classes=6)
    # Two outputs more than the data has names.
    rows = task.answers([], np.asarray(logits), k)
    for row, found in zip(logits.argmax(-1), rows, strict=True):
        counts = np.bincount(row.ravel(), minlength=6)
        order = [i for i in np.argsort(-counts, kind="stable")[:k] if counts[i]]
        names = [NAMES[i] if i < 4 else f"output {i}" for i in order]
        assert [entry["class"] for entry in found] == names
        shares = [entry["share"] for entry in found]
        np.testing.assert_allclose(shares, counts[order] / counts.sum())


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_pictures_of_an_evaluation(channels):
    logits, labels = examples(0, 6)
    totals = totals_of(logits, labels)
    image = np.random.default_rng(0).integers(0, 256, (*SHAPE, channels), np.uint8)
    row = {
        "image": image,
        "label": labels[0],
        "class": logits[0].argmax(-1).astype(np.uint8),
    }
    found = task.summaries(totals, [row, row])
    assert found.keys() == {"confusion", "segmentation"}
    for picture in found.values():
        assert picture.dtype == np.uint8 and picture.shape[-1] == 3
    # Image, label and prediction, from left to right, 25 times as large.
    picture = found["segmentation"][1:, 1:]
    factor = 128 // max(SHAPE)
    maps = [pictures.colored(row[key]) for key in ("label", "class")]
    colors = np.broadcast_to(image[..., :3], (*SHAPE, 3))
    for place, panel in enumerate([colors, *maps]):
        start = place * (SHAPE[1] * factor + 1)
        shown = picture[: SHAPE[0] * factor, start : start + SHAPE[1] * factor]
        large = np.kron(panel, np.ones((factor, factor, 1), np.uint8))
        np.testing.assert_array_equal(shown, large)
    assert task.summaries({}, []) == {}
    many = tuple(map(str, range(MANY_CLASSES + 1)))
    assert "confusion" not in Segmentation(many).summaries(totals, [])


def test_the_task_is_a_value():
    """Equal tasks are one to the compiler."""
    assert Segmentation(NAMES) == task and hash(Segmentation(NAMES)) == hash(task)
    assert Segmentation(NAMES, label_smoothing=0.1) != task
