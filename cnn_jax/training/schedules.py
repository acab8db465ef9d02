"""Learning rates over the steps of a run."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from cnn_jax.errors import UserError
from cnn_jax.training.config import Duration

Schedule = Callable[[int | jax.Array], jax.Array]


def constant(peak: float, steps: int, *, warmup: Duration = 0) -> Schedule:
    """`peak` throughout, after a linear warm-up from 0."""
    return _warm_up(peak, warmup, optax.constant_schedule(peak))


def cosine(
    peak: float, steps: int, *, warmup: Duration = 0, end_factor: float = 0.0
) -> Schedule:
    """Half a cosine from `peak` to `peak * end_factor` (Loshchilov and Hutter 2017)."""
    decay = optax.cosine_decay_schedule(peak, max(steps - warmup, 1), alpha=end_factor)
    return _warm_up(peak, warmup, decay)


def step(
    peak: float,
    steps: int,
    *,
    warmup: Duration = 0,
    boundaries: tuple[float, ...] = (0.5, 0.75),
    factor: float = 0.1,
) -> Schedule:
    """`peak`, multiplied by `factor` at each boundary.

    Boundaries are fractions of the whole run: (0.5, 0.75) is the schedule of
    He et al. (2016) for CIFAR-10.

    Raises:
      UserError: boundaries outside 0..1 or not in ascending order.
    """
    if list(boundaries) != sorted(set(boundaries)) or any(
        not 0 < boundary < 1 for boundary in boundaries
    ):
        raise UserError(
            "config.schedule.boundaries are ascending fractions of the run between "
            f"0 and 1, got {boundaries}."
        )
    # The joined schedule counts from the end of the warm-up.
    starts = jnp.array([round(b * steps) - warmup for b in boundaries])
    return _warm_up(peak, warmup, lambda k: peak * factor ** (k >= starts).sum())


def _warm_up(peak: float, steps: int, after: Schedule) -> Schedule:
    """Linear from peak/steps at the first step to `peak`, then `after`.

    The first step trains: a warm-up that starts at 0 wastes it.
    """
    if not steps:
        return after
    return optax.join_schedules(
        [lambda step: peak * (jnp.asarray(step) + 1) / steps, after], [steps]
    )


SCHEDULES = {"constant": constant, "cosine": cosine, "step": step}
