"""Optimizers for large batches, with a learning rate of its own for each kernel.

The trust ratio of a kernel is the norm of the kernel divided by the norm of its update.
Biases and normalization have no trust ratio and no weight decay.
"""

import optax

from cnn_jax.core.ranges import NotNegative, Positive, Rate
from cnn_jax.training.schedules import Schedule
from cnn_jax.training.weight_decay import decay_mask


def lars(
    schedule: Schedule,
    *,
    momentum: Rate = 0.9,
    trust_coefficient: Positive = 0.001,
    weight_decay: NotNegative = 0.0,
) -> optax.GradientTransformation:
    """Returns LARS: gradient descent with momentum and trust ratios.

    The paper is You et al. 2017, "Large Batch Training of Convolutional Networks",
    algorithm 1.

    Args:
      schedule: the learning rate at each step.
      momentum: the factor of the previous sum of updates; 0: no momentum.
      trust_coefficient: the factor of each trust ratio.
      weight_decay: the weights are multiplied by this number and added to the gradient,
        before the trust ratio is computed.
    """
    return optax.lars(
        schedule,
        weight_decay,
        weight_decay_mask=decay_mask,
        trust_coefficient=trust_coefficient,
        trust_ratio_mask=decay_mask,
        momentum=momentum,
    )


def lamb(
    schedule: Schedule,
    *,
    b1: Rate = 0.9,
    b2: Rate = 0.999,
    eps: Positive = 1e-6,
    weight_decay: NotNegative = 0.0,
) -> optax.GradientTransformation:
    """Returns LAMB: Adam with trust ratios.

    The paper is You et al. 2020, "Large Batch Optimization for Deep Learning",
    algorithm 2.

    Args:
      schedule: the learning rate at each step.
      b1: the decay rate of the moving average of the gradient.
      b2: the decay rate of the moving average of the squared gradient.
      eps: a small number that is added to the denominator of the update.
      weight_decay: the weights are multiplied by this number and added to the update,
        before the trust ratio is computed.
    """
    # `optax.lamb` has no mask for the trust ratio.
    return optax.chain(
        optax.scale_by_adam(b1, b2, eps),
        optax.add_decayed_weights(weight_decay, decay_mask),
        optax.masked(optax.scale_by_trust_ratio(), decay_mask),
        optax.scale_by_learning_rate(schedule),
    )
