"""Sums and counts over any split into batches are those of the whole."""

import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax.tasks.metrics import means, weighted
from cnn_jax.training import metrics

VALUES = st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=30)


@settings(max_examples=30, deadline=None)
@given(VALUES, st.integers(1, 8), st.integers(0, 3))
def test_means_over_padded_batches(values, batch_size, empty):
    """Padding, of whatever value, and batches of nothing but padding do not count."""
    totals = {}
    rows = np.array(values, np.float32)
    for start in range(0, len(rows) + empty * batch_size, batch_size):
        part = rows[start : start + batch_size]
        padded = np.full(batch_size, 7e3, np.float32)
        padded[: len(part)] = part
        mask = (np.arange(batch_size) < len(part)).astype(np.float32)
        pair = weighted(jnp.asarray(padded), jnp.asarray(mask))
        totals = metrics.add(totals, {"value": pair})
    count = totals["value"][1]
    assert count == len(values) and isinstance(count, float)
    mean = means(totals)["value"]
    scale = np.abs(rows).sum() / len(rows)
    np.testing.assert_allclose(
        mean, np.mean(rows, dtype=np.float64), rtol=1e-5, atol=1e-5 * scale + 1e-12
    )


def test_sums_are_kept_in_float64():
    """2**24 + 1 is no float32: a million small batches must not be lost."""
    totals = {"n": (np.float64(2**24), 1.0)}
    one = (jnp.asarray(1.0), jnp.asarray(1.0))
    total, count = metrics.add(totals, {"n": one})["n"]
    assert total == 2**24 + 1 and total.dtype == np.float64 and count == 2


def test_adding_changes_nothing_in_place():
    matrix = jnp.ones((2, 2))
    totals = metrics.add({}, {"confusion": (matrix, jnp.asarray(4.0))})
    before = totals["confusion"][0].copy()
    more = metrics.add(totals, {"confusion": (matrix, jnp.asarray(4.0))})
    np.testing.assert_array_equal(totals["confusion"][0], before)
    np.testing.assert_array_equal(more["confusion"][0], 2 * before)
