"""Lion against the algorithm of the paper, written out in NumPy."""

from functools import partial

import numpy as np
import pytest

from cnn_jax.training.optimizers.lion import lion
from tests.training.optimizers.rules import assert_close, expected, schedule, trained


def paper_lion(p, g, lr, memory, decays, b1, b2, weight_decay):
    """Algorithm 2 of Chen et al. 2023."""
    m = memory.get("m", np.zeros_like(g))
    c = b1 * m + (1 - b1) * g
    memory["m"] = b2 * m + (1 - b2) * g
    return p - lr * (np.sign(c) + weight_decay * p * decays)


@pytest.mark.parametrize("values", [{}, {"b1": 0.5, "b2": 0.8}])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_lion(values, weight_decay):
    values = {"b1": 0.9, "b2": 0.99, "weight_decay": weight_decay} | values
    found = trained(lion(schedule, **values))
    assert_close(found, expected(partial(paper_lion, **values)))
