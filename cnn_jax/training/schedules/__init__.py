"""Learning rate schedules: functions from the step to the learning rate."""

from collections.abc import Callable

from cnn_jax.core import imports
from cnn_jax.training.config import Config, arguments
from cnn_jax.training.schedules.constant import constant
from cnn_jax.training.schedules.cosine import cosine, cosine_restarts
from cnn_jax.training.schedules.decay import exponential, polynomial
from cnn_jax.training.schedules.one_cycle import one_cycle
from cnn_jax.training.schedules.plateau import Plateau, factor_of, plateau, reacted
from cnn_jax.training.schedules.step import step
from cnn_jax.training.schedules.trapezoid import trapezoid
from cnn_jax.training.schedules.warm_up import Schedule

__all__ = [
    "SCHEDULES",
    "Plateau",
    "Schedule",
    "factor_of",
    "find",
    "planned",
    "reacted",
]

# The built-in schedules by name.
SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": constant,
    "cosine": cosine,
    "cosine_restarts": cosine_restarts,
    "step": step,
    "polynomial": polynomial,
    "exponential": exponential,
    "trapezoid": trapezoid,
    "one_cycle": one_cycle,
    "plateau": plateau,
}


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
