"""Groups of parameters with optimizers of their own."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cnn_jax.training.optimizers.grouped import grouped

PARAMS = {"a": {"kernel": jnp.ones(2)}, "b": {"kernel": jnp.ones(2)}}
OPTIMIZER = grouped(
    {"first": optax.sgd(0.1), "second": optax.sgd(lambda count: 1.0 + count)},
    lambda path: "first" if path[0] == "a" else "second",
)


def test_a_group_is_updated_by_its_optimizer():
    updates, _ = OPTIMIZER.update(PARAMS, OPTIMIZER.init(PARAMS), PARAMS)
    np.testing.assert_allclose(updates["a"]["kernel"], -0.1)
    np.testing.assert_allclose(updates["b"]["kernel"], -1.0)


def test_a_group_without_gradients_keeps_its_count_of_steps():
    state = OPTIMIZER.init(PARAMS)
    part = {"a": PARAMS["a"]}
    updates, after = OPTIMIZER.update(part, state, part)
    assert updates.keys() == {"a"}
    jax.tree.map(np.testing.assert_array_equal, after["second"], state["second"])
    updates, after = OPTIMIZER.update(PARAMS, after, PARAMS)
    np.testing.assert_allclose(updates["b"]["kernel"], -1.0)
    updates, _ = OPTIMIZER.update(PARAMS, after, PARAMS)
    np.testing.assert_allclose(updates["b"]["kernel"], -2.0)
