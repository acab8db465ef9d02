"""Metrics as (sum, count) pairs: exact for padded batches and many hosts."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Array, Float

Pair = tuple[Float[Array, "..."], Float[Array, ""]]
Pairs = Mapping[str, Pair]

# Pairs added up over many batches, on the host.
Totals = dict[str, tuple[np.ndarray | np.float64, float]]


def weighted(values: Float[Array, " batch"], mask: Float[Array, " batch"]) -> Pair:
    """The pair of a value for each example; padding has a mask of 0."""
    return (values * mask).sum(), mask.sum()
