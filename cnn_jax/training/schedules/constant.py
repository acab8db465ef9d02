"""A constant learning rate."""

import optax

from cnn_jax.training.config import Duration
from cnn_jax.training.schedules.warm_up import Schedule, warm_up


def constant(peak: float, steps: int, *, warmup: Duration = 0) -> Schedule:
    """Returns the constant learning rate `peak`, after a linear warm-up.

    Args:
      peak: the highest learning rate.
      steps: the number of steps of the run.
      warmup: the length of the warm-up.

    Raises:
      UserError: if the warm-up is as long as the run.
    """
    return warm_up(peak, steps, warmup, optax.constant_schedule(peak))
