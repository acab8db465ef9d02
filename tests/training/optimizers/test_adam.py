"""Adam and AdamW against the update rules of PyTorch's, written out in NumPy."""

from functools import partial

import numpy as np
import pytest

from cnn_jax.training.optimizers.adam import adam, adamw
from tests.training.optimizers.rules import assert_close, expected, schedule, trained


def torch_adam(p, g, lr, memory, decays, b1, b2, eps, weight_decay, decoupled):
    if decays and decoupled:
        p = p * (1 - lr * weight_decay)
    elif decays:
        g = g + weight_decay * p
    t = memory["t"] = memory.get("t", 0) + 1
    m = memory["m"] = b1 * memory.get("m", 0) + (1 - b1) * g
    v = memory["v"] = b2 * memory.get("v", 0) + (1 - b2) * g**2
    return p - lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)


@pytest.mark.parametrize("make", [adam, adamw])
@pytest.mark.parametrize("values", [{}, {"b1": 0.8, "b2": 0.9, "eps": 0.1}])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_adam(make, values, weight_decay):
    values = {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "weight_decay": weight_decay} | (
        values
    )
    rule = partial(torch_adam, **values, decoupled=make is adamw)
    assert_close(trained(make(schedule, **values)), expected(rule))
