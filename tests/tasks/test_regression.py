"""Regression against scikit-learn, over any split into padded batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from cnn_jax.core.errors import UserError
from cnn_jax.data.labels.kind import LabelStatistics
from cnn_jax.tasks import metrics
from cnn_jax.tasks.regression import Regression

NAMES = ("age", "height")
MEAN, STD = (40.0, 1700.0), (20.0, 80.0)
BATCH = 4
task = Regression(NAMES, LabelStatistics(mean=MEAN, std=STD))
compiled = jax.jit(task.metrics)


def totals_of(outputs, labels):
    totals = {}
    for start in range(0, len(labels), BATCH):
        real = len(labels[start : start + BATCH])
        rows = np.full((BATCH, outputs.shape[1]), np.nan, np.float32)
        rows[:real] = outputs[start : start + BATCH]
        own = np.zeros((BATCH, 2), np.float32)
        own[:real] = labels[start : start + BATCH]
        mask = (np.arange(BATCH) < real).astype(np.float32)
        totals = metrics.add(totals, compiled(rows, {"label": own, "mask": mask}))
    return totals


def examples(count, seed):
    """Outputs, one more than a label has numbers, and labels."""
    rng = np.random.default_rng(seed)
    outputs = rng.normal(0, 1, (count, 3)).astype(np.float32)
    noise = rng.normal(0, 0.5, (count, 2))
    return outputs, ((outputs[:, :2] + noise) * STD + MEAN).astype(np.float32)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 15), st.integers(0, 2**16))
def test_evaluation_is_scikit_learns(count, seed):
    outputs, labels = examples(count, seed)
    predicted = outputs[:, :2].astype(np.float64) * STD + MEAN
    found = task.scores(totals_of(outputs, labels))
    for name, score in (
        ("mae", reference.mean_absolute_error),
        ("rmse", reference.root_mean_squared_error),
        ("r2", reference.r2_score),
    ):
        each = score(labels, predicted, multioutput="raw_values")
        assert found[name] == pytest.approx(each.mean(), rel=1e-3)
        for own, value in zip(NAMES, each, strict=True):
            assert found[f"{name}/{own}"] == pytest.approx(value, rel=1e-3)
    errors = outputs[:, :2] - (labels - MEAN) / STD
    assert found["loss"] == pytest.approx((errors**2).mean(), rel=1e-3)


def test_equal_labels():
    labels = np.full((5, 2), 30, np.float32)
    exact = ((labels - MEAN) / STD).astype(np.float32)
    assert task.scores(totals_of(exact, labels))["r2"] == 1
    assert task.scores(totals_of(exact + 1, labels))["r2"] == 0


@pytest.mark.parametrize("name", ["mean_absolute_error", "huber(delta=0.5)"])
def test_the_loss_is_of_standardized_labels(name):
    outputs, labels = examples(6, 0)
    made = Regression(NAMES, task.label_statistics, loss_name=name)
    found = made.loss(
        jnp.asarray(outputs), {"label": jnp.asarray(labels)}, [jnp.asarray(outputs)]
    )
    errors = np.abs(outputs[:, :2] - (labels - np.array(MEAN)) / STD)
    far = 0.5 * (errors - 0.25)
    huber = np.where(errors <= 0.5, errors**2 / 2, far)
    expected = (huber if "huber" in name else errors).mean()
    assert found == pytest.approx(1.3 * expected, rel=1e-5)


def test_predictions_and_answers_are_in_the_unit_of_the_label():
    outputs, labels = examples(3, 1)
    expected = outputs[:, :2] * np.array(STD) + MEAN
    batch = {"label": jnp.asarray(labels)}
    found = task.predictions(jnp.asarray(outputs), batch)
    np.testing.assert_allclose(found["prediction"], expected, rtol=1e-5)
    errors = outputs[:, :2] - (labels - np.array(MEAN)) / STD
    np.testing.assert_allclose(found["error"], (errors**2).mean(1), rtol=1e-3)
    for (answer,), row in zip(task.answers([], outputs, None), expected, strict=True):
        assert answer == pytest.approx(dict(zip(NAMES, row, strict=True)), rel=1e-5)


def test_records_have_a_column_for_each_number():
    outputs, labels = examples(3, 1)
    batch = {"label": jnp.asarray(labels)}
    found = {"label": labels} | task.predictions(jnp.asarray(outputs), batch)
    rows = [{name: np.asarray(found[name])[i] for name in task.kept} for i in range(3)]
    records = task.records(rows)
    expected = outputs[:, :2] * np.array(STD) + MEAN
    for column, name in enumerate(NAMES):
        np.testing.assert_array_equal(records[f"label_{name}"], labels[:, column])
        np.testing.assert_allclose(
            records[f"prediction_{name}"], expected[:, column], rtol=1e-5
        )
    np.testing.assert_array_equal(records["loss"], found["error"])


def test_pictures_show_the_worst():
    row = {
        "image": np.zeros((8, 8, 1), np.uint8),
        "label": np.float32([20, 1800]),
        "prediction": np.float32([21.5, 1750]),
    }
    (picture,) = task.summaries({}, [row]).values()
    assert picture.dtype == np.uint8 and len(np.unique(picture)) > 1
    assert task.summaries({}, []) == {}


def test_without_data_labels_are_not_scaled():
    plain, outputs = Regression(("a",)), jnp.array([[2.0], [4.0]])
    assert plain.loss(outputs, {"label": jnp.zeros((2, 1))}) == 10


def test_an_unknown_loss():
    with pytest.raises(UserError, match=r"unknown loss 'hubr'\. Did you mean 'huber'"):
        Regression(("a",), loss_name="hubr")
