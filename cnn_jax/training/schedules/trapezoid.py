"""Warm-up, a constant learning rate, and a linear decay."""

from typing import Annotated

import jax
import jax.numpy as jnp

from cnn_jax.core.ranges import Range, Share
from cnn_jax.training.config import Duration
from cnn_jax.training.schedules.warm_up import Schedule, warm_up


def trapezoid(
    peak: float,
    steps: int,
    *,
    warmup: Duration = 0,
    decay_share: Share = 0.2,
    end_factor: Annotated[float, Range(least=0, most=1)] = 0.0,
) -> Schedule:
    """Returns a schedule of three parts: warm-up, constant learning rate, linear decay.

    After a linear warm-up, the learning rate is `peak`. In the last part of the run it
    falls linearly to `peak * end_factor` (Hägele et al. 2024, "Scaling Laws and
    Compute-Optimal Training Beyond Fixed Training Durations").

    Args:
      peak: the highest learning rate.
      steps: the number of steps of the run.
      warmup: the length of the warm-up.
      decay_share: the length of the decay, as a fraction of the run; at most the steps
        after the warm-up.
      end_factor: the last learning rate, as a fraction of the highest learning rate.

    Raises:
      UserError: if the warm-up is as long as the run.
    """
    length = max(min(round(decay_share * steps), steps - warmup), 1)

    def decay(k: int | jax.Array) -> jax.Array:
        left = jnp.clip((steps - warmup - k) / length, 0, 1)
        return peak * (end_factor + (1 - end_factor) * left)

    return warm_up(peak, steps, warmup, decay)
