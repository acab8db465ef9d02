"""Activation functions by the names that configs use."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array

from cnn_jax.core import imports
from cnn_jax.core.errors import UserError

Activation = Callable[[Array], Array]

# `nn.gelu` would be its approximation by tanh; this is the formula of the paper.
ACTIVATIONS: dict[str, Activation] = {
    "relu": nn.relu,
    "relu6": nn.relu6,
    "leaky_relu": nn.leaky_relu,
    "elu": nn.elu,
    "selu": nn.selu,
    "gelu": lambda x: nn.gelu(x, approximate=False),
    "silu": nn.silu,
    "mish": jax.nn.mish,
    "hard_swish": nn.hard_swish,
    "softplus": nn.softplus,
    "sigmoid": nn.sigmoid,
    "tanh": nn.tanh,
}


def activation(name: str) -> Activation:
    """Returns the activation function called `name`.

    Args:
      name: a name of `ACTIVATIONS`, or the import path of a function without
        parameters to learn, from an array to an array of the same shape and dtype.

    Raises:
      UserError: no activation function has this name, or the imported function fails or
        returns another shape or dtype.
    """
    found = imports.find(
        "activation",
        name,
        ACTIVATIONS,
        accepts=lambda found: callable(found) and not isinstance(found, type),
        wanted="a function from an array to an array of the same shape",
    )
    if name not in ACTIVATIONS:
        given = jax.ShapeDtypeStruct((2, 3), jnp.float32)
        with imports.called("activation", name):
            result = jax.eval_shape(found, given)
        if result != given:
            raise UserError(
                f"activation '{name}' returns {result} for {given}: it must return an "
                "array of the same shape and dtype."
            )
    return found
