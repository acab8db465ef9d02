"""Learning rates that fall as a power of the remaining steps, or exponentially."""

from typing import Annotated

import optax

from cnn_jax.core.ranges import Range, Share
from cnn_jax.training.config import Duration
from cnn_jax.training.schedules.warm_up import Schedule, warm_up


def polynomial(
    peak: float,
    steps: int,
    *,
    warmup: Duration = 0,
    power: Annotated[float, Range(above=0, most=100)] = 1.0,
    end_factor: Annotated[float, Range(least=0, most=1)] = 0.0,
) -> Schedule:
    """Returns a schedule with polynomial decay, after a linear warm-up.

    The learning rate falls from `peak` to `peak * end_factor`. The distance to the last
    learning rate is proportional to a power of the number of remaining steps. With the
    power 0.9, this is the schedule of DeepLab for segmentation (Chen et al. 2017).

    Args:
      peak: the highest learning rate.
      steps: the number of steps of the run.
      warmup: the length of the warm-up.
      power: the power; 1: the learning rate falls linearly.
      end_factor: the last learning rate, as a fraction of the highest learning rate.

    Raises:
      UserError: if the warm-up is as long as the run.
    """
    decay = optax.polynomial_schedule(
        peak, peak * end_factor, power, max(steps - warmup, 1)
    )
    return warm_up(peak, steps, warmup, decay)


def exponential(
    peak: float, steps: int, *, warmup: Duration = 0, end_factor: Share = 0.01
) -> Schedule:
    """Returns a schedule with exponential decay, after a linear warm-up.

    Each step multiplies the learning rate by the same number, from `peak` to
    `peak * end_factor`. The schedule of EfficientNet multiplies by 0.97 every 2.4 of
    350 epochs (Tan and Le 2019): the last learning rate is 0.97**(350 / 2.4) = 0.012
    times the highest.

    Args:
      peak: the highest learning rate.
      steps: the number of steps of the run.
      warmup: the length of the warm-up.
      end_factor: the last learning rate, as a fraction of the highest learning rate.

    Raises:
      UserError: if the warm-up is as long as the run.
    """
    decay = optax.exponential_decay(peak, max(steps - warmup, 1), end_factor)
    return warm_up(peak, steps, warmup, decay)
