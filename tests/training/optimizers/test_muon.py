"""Muon against the published iteration, written out in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.training.optimizers.adam import adamw
from cnn_jax.training.optimizers.muon import muon

RATE = 0.1
rng = np.random.default_rng(0)
PARAMS = {
    "conv": {"kernel": rng.standard_normal((2, 2, 3, 5)), "bias": np.ones(5)},
    "wide": {"kernel": rng.standard_normal((1, 1, 3, 8))},
    "head": {"kernel": rng.standard_normal((5, 2)), "bias": np.ones(2)},
}
GRADIENTS = [
    jax.tree.map(lambda x: rng.standard_normal(x.shape), PARAMS) for _ in range(2)
]


def schedule(step):
    return jnp.asarray(RATE)


def changes(optimizer):
    """The updates of the second step, with the parameters unchanged by the first."""
    params, *grads = jax.tree.map(
        lambda x: jnp.asarray(x, jnp.float32), [PARAMS, *GRADIENTS]
    )

    def run(params, grads):
        _, state = optimizer.update(grads[0], optimizer.init(params), params)
        return optimizer.update(grads[1], state, params)[0]

    return jax.jit(run)(params, grads)


def orthogonalized(matrix, steps):
    """`zeropower_via_newtonschulz5` of Jordan et al. 2024."""
    x = matrix / np.linalg.norm(matrix)
    for _ in range(steps):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("update_rms", [None, 0.2])
def test_kernels_of_convolutions_are_matrices(nesterov, update_rms):
    optimizer = muon(
        schedule,
        momentum=0.9,
        nesterov=nesterov,
        newton_schulz_steps=3,
        update_rms=update_rms,
        weight_decay=0.5,
    )
    found = changes(optimizer)
    for name in ("conv", "wide"):
        p = PARAMS[name]["kernel"]
        first, second = (grads[name]["kernel"] for grads in GRADIENTS)
        m = 0.9 * 0.1 * first + 0.1 * second
        # The moving averages are divided by the sum of their weights, as in Adam.
        m_hat = m / (1 - 0.9**2)
        if nesterov:
            m_hat = 0.9 * m / (1 - 0.9**3) + 0.1 * second / (1 - 0.9**2)
        rows, columns = np.prod(p.shape[:-1]), p.shape[-1]
        update = orthogonalized(m_hat.reshape(rows, columns), 3).reshape(p.shape)
        scale = np.sqrt(max(1, columns / rows))
        if update_rms:
            scale = 0.2 * np.sqrt(max(rows, columns))
        np.testing.assert_allclose(
            found[name]["kernel"], -RATE * (scale * update + 0.5 * p), atol=1e-5
        )


def test_singular_values_are_near_one():
    found = changes(muon(schedule, update_rms=None, weight_decay=0.0))
    values = np.linalg.svd(np.reshape(found["conv"]["kernel"], (12, 5)))[1] / RATE
    assert values.min() > 0.6 and values.max() < 1.3


def test_other_parameters_are_trained_by_adamw():
    options = {"b1": 0.8, "b2": 0.9, "eps": 1e-3, "weight_decay": 0.5}
    found = changes(muon(schedule, adam_factor=0.5, **options))
    wanted = changes(adamw(lambda step: schedule(step) / 2, **options))
    for path in (("conv", "bias"), ("head", "kernel"), ("head", "bias")):
        module, name = path
        np.testing.assert_allclose(found[module][name], wanted[module][name], rtol=1e-5)


def test_a_network_without_convolutions():
    params = {"head": {"kernel": jnp.ones((2, 2))}}
    optimizer = muon(schedule)
    updates, _ = optimizer.update(params, optimizer.init(params), params)
    assert np.all(updates["head"]["kernel"] < 0)
