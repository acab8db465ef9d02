"""Pairs of a sum and a count, and their means."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax.tasks import metrics
from cnn_jax.tasks.metrics import means, weighted


def test_padding_does_not_count():
    values, mask = np.array([1.0, 2.0, 7e3]), np.array([1.0, 1.0, 0.0])
    total, count = weighted(jnp.asarray(values), jnp.asarray(mask))
    assert (total, count) == (3, 2)


@pytest.mark.parametrize("made", [np.nan, np.inf, -np.inf])
def test_what_a_network_makes_of_padding_may_be_anything(made):
    values, mask = jnp.asarray([0.5, made]), jnp.asarray([1.0, 0.0])
    assert weighted(values, mask) == (0.5, 1)
    # It is not hidden where the example counts.
    total, _ = weighted(values, jnp.asarray([1.0, 1.0]))
    assert not np.isfinite(total)


def test_a_mask_may_be_a_weight():
    total, count = weighted(jnp.asarray([1.0, 3.0]), jnp.asarray([0.5, 1.0]))
    assert (total, count) == (3.5, 1.5)


def test_what_was_never_counted_has_no_mean():
    totals = {
        "seen": (np.float64(3), 2.0),
        "unseen": (np.float64(0), 0.0),
        "confusion": (np.ones((2, 2)), 4.0),
    }
    assert means(totals) == {"seen": 1.5}


def test_means_are_plain_floats():
    (value,) = means({"loss": (np.float64(1), np.float64(4))}).values()
    assert type(value) is float and value == 0.25


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
