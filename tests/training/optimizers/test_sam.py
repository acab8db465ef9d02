"""Sharpness-aware minimization against its two gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cnn_jax.training.optimizers.sam import sharpness_aware

PARAMS = {"a": jnp.array([3.0, -1.0]), "b": jnp.array([0.5])}


def loss(params):
    return jnp.sum(params["a"] ** 4) + jnp.sum(jnp.exp(params["b"]))


def gradient_at(params, number):
    assert number == 0
    return jax.grad(loss)(params)


def updates(optimizer, params, grads):
    state = optimizer.init(params)
    return optimizer.update(grads, state, params, grad_fn=gradient_at)[0]


def test_the_gradient_is_that_at_higher_parameters():
    grads = jax.grad(loss)(PARAMS)
    norm = np.sqrt(sum(np.sum(np.square(g)) for g in grads.values()))
    higher = {name: p + 0.5 * grads[name] / norm for name, p in PARAMS.items()}
    wanted = jax.grad(loss)(higher)
    found = updates(sharpness_aware(optax.sgd(0.1), 0.5), PARAMS, grads)
    for name, gradient in wanted.items():
        np.testing.assert_allclose(found[name], -0.1 * gradient, rtol=1e-5)


def test_it_equals_the_opaque_mode_of_optax():
    ascent = optax.chain(optax.contrib.normalize(), optax.sgd(0.3))
    theirs = optax.contrib.sam(optax.adam(0.1), ascent, opaque_mode=True)
    ours = sharpness_aware(optax.adam(0.1), 0.3)
    grads = jax.grad(loss)(PARAMS)
    for name, found in updates(ours, PARAMS, grads).items():
        wanted = updates(theirs, PARAMS, grads)[name]
        np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_a_gradient_of_zeros_is_no_division_by_zero():
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    found = updates(sharpness_aware(optax.sgd(0.1), 0.5), PARAMS, zeros)
    assert np.all(np.isfinite(found["a"]))
