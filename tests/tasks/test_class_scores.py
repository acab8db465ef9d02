"""Precision, recall and F1 of each class, against scikit-learn."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support

from cnn_jax.tasks import class_scores, metrics

CLASSES, BATCH = 5, 8
compiled = jax.jit(class_scores.counts, static_argnums=3)


def counted(labels, predicted):
    """The counts over batches whose last one is padded with class 0."""
    totals = {}
    for start in range(0, len(labels), BATCH):
        rows = [np.zeros(BATCH, np.int32) for _ in range(2)]
        for row, values in zip(rows, (labels, predicted), strict=True):
            part = values[start : start + BATCH]
            row[: len(part)] = part
        mask = (np.arange(BATCH) < len(part)).astype(np.float32)
        totals = metrics.add(totals, {"counts": compiled(*rows, mask, CLASSES)})
    assert totals["counts"][1] == len(labels)
    return totals["counts"][0]


pairs = st.lists(
    st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)),
    min_size=1,
    max_size=30,
)


@settings(max_examples=40, deadline=None)
@given(pairs)
def test_scores_are_scikit_learns(rows):
    labels, predicted = np.array(rows).T
    sums = counted(labels, predicted)
    options = {"zero_division": 0}
    *expected, support = precision_recall_fscore_support(
        labels, predicted, labels=range(CLASSES), **options
    )
    found = class_scores.per_class(sums)
    for name, values in zip(("precision", "recall", "f1"), expected, strict=True):
        np.testing.assert_allclose(found[name], values)
    *means, _ = precision_recall_fscore_support(
        labels, predicted, average="macro", **options
    )
    macro = class_scores.macro(sums)
    assert list(macro.values()) == pytest.approx(means)
    table = class_scores.table(sums, tuple("abcde"))
    assert [row["examples"] for row in table] == support.tolist()
    assert [row["f1"] for row in table] == found["f1"].tolist()


def test_without_examples_there_is_no_mean():
    assert class_scores.macro(np.zeros((3, CLASSES))) == {}
