"""Metrics as (sum, count) pairs: exact for padded batches and many hosts."""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

Pair = tuple[Num[Array, "..."], Num[Array, ""]]
Pairs = Mapping[str, Pair]

# Pairs added up over many batches, on the host.
Totals = dict[str, tuple[np.ndarray | np.float64, float]]

# What was collected of every example of a split, by name; one dict an example.
Rows = Sequence[Mapping[str, np.ndarray | np.generic]]


def weighted(values: Float[Array, " batch"], mask: Float[Array, " batch"]) -> Pair:
    """The pair of a value for each example; padding has a mask of 0."""
    # Not a product: what the network makes of padding may be NaN.
    return jnp.where(mask > 0, values * mask, 0).sum(), mask.sum()


def means(totals: Totals) -> dict[str, float]:
    """`sum / count` of every scalar metric; a confusion matrix is left out."""
    return {
        name: float(total / count)
        for name, (total, count) in totals.items()
        if np.ndim(total) == 0 and count
    }
