"""Sums of metrics over steps."""

from collections.abc import Mapping

import jax
import numpy as np
from jax.typing import ArrayLike

from cnn_jax.tasks.metrics import Totals


def add(totals: Totals, pairs: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> Totals:
    """`totals + pairs`, in float64 on the host."""
    pairs = jax.device_get(dict(pairs))
    result = dict(totals)
    for name, (total, count) in pairs.items():
        before, count_before = totals.get(name, (0.0, 0.0))
        result[name] = (
            before + np.asarray(total, np.float64),
            float(count_before + np.float64(count)),
        )
    return result
