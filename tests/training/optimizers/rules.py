"""Steps of an optimizer, and the same steps by a rule that is written out in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

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


def float32(tree):
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), tree)


def gradients(seed):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: rng.standard_normal(x.shape), arrays(PARAMS))


def schedule(step):
    return jnp.asarray(RATES)[step]


def steps_of(optimizer, steps=STEPS):
    """Yields the parameters and the state of the optimizer after each step."""
    params = float32(arrays(PARAMS))
    state = optimizer.init(params)
    for step in range(steps):
        updates, state = optimizer.update(float32(gradients(step)), state, params)
        params = optax.apply_updates(params, updates)
        yield params, state


def trained(optimizer, steps=STEPS):
    (params, _) = list(steps_of(optimizer, steps))[-1]
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
