"""Learning rate schedules: functions from the step to the learning rate."""

from collections.abc import Callable
from typing import Annotated

import jax
import jax.numpy as jnp
import optax

from cnn_jax.core import imports
from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import Fraction, Positive, Range
from cnn_jax.training.config import Config, Duration, arguments

Schedule = Callable[[int | jax.Array], jax.Array]


def constant(peak: float, steps: int, *, warmup: Duration = 0) -> Schedule:
    """Returns the constant learning rate `peak`, after a linear warm-up.

    Args:
      peak: the highest learning rate.
      steps: the number of steps of the run.
      warmup: the length of the warm-up.

    Raises:
      UserError: if the warm-up is as long as the run.
    """
    return _warm_up(peak, steps, warmup, optax.constant_schedule(peak))


def cosine(
    peak: float,
    steps: int,
    *,
    warmup: Duration = 0,
    end_factor: Annotated[float, Range(least=0, most=1)] = 0.0,
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
    return _warm_up(peak, steps, warmup, decay)


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

    return _warm_up(peak, steps, warmup, decay)


def _warm_up(peak: float, steps: int, warmup: int, after: Schedule) -> Schedule:
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


SCHEDULES = {"constant": constant, "cosine": cosine, "step": step}


def find(name: str) -> Callable[..., Schedule]:
    """Returns the function that makes a schedule.

    Args:
      name: a name in `SCHEDULES`, or the import path of a user's function.

    Raises:
      UserError: if there is no such schedule.
    """
    wanted = "a function of the peak and the steps that returns a schedule"
    return imports.find("schedule", name, SCHEDULES, accepts=callable, wanted=wanted)


def planned(config: Config, steps: int, **sizes: int) -> Schedule:
    """Returns the schedule of a config.

    Args:
      config: the resolved config.
      steps: the number of steps of the run.
      sizes: `batch_size`, and `examples`: the number of training examples.

    Raises:
      UserError: if a value of the config is not valid for the schedule; or a user's
        schedule raises an error, or is not a function from a step to a number.
    """
    name, make = config.schedule.name, find(config.schedule.name)
    options = arguments(config.schedule, make, **sizes)
    with imports.called("schedule", name):
        schedule = make(config.optimizer.learning_rate, steps, **options)
        if not callable(schedule):
            raise TypeError(
                f"it returned {type(schedule).__name__}, not a function of the step"
            )
        if imports.is_path(name):
            float(schedule(0))
    return schedule
