"""Lion: the sign of an interpolated momentum."""

import optax

from cnn_jax.core.ranges import NotNegative, Rate
from cnn_jax.training.schedules import Schedule
from cnn_jax.training.weight_decay import decay_mask


def lion(
    schedule: Schedule,
    *,
    b1: Rate = 0.9,
    b2: Rate = 0.99,
    weight_decay: NotNegative = 0.0,
) -> optax.GradientTransformation:
    """Returns Lion, with decoupled weight decay.

    The update is the sign of an interpolation between the gradient and its moving
    average (Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms",
    algorithm 2). The authors recommend a learning rate 3 to 10 times smaller than
    AdamW's, and a weight decay larger by the same factor.

    Args:
      schedule: the learning rate at each step.
      b1: the weight of the moving average in the interpolation; the gradient has the
        weight 1 - b1.
      b2: the decay rate of the moving average of the gradient.
      weight_decay: each step subtracts from the weights their product with this number
        and the learning rate.
    """
    return optax.lion(schedule, b1, b2, weight_decay=weight_decay, mask=decay_mask)
