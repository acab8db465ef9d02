"""LARS and LAMB against the algorithms of their papers, written out in NumPy."""

import numpy as np

from cnn_jax.training.optimizers.trust_ratio import lamb, lars
from tests.training.optimizers.rules import assert_close, expected, schedule, trained


def test_lars():
    """Algorithm 1 of You et al. 2017; the norm in the ratio is of the decayed update,
    as in its published implementations."""

    def rule(p, g, lr, memory, decays):
        if decays:
            g = g + 0.1 * p
            g = g * 0.02 * np.linalg.norm(p) / np.linalg.norm(g)
        v = memory["v"] = 0.9 * memory.get("v", 0) + lr * g
        return p - v

    optimizer = lars(schedule, trust_coefficient=0.02, weight_decay=0.1)
    assert_close(trained(optimizer), expected(rule))


def test_lamb():
    """Algorithm 2 of You et al. 2020, with the identity for the function phi."""

    def rule(p, g, lr, memory, decays):
        t = memory["t"] = memory.get("t", 0) + 1
        m = memory["m"] = 0.8 * memory.get("m", 0) + 0.2 * g
        v = memory["v"] = 0.9 * memory.get("v", 0) + 0.1 * g**2
        u = (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.9**t)) + 0.1)
        if decays:
            u = u + 0.1 * p
            u = u * np.linalg.norm(p) / np.linalg.norm(u)
        return p - lr * u

    optimizer = lamb(schedule, b1=0.8, b2=0.9, eps=0.1, weight_decay=0.1)
    assert_close(trained(optimizer), expected(rule))
