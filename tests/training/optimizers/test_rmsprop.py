"""RMSprop against the rules of TensorFlow and PyTorch, written out in NumPy."""

import numpy as np
import pytest

from cnn_jax.training.optimizers.rmsprop import rmsprop
from tests.training.optimizers.rules import assert_close, expected, schedule, trained


def rule(in_root, start, momentum):
    def tensorflow(p, g, lr, memory, decays):
        """`tf.keras.optimizers.RMSprop`; PyTorch's has its eps outside the root."""
        g = g + 0.1 * p * decays
        v = memory["v"] = 0.8 * memory.get("v", start) + 0.2 * g**2
        root = np.sqrt(v + 0.01) if in_root else np.sqrt(v) + 0.01
        b = memory["b"] = momentum * memory.get("b", 0) + lr * g / root
        return p - b

    return tensorflow


@pytest.mark.parametrize(
    ("in_root", "start", "momentum"), [(True, 1.0, 0.9), (False, 0.0, 0.0)]
)
def test_rmsprop(in_root, start, momentum):
    optimizer = rmsprop(
        schedule,
        decay=0.8,
        eps=0.01,
        eps_in_root=in_root,
        initial_square=start,
        momentum=momentum,
        weight_decay=0.1,
    )
    assert_close(trained(optimizer), expected(rule(in_root, start, momentum)))
