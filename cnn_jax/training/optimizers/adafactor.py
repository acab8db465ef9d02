"""Adafactor: Adam's second moment in little memory."""

from typing import Annotated

import optax

from cnn_jax.core.ranges import MANY, NotNegative, Positive, Range, Share
from cnn_jax.training.schedules import Schedule
from cnn_jax.training.weight_decay import decay_mask


def adafactor(
    schedule: Schedule,
    *,
    decay_power: Share = 0.8,
    factored_from: Annotated[int, Range(least=1, most=MANY)] = 128,
    update_limit: Positive = 1.0,
    relative: bool = True,
    weight_decay: NotNegative = 0.0,
) -> optax.GradientTransformation:
    """Returns Adafactor, with decoupled weight decay.

    The mean of the squared gradients of a kernel is stored as one number for each row
    and each column of the two largest dimensions (Shazeer and Stern 2018, "Adafactor",
    algorithms 4 and 5).

    Args:
      schedule: the learning rate at each step.
      decay_power: step t averages the squared gradient with the decay rate
        1 - t**(-decay_power).
      factored_from: kernels in which the second largest dimension is smaller than this
        number store the mean of each entry.
      update_limit: updates whose root mean square is larger are scaled down to this
        root mean square.
      relative: whether the learning rate of a parameter is multiplied by the
        parameter's root mean square, which counts as at least 0.001.
      weight_decay: each step subtracts from the weights their product with this number
        and the learning rate.
    """
    # `optax.adafactor` does not multiply the weight decay by the learning rate.
    scale = optax.scale_by_param_block_rms() if relative else optax.identity()
    return optax.chain(
        optax.scale_by_factored_rms(
            decay_rate=decay_power, min_dim_size_to_factor=factored_from
        ),
        optax.clip_by_block_rms(update_limit),
        scale,
        optax.add_decayed_weights(weight_decay, decay_mask),
        optax.scale_by_learning_rate(schedule),
    )
