"""Pairs of a sum and a count, and their means."""

import jax.numpy as jnp
import numpy as np
import pytest

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
