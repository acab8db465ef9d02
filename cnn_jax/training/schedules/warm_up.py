"""The linear warm-up with which most schedules begin."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from cnn_jax.core.errors import UserError

Schedule = Callable[[int | jax.Array], jax.Array]


def warm_up(peak: float, steps: int, warmup: int, after: Schedule) -> Schedule:
    """Returns a linear warm-up from `peak / warmup` to `peak`, followed by `after`.

    The warm-up does not start at 0, because a step with a learning rate of 0 does not
    change the parameters.

    Args:
      peak: the learning rate at the end of the warm-up.
      steps: the number of steps of the run.
      warmup: the number of steps of the warm-up; 0: no warm-up.
      after: the schedule after the warm-up, which counts steps from the end of the
        warm-up.

    Raises:
      UserError: if the warm-up is as long as the run.
    """
    if not warmup:
        return after
    if warmup >= steps:
        raise UserError(
            f"config.schedule.warmup_... gives a warm-up of {warmup:,} steps, but the "
            f"whole run has {steps:,} steps. Set a shorter warm-up, such as "
            f"config.schedule.warmup_steps={steps // 10}."
        )
    return optax.join_schedules(
        [lambda step: peak * (jnp.asarray(step) + 1) / warmup, after], [warmup]
    )
