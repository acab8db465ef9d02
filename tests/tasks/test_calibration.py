"""Calibration errors by their definition, and against scikit-learn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from cnn_jax.tasks import calibration

SIZE = 16
binned = jax.jit(calibration.binned)


def padded(confidences, right):
    """The bins of one batch; its padding rows are NaN."""
    batch = np.full(SIZE, np.nan, np.float32)
    batch[: len(confidences)] = confidences
    known = np.ones(SIZE, bool)
    known[: len(right)] = right
    mask = (np.arange(SIZE) < len(right)).astype(np.float32)
    sums, count = binned(batch, known, mask)
    assert count == len(right)
    return np.asarray(sums, np.float64)


examples = st.lists(
    st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=1, max_size=SIZE
)


@settings(max_examples=50, deadline=None)
@given(examples)
def test_bins_are_scikit_learns(rows):
    confidences, right = map(np.array, zip(*rows, strict=True))
    # An edge is not the same number as float32 and as float64.
    edges = np.arange(1, calibration.BINS) / calibration.BINS
    near = np.abs(confidences[:, None] - edges).min(axis=1) < 1e-6
    confidences[near] = 0.5
    bins = padded(confidences, right)
    filled = bins[:, bins[0] > 0]
    accuracy, confidence = calibration_curve(
        right, confidences, n_bins=calibration.BINS, pos_label=True
    )
    np.testing.assert_allclose(filled[2] / filled[0], accuracy)
    # XLA counts the smallest float32 numbers as 0.
    np.testing.assert_allclose(filled[1] / filled[0], confidence, rtol=1e-5, atol=1e-37)
    expected = filled[0] @ np.abs(accuracy - confidence) / len(rows)
    assert calibration.expected_error(bins) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("confidence", "right", "error"),
    [(0.8, [1, 1, 1, 1, 0], 0), (0.9, [1, 0], 0.4), (1.0, [1], 0), (0.3, [1], 0.7)],
)
def test_errors_by_hand(confidence, right, error):
    bins = padded([confidence] * len(right), np.array(right, bool))
    assert calibration.expected_error(bins) == pytest.approx(error, abs=1e-6)


@pytest.mark.parametrize("classes", [2, 4])
def test_the_brier_score_is_scikit_learns(classes):
    rng = np.random.default_rng(classes)
    probabilities = rng.dirichlet(np.ones(classes), 20).astype(np.float32)
    labels = rng.integers(0, classes, 20)
    found = calibration.brier(jnp.asarray(probabilities), jnp.asarray(labels))
    expected = brier_score_loss(
        labels,
        probabilities.astype(np.float64),
        labels=range(classes),
        scale_by_half=False,
    )
    assert found.mean() == pytest.approx(expected, rel=1e-5)
