"""Optimizers against the update rules of PyTorch's, written out in NumPy."""

import importlib.machinery
import sys
from functools import partial
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnn_jax import models
from cnn_jax.core.errors import UserError
from cnn_jax.training import optimizers
from cnn_jax.training.config import Config

STEPS = 4
RATES = [0.1, 0.2, 0.05, 0.1]
PARAMS = {
    "conv": {"kernel": [[1.0, -2.0], [0.5, 3.0]], "bias": [0.3, -0.2]},
    "norm": {"scale": [1.0, 1.5], "bias": [0.0, 2.0]},
}


def arrays(tree):
    return jax.tree.map(
        lambda x: np.array(x, np.float64), tree, is_leaf=lambda x: isinstance(x, list)
    )


def gradients(seed):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: rng.standard_normal(x.shape), arrays(PARAMS))


def schedule(step):
    return jnp.asarray(RATES)[step]


def trained(optimizer, steps=STEPS):
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), arrays(PARAMS))
    state = optimizer.init(params)
    for step in range(steps):
        grads = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), gradients(step))
        updates, state = optimizer.update(grads, state, params)
        params = optax.apply_updates(params, updates)
    return params


def expected(rule, steps=STEPS):
    """Each parameter by a rule `(p, g, lr, memory, decays) -> p`, over the steps."""
    tree = arrays(PARAMS)
    for path, start in jax.tree_util.tree_leaves_with_path(tree):
        owner, name = (key.key for key in path)
        p, memory = start, {}
        for step in range(steps):
            g = gradients(step)[owner][name]
            p = rule(p, g, RATES[step], memory, name == "kernel")
        tree[owner][name] = p
    return tree


def assert_close(found, wanted):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        found,
        wanted,
    )


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
    found = trained(optimizers.sgd(schedule, **values))
    assert_close(found, expected(partial(torch_sgd, **values)))


def torch_adamw(p, g, lr, memory, decays, b1, b2, eps, weight_decay):
    if decays:
        p = p * (1 - lr * weight_decay)
    t = memory["t"] = memory.get("t", 0) + 1
    m = memory["m"] = b1 * memory.get("m", 0) + (1 - b1) * g
    v = memory["v"] = b2 * memory.get("v", 0) + (1 - b2) * g**2
    return p - lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)


@pytest.mark.parametrize("values", [{}, {"b1": 0.8, "b2": 0.9, "eps": 0.1}])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_adamw(values, weight_decay):
    values = {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "weight_decay": weight_decay} | (
        values
    )
    found = trained(optimizers.adamw(schedule, **values))
    assert_close(found, expected(partial(torch_adamw, **values)))


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
    found = trained(optimizers.lion(schedule, **values))
    assert_close(found, expected(partial(paper_lion, **values)))


@pytest.mark.parametrize("limit", [0.01, 1.0, 100.0])
def test_clipping_by_the_global_norm(limit):
    """Of the gradient alone: weight decay is added after it, as in PyTorch."""
    sgd = optimizers.sgd(schedule, momentum=0.0, weight_decay=0.1)
    found = trained(optimizers.make(sgd, learning_rate=0.1, clip_norm=limit), 1)
    leaves = jax.tree.leaves(gradients(0))
    norm = np.sqrt(sum(np.sum(g**2) for g in leaves))
    assert 1 < norm < 100  # so that some limits bind and some do not

    def rule(p, g, lr, memory, decays):
        g = g * min(1, limit / norm)
        return torch_sgd(p, g, lr, memory, decays, 0.0, False, 0.1)

    assert_close(found, expected(rule, 1))


def test_without_clipping_nothing_is_added():
    sgd = optimizers.sgd(schedule)
    assert optimizers.make(sgd, learning_rate=0.1) is sgd


@pytest.mark.parametrize(
    ("name", "shape"),
    [("resnet20", (8, 8, 3)), ("mlp", (8, 8, 1)), ("lenet5", (32, 32, 1))],
)
def test_exactly_the_kernels_decay(name, shape):
    """The tensors of more than one dimension, as timm and Bag of Tricks have it."""
    model = models.create(name, num_classes=10)
    x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    params = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), x)
    params = params["params"]
    mask = optimizers.decay_mask(params)
    assert mask == jax.tree.map(lambda leaf: leaf.ndim > 1, params)
    assert set(jax.tree.leaves(mask)) == {True, False}


def test_parameters_of_users_layers_decay_by_their_dimensions():
    params = {
        "layer": {
            "matrix": jnp.ones((2, 2)),
            "temperature": jnp.ones(()),
            "pixels": jnp.ones((2, 2)),
        }
    }
    assert optimizers.decay_mask(params) == {
        "layer": {"matrix": True, "temperature": False, "pixels": False}
    }


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda schedule: None, "returned NoneType: an optimizer must return an optax"),
        (lambda schedule, decay: None, "missing 1 required positional argument"),
        (optax.sgd, ""),  # its parameters are no config keys
    ],
)
def test_an_optimizer_of_a_user(make, words, monkeypatch):
    monkeypatch.setitem(sys.modules, "a_user", module := ModuleType("a_user"))
    module.__spec__ = importlib.machinery.ModuleSpec("a_user", None)
    module.make = make
    group = Config({"name": "a_user.make", "learning_rate": 0.1})
    if not words:
        assert_close(
            trained(optimizers.planned(group, schedule, None)),
            trained(optimizers.sgd(schedule, momentum=0.0)),
        )
        return
    with pytest.raises(UserError, match=words):
        optimizers.planned(group, schedule, None)
