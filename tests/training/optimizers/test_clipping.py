"""Limits of the gradient against their formulas, written out in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.training import optimizers
from tests.training.optimizers.rules import (
    assert_close,
    expected,
    gradients,
    schedule,
    trained,
)


def made(last_layer=(), **limits):
    sgd = optimizers.sgd(schedule, momentum=0.0, weight_decay=0.1)
    return optimizers.make(sgd, last_layer, learning_rate=0.1, **limits)


@pytest.mark.parametrize("limit", [0.01, 1.0, 100.0])
def test_clipping_by_the_global_norm(limit):
    """Only the gradient is clipped; weight decay is added later, as in PyTorch."""
    leaves = jax.tree.leaves(gradients(0))
    norm = np.sqrt(sum(np.sum(g**2) for g in leaves))
    assert 1 < norm < 100  # so that some limits bind and some do not

    def rule(p, g, lr, memory, decays):
        return p - lr * (g * min(1, limit / norm) + 0.1 * p * decays)

    assert_close(trained(made(clip_norm=limit), 1), expected(rule, 1))


def test_clipping_by_value():
    def rule(p, g, lr, memory, decays):
        return p - lr * (np.clip(g, -0.3, 0.3) + 0.1 * p * decays)

    assert_close(trained(made(clip_value=0.3), 1), expected(rule, 1))


def test_without_clipping_nothing_is_added():
    sgd = optimizers.sgd(schedule)
    assert optimizers.make(sgd, learning_rate=0.1) is sgd


def test_only_one_limit():
    with pytest.raises(UserError, match="clip_norm and clip_value, which all clip"):
        made(clip_norm=1.0, clip_value=1.0)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((3, 3, 2, 4), (0, 1, 2)),
        ((2, 3, 3, 2, 4), (0, 1, 2, 3)),
        ((3, 3, 1, 4), (0, 1, 2)),  # depthwise
        ((5, 4), (0,)),
        ((4,), (0,)),
    ],
)
def test_adaptive_clipping_by_the_norms_of_units(shape, axes):
    """Equation 3 of Brock et al. 2021, with norms of at least 0.001."""
    rng = np.random.default_rng(0)
    p = rng.standard_normal(shape)
    p[..., 0] = 0  # a unit at zero
    g = rng.standard_normal(shape) * np.array([1, 0.01, 5, 1])

    def norm(x):
        return np.sqrt(np.sum(x**2, axes, keepdims=True))

    limit = 0.1 * np.maximum(norm(p), 1e-3)
    wanted = np.where(norm(g) > limit, g * limit / norm(g), g)
    optimizer = optimizers.make(
        optax.sgd(1.0), ("head",), learning_rate=1.0, clip_adaptive=0.1
    )
    params, grads = (
        {name: {"kernel": jnp.asarray(x, jnp.float32)} for name in ("conv", "head")}
        for x in (p, g)
    )
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    np.testing.assert_allclose(updates["conv"]["kernel"], -wanted, rtol=1e-4)
    np.testing.assert_allclose(updates["head"]["kernel"], -g, rtol=1e-5)
