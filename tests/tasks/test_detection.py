"""Detection as a task: what it sums, collects, says and draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.models.fcos import places
from cnn_jax.tasks import metrics
from cnn_jax.tasks.detection import Detection

SIZE, STRIDES = (16, 16), (4,)
CLASSES = ("a", "b")


@pytest.fixture
def labels():
    """One object of class "b" in the first image, and none in the second."""
    found = np.zeros((2, 3, 5), np.float32)
    found[..., 0] = -1
    found[0, 0] = 1, 2, 3, 11, 13
    return found


@pytest.fixture
def perfect(labels):
    """Outputs that say just that."""
    where = places(SIZE, STRIDES)
    corners = labels[:, 0, 1:]
    distances = np.concatenate(
        [where.centers - corners[:, None, :2], corners[:, None, 2:] - where.centers], -1
    )
    inside = (distances.min(-1) > 0) & (labels[:, :1, 0] >= 0)
    logits = np.full((2, len(where.centers), 2), -20.0, np.float32)
    logits[..., 1] = np.where(inside, 20, -20)
    own = jax.tree.map(lambda rows: np.stack([rows] * 2), where)
    return {
        "size": jnp.full((2, 2), 16.0),
        "logits": jnp.asarray(logits),
        "distances": jnp.asarray(np.maximum(distances, 0), jnp.float32),
        "centerness": jnp.full(logits.shape[:2], 20.0),
        "places": jax.tree.map(jnp.asarray, own),
    }


def batch_of(labels):
    images = jnp.zeros((2, *SIZE, 1), jnp.uint8)
    return {"image": images[: len(labels)], "label": jnp.asarray(labels)}


def test_what_is_found(labels, perfect):
    task = Detection(CLASSES)
    found = task.predictions(perfect, batch_of(labels))
    rows = [
        {"detections": np.asarray(found["detections"][i]), "label": labels[i]}
        for i in range(2)
    ]
    np.testing.assert_allclose(
        rows[0]["detections"][0], [1, 2, 3, 11, 13, 1], atol=1e-4
    )
    assert (rows[0]["detections"][1:, 0] == -1).all()
    assert (rows[1]["detections"][:, 0] == -1).all()
    scores = task.scores({}, rows)
    assert scores.pop("ap_classes") == 1
    assert scores == pytest.approx({"ap": 1, "ap50": 1, "ap75": 1, "ap50/b": 1})
    rows[0]["detections"] = rows[1]["detections"]
    assert task.scores({}, rows)["ap"] == 0


def test_sums_are_those_of_images_by_themselves(labels, perfect):
    task = Detection(CLASSES)
    worse = perfect | {"logits": perfect["logits"] / 10}
    pairs = task.metrics(worse, batch_of(labels) | {"mask": jnp.array([1.0, 0.0])})
    one = jax.tree.map(lambda rows: rows[:1], worse)
    alone = task.loss(one, batch_of(labels[:1]))
    found = task.scores(metrics.add({}, pairs))
    assert found["loss"] == pytest.approx(float(alone), rel=1e-5)
    parts = [found[name] for name in ("classification", "box", "centerness")]
    assert sum(parts) == pytest.approx(found["loss"], rel=1e-5)


def test_answers_and_pictures(labels, perfect):
    task = Detection(CLASSES)
    # In the pixels of the pictures, which were stretched to squares of 16.
    shown = [np.zeros((32, 16, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)]
    first, second = task.answers(shown, jax.tree.map(np.asarray, perfect), 5)
    assert first == [{"class": "b", "score": pytest.approx(1), "box": [4, 3, 22, 13]}]
    assert second == []
    # Without a number all that are drawn.
    doubtful = perfect | {"logits": perfect["logits"] - 25}
    assert task.answers(shown, jax.tree.map(np.asarray, perfect), None)[0] == first
    assert task.answers(shown, jax.tree.map(np.asarray, doubtful), None)[0] == []
    image = np.zeros((*SIZE, 1), np.uint8)
    one = jax.tree.map(lambda rows: np.asarray(rows[0]), perfect)
    drawn = task.drawn(image, one)
    assert drawn.shape == (480, 480, 3) and drawn.any()
    row = {"image": image, "label": labels[0], "error": 1.0}
    row["detections"] = np.asarray(
        task.predictions(perfect, batch_of(labels))["detections"][0]
    )
    assert task.summaries({}, [row])["detections"].shape[1] > 2 * 256
    assert task.summaries({}, []) == {}
