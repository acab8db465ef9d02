"""Adam, with weight decay in the gradient or apart from it."""

import optax

from cnn_jax.core.ranges import NotNegative, Positive, Rate
from cnn_jax.training.schedules import Schedule
from cnn_jax.training.weight_decay import decay_mask


def adam(
    schedule: Schedule,
    *,
    b1: Rate = 0.9,
    b2: Rate = 0.999,
    eps: Positive = 1e-8,
    weight_decay: NotNegative = 0.0,
) -> optax.GradientTransformation:
    """Returns Adam with L2 weight decay (Kingma and Ba 2015, algorithm 1).

    Args:
      schedule: the learning rate at each step.
      b1: the decay rate of the moving average of the gradient.
      b2: the decay rate of the moving average of the squared gradient.
      eps: a small number that is added to the denominator of the update.
      weight_decay: the weights are multiplied by this number and added to the gradient.
    """
    return optax.chain(
        optax.add_decayed_weights(weight_decay, decay_mask),
        optax.adam(schedule, b1, b2, eps),
    )


def adamw(
    schedule: Schedule,
    *,
    b1: Rate = 0.9,
    b2: Rate = 0.999,
    eps: Positive = 1e-8,
    weight_decay: NotNegative = 0.01,
) -> optax.GradientTransformation:
    """Returns AdamW: Adam with decoupled weight decay (Loshchilov and Hutter 2019).

    Args:
      schedule: the learning rate at each step.
      b1: the decay rate of the moving average of the gradient.
      b2: the decay rate of the moving average of the squared gradient.
      eps: a small number that is added to the denominator of the update.
      weight_decay: each step subtracts from the weights their product with this number
        and the learning rate.
    """
    return optax.adamw(
        schedule, b1, b2, eps, weight_decay=weight_decay, mask=decay_mask
    )
