"""Averages of the parameters over the steps, which evaluation uses in their place."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import Fraction, Rate
from cnn_jax.training import optimizers

Variables = dict[str, Any]  # the collections "params" and "batch_stats"

# A function from the step to the weight of the old average in the new average. The new
# variables have the rest of the weight.
Decay = Callable[[jax.Array], jax.Array]
# A function from the step, the new state of the optimizer, the new variables and the
# old averages to the new averages.
Averaging = Callable[[jax.Array, Any, Variables, Variables], Variables]


def make(
    steps: int,
    of_optimizer: bool = False,
    *,
    ema_decay: Rate | None = None,
    swa_start: Fraction | None = None,
) -> Averaging | None:
    """Returns how variables are averaged; None: they are not averaged.

    Args:
      steps: the number of steps of the run.
      of_optimizer: whether the optimizer averages the parameters, as schedule-free
        optimizers do.
      ema_decay: the decay rate of the exponential moving average of the parameters and
        the batch statistics, which evaluation then uses; None: no moving average.
      swa_start: the share of the run after which the average begins in which all steps
        have equal weights: stochastic weight averaging (Izmailov et al. 2018), which
        evaluation then uses. None: no such average.

    Raises:
      UserError: if both are given, or one beside the optimizer's own average.
    """
    if ema_decay is not None and swa_start is not None:
        raise UserError(
            "config.optimizer.ema_decay and config.optimizer.swa_start set two kinds "
            "of averages: leave out one of them."
        )
    if of_optimizer and (ema_decay is not None or swa_start is not None):
        raise UserError(
            "the optimizer averages the parameters itself: leave out "
            "config.optimizer.ema_decay and config.optimizer.swa_start."
        )
    if ema_decay is not None:
        return weighted(exponential(ema_decay))
    if swa_start is not None:
        return weighted(equal(round(swa_start * steps)))
    return by_optimizer if of_optimizer else None


def weighted(decay: Decay) -> Averaging:
    """Returns averages of all variables.

    Args:
      decay: the weight of the old average at each step.
    """

    def average(
        step: jax.Array, opt_state: Any, new: Variables, old: Variables
    ) -> Variables:
        del opt_state
        return optax.incremental_update(new, old, 1 - decay(step))

    return average


def by_optimizer(
    step: jax.Array, opt_state: Any, new: Variables, old: Variables
) -> Variables:
    """Returns the variables with the averages of a schedule-free optimizer."""
    del step, old
    return new | {"params": optimizers.evaluated(opt_state, new["params"])}


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
