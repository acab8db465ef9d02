"""Activation functions by the names that configs use."""

from collections.abc import Callable

import flax.linen as nn
from jaxtyping import Array

from cnn_jax.core.errors import unknown

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": nn.relu,
    "sigmoid": nn.sigmoid,
    "tanh": nn.tanh,
}


def activation(name: str) -> Callable[[Array], Array]:
    """Returns the activation function called `name`.

    Raises:
      UserError: no activation function has this name.
    """
    if name not in ACTIVATIONS:
        raise unknown("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]
