"""Localization by class activation maps, from maps that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax.tasks import metrics
from cnn_jax.tasks.classification import Classification
from cnn_jax.tasks.localization import Localization

CLASSES = ("a", "b", "c")
SIZE = 16


def outputs_of(places, strongest):
    """Maps of 4x4 for each image: class c is high in one cell, (row, column)."""
    maps = np.zeros((len(places), 4, 4, 3), np.float32)
    for image, cells in enumerate(places):
        for kind, (row, column) in enumerate(cells):
            maps[image, row, column, kind] = 1 + (kind == strongest[image])
    return {"maps": jnp.asarray(maps), "logits": jnp.asarray(maps.mean((1, 2)))}


@pytest.fixture
def measured():
    """Two images of class "b", one seen as "c", whose object is at the upper left."""
    places = [[(3, 3), (0, 0), (3, 0)]] * 2
    outputs = outputs_of(places, [1, 2])
    label = np.full((2, 2, 5), 0, np.float32)
    label[:, 0] = [1, 0, 0, 6, 6]
    label[:, 1, 0] = -1
    batch = {"image": np.zeros((2, SIZE, SIZE, 1), np.uint8), "label": label}
    batch["mask"] = np.ones(2, np.float32)
    return outputs, jax.tree.map(jnp.asarray, batch)


def rows_of(task, outputs, batch):
    found = task.predictions(outputs, batch)
    return [
        {key: np.asarray(values[i]) for key, values in (batch | found).items()}
        for i in range(2)
    ]


def test_errors(measured):
    task = Localization(CLASSES)
    outputs, batch = measured
    rows = rows_of(task, outputs, batch)
    assert rows[0]["maps"].shape == (2, SIZE, SIZE)
    found = task.scores(metrics.add({}, task.metrics(outputs, batch)), rows)
    # The class's own map is right in both; the second image is not recognized.
    assert found["localization_error"] == 0
    assert found["top_1_localization_error"] == 0.5
    assert found["accuracy"] == 0.5
    # With the object elsewhere, none is right.
    for row in rows:
        row["label"] = row["label"] + np.array([0, 9, 9, 9, 9], np.float32)
        row["label"][1, 0] = -1
    assert task.scores({}, rows)["localization_error"] == 1


corners = st.tuples(*[st.integers(0, 6)] * 2, *[st.integers(7, 12)] * 2)


@settings(max_examples=20)
@given(st.lists(st.tuples(corners, corners, corners), min_size=1, max_size=5))
def test_errors_spelled_out(images):
    """Boxes are compared pixel by pixel; an image's third box has another class."""

    def pixels(corners):
        top, left, bottom, right = corners
        return {(y, x) for y in range(top, bottom) for x in range(left, right)}

    rows, wrong = [], 0
    for made, same, other in images:
        heat = np.zeros((2, 12, 12), np.float32)
        heat[:, made[0] : made[2], made[1] : made[3]] = 1
        label = np.array([[1, *same], [2, *other], [-1, 0, 0, 0, 0]], np.float32)
        rows.append({"label": label, "class": np.int32(2), "maps": heat})
        one, two = pixels(made), pixels(same)
        wrong += len(one & two) / len(one | two) < 0.5
    found = Localization(CLASSES).scores({}, rows)
    assert found["localization_error"] == pytest.approx(wrong / len(images))
    assert found["top_1_localization_error"] == 1


def test_it_learns_as_classification_does(measured):
    outputs, batch = measured
    labels = {"label": jnp.array([1, 1], jnp.int32)}
    expected = Classification(CLASSES).loss(outputs["logits"], labels)
    assert Localization(CLASSES).loss(outputs, batch) == expected


def test_pictures(measured):
    task = Localization(CLASSES)
    outputs, batch = measured
    rows = rows_of(task, outputs, batch)
    found = task.summaries({}, rows)
    assert found.keys() == {"wrong", "maps"}
    one = {name: np.asarray(values[0]) for name, values in outputs.items()}
    drawn = task.drawn(np.asarray(batch["image"][0]), one)
    assert (
        drawn.shape[0] == 480 and drawn[:60, :60, 0].mean() > drawn[-60:, :60, 0].mean()
    )
    assert (
        task.answers([], {"logits": np.asarray(outputs["logits"])}, 1)[1][0]["class"]
        == "c"
    )


@pytest.mark.full
def test_boxes_that_do_not_count():
    """An image's class is that of its first box that does; one without has no part."""
    outputs = outputs_of([[(0, 0), (3, 3), (0, 3)]] * 3, [1, 1, 1])
    label = np.full((3, 2, 5), -1, np.float32)
    label[0] = [[-4, 0, 0, 3, 3], [1, 10, 10, 16, 16]]  # of "c", but exempt
    label[1, 0] = [2, 0, 10, 6, 16]
    batch = {"image": np.zeros((3, SIZE, SIZE, 1), np.uint8), "label": label}
    batch = jax.tree.map(jnp.asarray, batch | {"mask": np.ones(3, np.float32)})
    task, plain = Localization(CLASSES), Classification(CLASSES)
    expected = plain.loss(outputs["logits"][:2], {"label": jnp.array([1, 2])})
    assert float(task.loss(outputs, batch)) == pytest.approx(float(expected))
    pairs = task.metrics(outputs, batch)
    found = task.scores(
        metrics.add({}, pairs),
        [
            {key: np.asarray(values[i]) for key, values in rows.items()}
            for rows in [batch | task.predictions(outputs, batch)]
            for i in range(3)
        ],
    )
    assert found["accuracy"] == 0.5
    assert found["localization_error"] == 0 and found["top_1_localization_error"] == 0.5
    del batch["mask"]
    training = task.metrics(outputs, batch)
    assert "confusion" in pairs and "confusion" not in training
    assert float(training["accuracy"][1]) == 2
    assert training.keys() == {"loss", "accuracy"}
    assert float(task.predictions(outputs, batch)["error"][2]) == 0
    found = task.predictions(outputs, batch)
    kept = task.records(
        [
            {name: np.asarray((batch | found)[name][i]) for name in task.kept}
            for i in range(3)
        ]
    )
    assert kept["label"].tolist() == [1, 2, -1]
    assert np.isnan(kept["loss"]).tolist() == [False, False, True]
