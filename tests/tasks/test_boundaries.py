"""The boundary F1 score against SciPy's distance transform."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from cnn_jax.data.labels.pixels import IGNORED
from cnn_jax.tasks import boundaries, metrics
from cnn_jax.tasks.segmentation import Segmentation

CLASSES, SHAPE = 3, (9, 12)


def boundary(classes, number):
    """The boundary of a class, by its neighbors one after the other."""
    found = np.zeros(classes.shape, bool)
    height, width = classes.shape
    for row in range(height):
        for column in range(width):
            for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
                y, x = row + down, column + right
                if (
                    0 <= y < height
                    and 0 <= x < width
                    and classes[row, column] == number
                ):
                    found[row, column] |= classes[y, x] not in (number, IGNORED)
    return found


def reference(labels, predicted, tolerance):
    """The mean over the classes of one image; None without a boundary."""
    predicted = np.where(labels == IGNORED, IGNORED, predicted)
    scores = []
    for number in range(CLASSES):
        true, found = boundary(labels, number), boundary(predicted, number)
        if not true.any() and not found.any():
            continue
        if not true.any() or not found.any():
            scores.append(0.0)
            continue
        precision, recall = (
            (ndimage.distance_transform_edt(~other)[own] <= tolerance).mean()
            for own, other in ((found, true), (true, found))
        )
        both = precision + recall
        scores.append(2 * precision * recall / both if both else 0.0)
    return np.mean(scores) if scores else None


def blocks(rng, count):
    """Maps of classes with areas of several pixels."""
    coarse = rng.integers(0, CLASSES, (count, 3, 4))
    return coarse.repeat(3, 1).repeat(3, 2).astype(np.uint8)


@pytest.mark.parametrize("tolerance", [0.0, 1.0, 1.5, 3.0])
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**16))
def test_the_score_is_the_reference(tolerance, seed):
    rng = np.random.default_rng(seed)
    labels, predicted = blocks(rng, 5), blocks(rng, 5)
    predicted[1] = np.roll(labels[1], 1, 0)
    labels[2] = predicted[2] = 1  # without a boundary
    labels[rng.random(labels.shape) < 0.1] = IGNORED
    task = Segmentation(tuple("abc"), boundary_tolerance=tolerance)
    totals = {}
    measure = jax.jit(task.metrics)
    for start in (0, 3):  # the last batch is padded
        rows = np.full((3, *SHAPE, CLASSES), np.nan, np.float32)
        own = predicted[start : start + 3]
        rows[: len(own)] = np.eye(CLASSES)[own]
        padded = np.zeros((3, *SHAPE), np.uint8)
        padded[: len(own)] = labels[start : start + 3]
        mask = (np.arange(3) < len(own)).astype(np.float32)
        totals = metrics.add(totals, measure(rows, {"label": padded, "mask": mask}))
    pairs = zip(labels, predicted, strict=True)
    each = [reference(*pair, tolerance) for pair in pairs]
    known = [score for score in each if score is not None]
    assert totals["boundary_f1"][1] == len(known)
    assert task.scores(totals)["boundary_f1"] == pytest.approx(np.mean(known), rel=1e-5)


def test_boundaries_within_the_tolerance_agree():
    labels = jnp.zeros((1, *SHAPE), jnp.int32).at[:, :, 6:].set(1)
    moved = jnp.roll(labels, 2, 2).at[:, :, :2].set(0)
    counted = jnp.ones(labels.shape, bool)
    for tolerance, expected in ((2.0, 1.0), (0.5, 0.0)):
        score, has = boundaries.f1(labels, moved, counted, 2, tolerance)
        assert score == pytest.approx([expected]) and has.all()


def test_the_score_is_measured_on_request_alone():
    logits = jax.ShapeDtypeStruct((2, *SHAPE, 3), jnp.float32)
    batch = {"label": np.zeros((2, *SHAPE), np.uint8), "mask": np.ones(2, np.float32)}
    for tolerance in (None, 2.0):
        task = Segmentation(tuple("abc"), boundary_tolerance=tolerance)
        found = jax.eval_shape(task.metrics, logits, batch)
        assert ("boundary_f1" in found) == (tolerance is not None)
