"""Losses of regression, as pure functions.

A loss takes the network's outputs and the targets, [...], and returns the loss of each
value, [...]. The keyword-only parameters of a loss are its options in a config:
`task.loss_name="huber(delta=0.5)"`.
"""

from collections.abc import Callable, Mapping

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from cnn_jax.core.ranges import Positive

Values = Float[Array, "*values"]


def mean_squared_error(outputs: Values, targets: Values) -> Values:
    """Returns the squared differences."""
    return (outputs - targets) ** 2


def mean_absolute_error(outputs: Values, targets: Values) -> Values:
    """Returns the absolute differences."""
    return jnp.abs(outputs - targets)


def huber(outputs: Values, targets: Values, *, delta: Positive = 1.0) -> Values:
    """Returns the Huber loss (Huber 1964).

    The loss is d^2 / 2 for a difference d of at most `delta`, and delta (|d| - delta/2)
    for larger differences.

    Args:
      outputs: the network's outputs.
      targets: the targets.
      delta: the difference from which the loss grows linearly, in standard deviations
        of the training labels.
    """
    return optax.huber_loss(outputs, targets, delta=delta)


LOSSES: Mapping[str, Callable[..., Values]] = {
    "mean_squared_error": mean_squared_error,
    "mean_absolute_error": mean_absolute_error,
    "huber": huber,
}
