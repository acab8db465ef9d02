"""A learning rate that rises and falls once."""

from typing import Annotated

import jax
import jax.numpy as jnp

from cnn_jax.core.ranges import Fraction, Range
from cnn_jax.training.schedules.warm_up import Schedule

Factor = Annotated[float, Range(least=0, most=1)]


def one_cycle(
    peak: float,
    steps: int,
    *,
    peak_at: Fraction = 0.3,
    start_factor: Factor = 0.04,
    end_factor: Factor = 4e-6,
    linear: bool = False,
) -> Schedule:
    """Returns a schedule that rises to `peak` and falls again (Smith and Topin 2018).

    The learning rates are those of PyTorch's `OneCycleLR` with
    `div_factor = 1 / start_factor` and
    `final_div_factor = start_factor / end_factor`. The momentum stays constant.

    Args:
      peak: the highest learning rate.
      steps: the number of steps of the run.
      peak_at: the length of the rise, as a fraction of the run.
      start_factor: the first learning rate, as a fraction of the highest learning rate.
      end_factor: the last learning rate, as a fraction of the highest learning rate.
      linear: whether the learning rate changes linearly, rather than along half a
        cosine wave.
    """
    # The last step of the rise has the learning rate `peak`; step 0 is the first.
    top = max(peak_at * steps - 1, 0.0)
    fall = max(steps - 1 - top, 1.0)

    def schedule(k: int | jax.Array) -> jax.Array:
        rising = k < top
        start = jnp.where(rising, start_factor, 1.0)
        end = jnp.where(rising, 1.0, end_factor)
        done = jnp.where(rising, k / max(top, 1.0), (k - top) / fall)
        done = jnp.clip(done, 0, 1)
        if not linear:
            done = (1 - jnp.cos(jnp.pi * done)) / 2
        return peak * (start + (end - start) * done)

    return schedule
