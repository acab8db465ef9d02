"""Averages of the parameters over the steps, which evaluation uses in their place."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import Fraction, Rate

# A function from the step to the weight of the old average in the new average. The new
# parameters have the rest of the weight.
Decay = Callable[[jax.Array], jax.Array]


def make(
    steps: int, *, ema_decay: Rate | None = None, swa_start: Fraction | None = None
) -> Decay | None:
    """Returns how variables are averaged; None: they are not averaged.

    Args:
      steps: the number of steps of the run.
      ema_decay: the decay rate of the exponential moving average of the parameters and
        the batch statistics, which evaluation then uses; None: no moving average.
      swa_start: the share of the run after which the average begins in which all steps
        have equal weights: stochastic weight averaging (Izmailov et al. 2018), which
        evaluation then uses. None: no such average.

    Raises:
      UserError: if both are given.
    """
    if ema_decay is not None and swa_start is not None:
        raise UserError(
            "config.optimizer.ema_decay and config.optimizer.swa_start set two kinds "
            "of averages: leave out one of them."
        )
    if ema_decay is not None:
        return exponential(ema_decay)
    if swa_start is not None:
        return equal(round(swa_start * steps))
    return None


def exponential(decay: float) -> Decay:
    """Returns the weights of an exponential moving average.

    A lower decay in the first steps keeps the average from being dominated by the
    initial parameters.

    Args:
      decay: the decay rate after the first steps.
    """
    return lambda step: jnp.minimum(decay, (1 + step) / (10 + step))


def equal(start: int) -> Decay:
    """Returns the weights of an average in which steps have equal weights.

    Until the step `start`, the average is equal to the newest parameters.

    Args:
      start: the number of steps before the average begins.
    """

    def decay(step: jax.Array) -> jax.Array:
        averaged = jnp.maximum(step - start, 0)
        return averaged / (averaged + 1)

    return decay
