"""ROC and precision-recall curves, against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from cnn_jax.tasks.binary_curves import curves

# Few values, so that many scores are equal.
examples = st.lists(
    st.tuples(st.integers(-4, 4), st.booleans()), min_size=1, max_size=25
)


@given(examples)
def test_curves_are_scikit_learns(rows):
    scores, positive = map(np.array, zip(*rows, strict=True))
    found = curves(scores / 3, positive)
    if positive.all() or not positive.any():
        assert found is None
        return
    false, true, _ = reference.roc_curve(positive, scores, drop_intermediate=False)
    np.testing.assert_allclose(found.false_positive_rate, false)
    np.testing.assert_allclose(found.recall, true)
    precision, recall, _ = reference.precision_recall_curve(positive, scores)
    np.testing.assert_allclose(found.precision[::-1], precision)
    np.testing.assert_allclose(found.recall[::-1], recall)
    assert found.roc_auc == pytest.approx(reference.roc_auc_score(positive, scores))
    assert found.average_precision == pytest.approx(
        reference.average_precision_score(positive, scores)
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_not_finite_have_no_curves(value):
    assert curves(np.array([0.0, value]), np.array([False, True])) is None
