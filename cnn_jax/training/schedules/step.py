"""A learning rate that falls at boundaries."""

import jax
import jax.numpy as jnp

from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import Fraction, Positive
from cnn_jax.training.config import Duration
from cnn_jax.training.schedules.warm_up import Schedule, warm_up


def step(
    peak: float,
    steps: int,
    *,
    warmup: Duration = 0,
    boundaries: tuple[Fraction, ...] = (0.5, 0.75),
    factor: Positive = 0.1,
) -> Schedule:
    """Returns a schedule with steps: the learning rate falls at each boundary.

    After a linear warm-up, the learning rate is `peak`. At each boundary it is
    multiplied by `factor`. With the boundaries (0.5, 0.75), this is the schedule of He
    et al. (2016) for CIFAR-10.

    Args:
      peak: the highest learning rate.
      steps: the number of steps of the run.
      warmup: the length of the warm-up.
      boundaries: the boundaries, as fractions of the whole run, in ascending order.
      factor: the number by which the learning rate is multiplied at each boundary.

    Raises:
      UserError: if the warm-up is as long as the run, or the boundaries are not in
        ascending order.
    """
    if list(boundaries) != sorted(set(boundaries)):
        raise UserError(
            f"config.schedule.boundaries={boundaries} must be in ascending order."
        )
    # The joined schedule counts steps from the end of the warm-up.
    starts = jnp.array([round(b * steps) - warmup for b in boundaries])

    def decay(k: int | jax.Array) -> jax.Array:
        return peak * factor ** (k >= starts).sum()

    return warm_up(peak, steps, warmup, decay)
