"""Cosine decay, once or with restarts."""

from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cnn_jax.core.ranges import Count, Range, Share
from cnn_jax.training.config import Duration
from cnn_jax.training.schedules.warm_up import Schedule, warm_up

EndFactor = Annotated[float, Range(least=0, most=1)]


def cosine(
    peak: float, steps: int, *, warmup: Duration = 0, end_factor: EndFactor = 0.0
) -> Schedule:
    """Returns a schedule with cosine decay, after a linear warm-up.

    The learning rate falls from `peak` to `peak * end_factor` along half a cosine wave
    (Loshchilov and Hutter 2017, "SGDR").

    Args:
      peak: the highest learning rate.
      steps: the number of steps of the run.
      warmup: the length of the warm-up.
      end_factor: the last learning rate, as a fraction of the highest learning rate.

    Raises:
      UserError: if the warm-up is as long as the run.
    """
    decay = optax.cosine_decay_schedule(peak, max(steps - warmup, 1), alpha=end_factor)
    return warm_up(peak, steps, warmup, decay)


def cosine_restarts(
    peak: float,
    steps: int,
    *,
    warmup: Duration = 0,
    cycles: Count = 4,
    length_factor: Annotated[float, Range(least=1, most=100)] = 1.0,
    peak_factor: Share = 1.0,
    end_factor: EndFactor = 0.0,
) -> Schedule:
    """Returns a schedule of several cosine decays, after a linear warm-up.

    The learning rate of each cycle falls from the cycle's peak to `end_factor` times
    the cycle's peak along half a cosine wave. The next cycle starts at its own peak
    (Loshchilov and Hutter 2017, "SGDR", equation 5). The cycles fill the run after the
    warm-up; their lengths are rounded to whole steps.

    Args:
      peak: the highest learning rate: the peak of the first cycle.
      steps: the number of steps of the run.
      warmup: the length of the warm-up.
      cycles: the number of cycles.
      length_factor: the length of each cycle is the length of the cycle before,
        multiplied by this number.
      peak_factor: the peak of each cycle is the peak of the cycle before, multiplied by
        this number.
      end_factor: the last learning rate of a cycle, as a fraction of its peak.

    Raises:
      UserError: if the warm-up is as long as the run.
    """
    lengths = length_factor ** np.arange(cycles)
    ends = np.rint((steps - warmup) * np.cumsum(lengths) / lengths.sum())
    starts = np.concatenate([[0], ends[:-1]])
    begin, length = jnp.asarray(starts), jnp.asarray(np.maximum(ends - starts, 1))

    def decay(k: int | jax.Array) -> jax.Array:
        cycle = (k >= begin).sum() - 1
        done = jnp.clip((k - begin[cycle]) / length[cycle], 0, 1)
        wave = (1 + jnp.cos(jnp.pi * done)) / 2
        return peak * peak_factor**cycle * (end_factor + (1 - end_factor) * wave)

    return warm_up(peak, steps, warmup, decay)
