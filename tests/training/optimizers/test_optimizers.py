"""Properties that all optimizers share, and the optimizer of a config."""

import importlib.machinery
import sys
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict

from cnn_jax.core.errors import UserError
from cnn_jax.core.keys import keywords
from cnn_jax.training import freezing, optimizers, state
from cnn_jax.training.checkpoints import Checkpoints
from cnn_jax.training.config import Config
from tests.training.optimizers.rules import (
    assert_close,
    float32,
    schedule,
    trained,
)

every_optimizer = pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
TARGET = {
    "conv": {"kernel": np.linspace(-1, 1, 12).reshape(1, 2, 2, 3)},
    "head": {"kernel": np.linspace(1, -1, 6).reshape(3, 2), "bias": np.full(2, 0.5)},
}


def ones():
    return jax.tree.map(lambda x: jnp.ones(x.shape, jnp.float32), TARGET)


def loss(params):
    leaves = jax.tree.map(lambda p, t: jnp.sum((p - t) ** 2), params, float32(TARGET))
    return sum(jax.tree.leaves(leaves))


@every_optimizer
def test_a_quadratic_function_falls(name):
    options = {"trust_coefficient": 1.0} if name == "lars" else {}
    optimizer = optimizers.OPTIMIZERS[name](
        lambda _: jnp.asarray(0.02), weight_decay=0.0, **options
    )
    params = start = ones()
    opt_state = optimizer.init(params)
    update = jax.jit(
        lambda params, opt_state: optimizer.update(
            jax.grad(loss)(params), opt_state, params
        )
    )
    for _ in range(20):
        updates, opt_state = update(params, opt_state)
        params = optax.apply_updates(params, updates)
    for found in (params, optimizers.evaluated(opt_state, params)):
        assert loss(found) < 0.8 * loss(start)


def another(value):
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return 2 if value > 2 else 3
    return 0.7 if value is None else value / 2 + 0.01


def program(optimizer):
    """The traced program of a step, with the state before the first step."""

    def run(params):
        opt_state = optimizer.init(params)
        return opt_state, optimizer.update(params, opt_state, params)

    return str(jax.make_jaxpr(run)(ones()))


@every_optimizer
def test_every_key_changes_the_step(name):
    make = optimizers.OPTIMIZERS[name]
    plain = program(make(schedule))
    assert plain == program(make(schedule))
    for key, (_, value) in keywords(make).items():
        assert program(make(schedule, **{key: another(value)})) != plain, key


@every_optimizer
def test_weight_decay_skips_biases(name):
    """Without gradients, weight decay alone changes a parameter."""
    optimizer = optimizers.OPTIMIZERS[name](schedule, weight_decay=0.1)
    params, zeros = ones(), jax.tree.map(jnp.zeros_like, ones())
    updates, _ = optimizer.update(zeros, optimizer.init(params), params)
    assert np.all(updates["conv"]["kernel"] < 0)
    assert np.all(updates["head"]["kernel"] < 0)
    np.testing.assert_array_equal(updates["head"]["bias"], 0)


def test_states_come_back_from_a_checkpoint(tmp_path):
    """All that the next step needs of the earlier steps is in the state."""
    made = {name: make(schedule) for name, make in optimizers.OPTIMIZERS.items()}
    params = ones()
    states = {name: optimizer.init(params) for name, optimizer in made.items()}
    saved = state.State(
        step=jnp.asarray(1), params=params, batch_stats={}, opt_state=states, ema=None
    )
    with Checkpoints(tmp_path / "c", best_metric="test/accuracy") as checkpoints:
        checkpoints.save(1, saved, {}, {})
    with Checkpoints(tmp_path / "c", best_metric="test/accuracy") as checkpoints:
        found, _ = checkpoints.restore(1, jax.eval_shape(lambda: saved))
    assert jax.tree.structure(found) == jax.tree.structure(saved)
    jax.tree.map(np.testing.assert_array_equal, found, saved)


def test_sharpness_aware_minimization_is_a_key_of_every_optimizer():
    at = []

    def gradient_at(params, _):
        at.append(params)
        return params

    group = Config({"name": "sgd", "learning_rate": 0.1, "sam_radius": 0.5})
    optimizer = optimizers.planned(group, lambda _: 0.1, None)
    params = ones()
    updates, _ = optimizer.update(
        params, optimizer.init(params), params, grad_fn=gradient_at
    )
    (higher,) = at
    norm = np.sqrt(sum(x.size for x in jax.tree.leaves(params)))
    assert_close(higher, jax.tree.map(lambda p: p + 0.5 / norm, params))
    assert_close(updates, jax.tree.map(lambda g: -0.1 * g, higher))


def test_a_group_has_its_weight_decay_and_its_learning_rate():
    params = ones()
    paths = list(flatten_dict(params))
    plan = freezing.make(
        lambda: paths, groups=("head: learning_rate_factor=10.0, weight_decay=0.5",)
    )
    group = Config({"name": "sgd", "learning_rate": 1.0, "weight_decay": 0.1})
    optimizer = optimizers.planned(group, lambda _: 0.1, plan)
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(zeros, optimizer.init(params), params)
    np.testing.assert_allclose(updates["conv"]["kernel"], -0.1 * 0.1, rtol=1e-5)
    np.testing.assert_allclose(updates["head"]["kernel"], -1.0 * 0.5, rtol=1e-5)
    np.testing.assert_array_equal(updates["head"]["bias"], 0)
    group = Config({"name": "optax.sgd", "learning_rate": 1.0})
    with pytest.raises(UserError, match=r"'optax.sgd' has no parameter weight_decay"):
        optimizers.planned(group, lambda _: 0.1, plan)


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
