"""Gradient descent against the update rule of PyTorch's, written out in NumPy."""

from functools import partial

import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.training.optimizers.sgd import sgd
from tests.training.optimizers.rules import assert_close, expected, schedule, trained


def torch_sgd(p, g, lr, memory, decays, momentum, nesterov, weight_decay):
    if decays:
        g = g + weight_decay * p
    if momentum:
        first = "b" not in memory
        memory["b"] = g if first else momentum * memory["b"] + g
        g = g + momentum * memory["b"] if nesterov else memory["b"]
    return p - lr * g


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize(
    ("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)]
)
def test_sgd(momentum, nesterov, weight_decay):
    values = {
        "momentum": momentum,
        "nesterov": nesterov,
        "weight_decay": weight_decay,
    }
    found = trained(sgd(schedule, **values))
    assert_close(found, expected(partial(torch_sgd, **values)))


def test_nesterov_needs_momentum():
    with pytest.raises(UserError, match=r"needs a config\.optimizer\.momentum"):
        sgd(schedule, momentum=0.0, nesterov=True)
