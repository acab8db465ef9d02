import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.layers import BATCH_AXIS, BatchNorm


@pytest.fixture
def x():
    rng = np.random.default_rng(0)
    return jnp.asarray(3 + 2 * rng.standard_normal((8, 4, 4, 3)), jnp.float32)


def test_statistics_of_one_step(x):
    norm = BatchNorm(use_running_average=False)
    variables = norm.init(jax.random.key(0), x)
    y, updates = norm.apply(variables, x, mutable=["batch_stats"])
    mean, var = np.mean(x, (0, 1, 2)), np.var(x, (0, 1, 2))
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-5), atol=1e-5)
    stats = updates["batch_stats"]
    np.testing.assert_allclose(stats["mean"], 0.1 * mean, rtol=1e-4)
    np.testing.assert_allclose(stats["var"], 0.9 + 0.1 * var, rtol=1e-4)


def test_bfloat16_keeps_float32_statistics(x):
    norm = BatchNorm(use_running_average=False, dtype=jnp.bfloat16)
    x = x.astype(jnp.bfloat16)
    y, variables = norm.init_with_output(jax.random.key(0), x)
    assert y.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


def test_synchronised_statistics_are_those_of_the_whole_batch(x):
    norm = BatchNorm(use_running_average=False, axis_name=BATCH_AXIS)
    variables = norm.init(jax.random.key(0), x)  # needs no axis

    def apply(norm, x):
        return norm.apply(variables, x, mutable=["batch_stats"])

    shards = x.reshape(2, 4, *x.shape[1:])
    y, updates = jax.vmap(lambda x: apply(norm, x), axis_name=BATCH_AXIS)(shards)
    whole, whole_updates = apply(BatchNorm(use_running_average=False), x)
    np.testing.assert_allclose(y.reshape(x.shape), whole, atol=1e-5)
    for name, value in whole_updates["batch_stats"].items():
        for shard in updates["batch_stats"][name]:
            np.testing.assert_allclose(shard, value, rtol=1e-5)
