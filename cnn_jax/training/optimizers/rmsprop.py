"""RMSprop, as in TensorFlow or as in PyTorch."""

import optax

from cnn_jax.core.ranges import NotNegative, Positive, Rate
from cnn_jax.training.schedules import Schedule
from cnn_jax.training.weight_decay import decay_mask


def rmsprop(
    schedule: Schedule,
    *,
    decay: Rate = 0.9,
    eps: Positive = 1e-8,
    eps_in_root: bool = False,
    initial_square: NotNegative = 0.0,
    momentum: Rate = 0.0,
    weight_decay: NotNegative = 0.0,
) -> optax.GradientTransformation:
    """Returns RMSprop with momentum and L2 weight decay.

    The gradient is divided by the root of the moving average of its square (Tieleman
    and Hinton 2012, lecture 6.5). The learning rate of a step multiplies the gradient
    before the momentum is added, as in TensorFlow; with a constant learning rate,
    PyTorch's order gives the same updates.

    The published recipes of Inception, MobileNet and EfficientNet use TensorFlow's
    variant: `eps_in_root=True` and `initial_square=1.0`.

    Args:
      schedule: the learning rate at each step.
      decay: the decay rate of the moving average of the squared gradient.
      eps: a small number that is added to the denominator.
      eps_in_root: whether `eps` is added below the root (TensorFlow) or to the root
        (PyTorch).
      initial_square: the moving average of the squared gradient before the first step.
      momentum: the factor of the previous sum of updates; 0: no momentum.
      weight_decay: the weights are multiplied by this number and added to the gradient.
    """
    return optax.chain(
        optax.add_decayed_weights(weight_decay, decay_mask),
        optax.rmsprop(
            schedule,
            decay,
            eps,
            initial_scale=initial_square,
            eps_in_sqrt=eps_in_root,
            momentum=momentum or None,
        ),
    )
