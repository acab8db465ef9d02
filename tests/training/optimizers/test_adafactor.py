"""Adafactor against the algorithms of its paper, written out in NumPy."""

import numpy as np
import pytest

from cnn_jax.training.optimizers.adafactor import adafactor
from tests.training.optimizers.rules import assert_close, expected, schedule, trained


def rms(x):
    return np.sqrt(np.mean(x**2))


@pytest.mark.parametrize("factored", [True, False])
@pytest.mark.parametrize("relative", [True, False])
def test_adafactor(factored, relative):
    """Algorithms 4 and 5 of Shazeer and Stern 2018."""

    def rule(p, g, lr, memory, decays):
        t = memory["t"] = memory.get("t", 0) + 1
        share, square = 1 - t**-0.8, g**2 + 1e-30
        v = memory["v"] = share * memory.get("v", 0) + (1 - share) * square
        if factored and g.ndim == 2:
            v = np.outer(v.sum(1), v.sum(0)) / v.sum()
        u = g / np.sqrt(v)
        u = u / max(1, rms(u) / 0.7)
        if relative:
            u = u * max(1e-3, rms(p))
        return p - lr * (u + 0.1 * p * decays)

    optimizer = adafactor(
        schedule,
        factored_from=2 if factored else 128,
        update_limit=0.7,
        relative=relative,
        weight_decay=0.1,
    )
    assert_close(trained(optimizer), expected(rule))
