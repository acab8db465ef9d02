"""Metrics as pairs (sum, count), so that means over padded batches and over many hosts
are exact."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Num

Pair = tuple[Num[Array, "..."], Num[Array, ""]]
Pairs = dict[str, Pair]

# Pairs added up over many batches, on the host: a float64 or an array, and a count.
Totals = dict[str, tuple[Any, float]]

# The collected entries of one example by name, NumPy arrays or scalars.
Row = Mapping[str, Any]
# One row for each example of a split.
Rows = Sequence[Row]


def weighted(values: Float[Array, " batch"], mask: Float[Array, " batch"]) -> Pair:
    """Returns the pair (sum of the values, number of examples).

    Args:
      values: one value for each example.
      mask: 0 for padding rows, which are left out, and 1 for all other rows.
    """
    # `where` and not a product alone: the outputs for padding may be NaN.
    return jnp.where(mask > 0, values * mask, 0).sum(), mask.sum()


def mean_of_defined(
    name: str, values: Sequence[float], counted: str
) -> dict[str, int | float]:
    """Returns the mean of the finite values, as `{name: mean}`.

    If some values are infinite or NaN, the result also has the number of finite values
    as `<name>_<counted>`. If no value is finite, the result is empty.

    Args:
      name: the name of the metric.
      values: the values, some of which may be infinite or NaN.
      counted: a word for what the values belong to, for example "classes".
    """
    finite = [value for value in values if np.isfinite(value)]
    if not finite:
        return {}
    found = {name: float(np.mean(finite))}
    if len(finite) < len(values):
        found[f"{name}_{counted}"] = len(finite)
    return found


def means(totals: Totals) -> dict[str, float]:
    """Returns `sum / count` of every scalar metric; metrics that are arrays are left
    out."""
    return {
        name: float(total / count)
        for name, (total, count) in totals.items()
        if np.ndim(total) == 0 and count
    }


def add(totals: Totals, pairs: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> Totals:
    """Returns the totals with the pairs of one more batch added, in float64 on the
    host."""
    result = dict(totals)
    for name, (total, count) in jax.device_get(dict(pairs)).items():
        before, count_before = totals.get(name, (0.0, 0.0))
        result[name] = (
            before + np.asarray(total, np.float64),
            float(count_before + np.float64(count)),
        )
    return result
