"""Stochastic gradient descent."""

import optax

from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import NotNegative, Rate
from cnn_jax.training.schedules import Schedule
from cnn_jax.training.weight_decay import decay_mask


def sgd(
    schedule: Schedule,
    *,
    momentum: Rate = 0.9,
    nesterov: bool = False,
    weight_decay: NotNegative = 0.0,
) -> optax.GradientTransformation:
    """Returns stochastic gradient descent with momentum and L2 weight decay.

    Args:
      schedule: the learning rate at each step.
      momentum: the factor of the previous sum of gradients, to which each step adds the
        gradient; 0: no momentum.
      nesterov: whether momentum is Nesterov's momentum.
      weight_decay: the weights are multiplied by this number and added to the gradient.

    Raises:
      UserError: if `nesterov` is true and `momentum` is 0.
    """
    if nesterov and not momentum:
        raise UserError(
            "config.optimizer.nesterov=true needs a config.optimizer.momentum above 0."
        )
    return optax.chain(
        optax.add_decayed_weights(weight_decay, decay_mask),
        optax.sgd(schedule, momentum=momentum or None, nesterov=nesterov),
    )
