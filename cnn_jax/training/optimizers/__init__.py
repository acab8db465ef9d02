"""Optimizers, one file for each family."""

from collections.abc import Callable
from typing import Annotated

import optax

from cnn_jax.core import imports
from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import Positive, Range
from cnn_jax.training import freezing
from cnn_jax.training.config import Config, arguments
from cnn_jax.training.optimizers.adafactor import adafactor
from cnn_jax.training.optimizers.adam import adam, adamw
from cnn_jax.training.optimizers.clipping import clipped
from cnn_jax.training.optimizers.grouped import grouped
from cnn_jax.training.optimizers.lion import lion
from cnn_jax.training.optimizers.muon import muon
from cnn_jax.training.optimizers.rmsprop import rmsprop
from cnn_jax.training.optimizers.sam import sharpness_aware
from cnn_jax.training.optimizers.schedule_free import (
    AVERAGING,
    schedule_free_adamw,
    schedule_free_sgd,
)
from cnn_jax.training.optimizers.schedule_free import evaluated as evaluated
from cnn_jax.training.optimizers.sgd import sgd
from cnn_jax.training.optimizers.trust_ratio import lamb, lars
from cnn_jax.training.schedules import Schedule

# The built-in optimizers by name.
OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "sgd": sgd,
    "adam": adam,
    "adamw": adamw,
    "lion": lion,
    "rmsprop": rmsprop,
    "lars": lars,
    "lamb": lamb,
    "adafactor": adafactor,
    "muon": muon,
    "schedule_free_sgd": schedule_free_sgd,
    "schedule_free_adamw": schedule_free_adamw,
}


def find(name: str) -> Callable[..., optax.GradientTransformation]:
    """Returns the function that makes an optimizer.

    Args:
      name: a name in `OPTIMIZERS`, or the import path of a user's function.

    Raises:
      UserError: if there is no such optimizer.
    """
    wanted = "a function of a schedule that returns an optax.GradientTransformation"
    return imports.find("optimizer", name, OPTIMIZERS, accepts=callable, wanted=wanted)


def averages(name: str) -> bool:
    """Returns whether an optimizer averages the parameters for evaluation itself.

    `evaluated` then computes the averages from the optimizer's state.
    """
    return find(name) in AVERAGING


def planned(
    group: Config,
    schedule: Schedule,
    plan: freezing.Plan | None,
    last_layer: tuple[str, ...] = (),
) -> optax.GradientTransformation:
    """Returns the optimizer of a config, for all parameters that are ever trained.

    Args:
      group: the config's group `optimizer`.
      schedule: the learning rate at each step.
      plan: how each parameter is trained; None: all parameters are trained in the same
        way.
      last_layer: the path of the network's last layer.

    Raises:
      UserError: if a user's optimizer fails, returns no optax transformation, or has no
        weight decay while a group has one.
    """
    of_name = find(group.name)
    options = arguments(group, of_name)

    def of_rate(rate: Schedule, **own: float) -> optax.GradientTransformation:
        with imports.called("optimizer", group.name):
            made = of_name(rate, **options | own)
        if not isinstance(made, optax.GradientTransformation):
            raise UserError(
                f"optimizer '{group.name}' returned {type(made).__name__}: an "
                "optimizer must return an optax.GradientTransformation."
            )
        return made

    def of_part(part: freezing.Part) -> optax.GradientTransformation:
        own = {}
        if part.weight_decay is not None:
            if "weight_decay" not in options:
                raise UserError(
                    "config.optimizer.groups sets a weight decay, but optimizer "
                    f"'{group.name}' has no parameter weight_decay: leave it out."
                )
            own["weight_decay"] = part.weight_decay
        if part.start == 0 and part.rate == 1:
            return of_rate(schedule, **own)
        start = part.start
        assert start is not None  # `plan.groups()` leaves out parts never trained
        # An optimizer does not count the steps while its part is frozen.
        return of_rate(lambda count: part.rate * schedule(count + start), **own)

    groups = plan.groups() if plan else {freezing.Part(): "all"}
    if plan is None or len(groups) == 1:
        (optimizer,) = map(of_part, groups)
    else:
        optimizer = grouped(
            {name: of_part(part) for part, name in groups.items()},
            lambda path: groups[plan.parts[path]],
        )
    return make(optimizer, last_layer, **arguments(group, make))


def make(
    optimizer: optax.GradientTransformation,
    last_layer: tuple[str, ...] = (),
    *,
    learning_rate: Annotated[float, Range(least=0, most=1e30)],
    clip_norm: Positive | None = None,
    clip_value: Positive | None = None,
    clip_adaptive: Positive | None = None,
    sam_radius: Positive | None = None,
) -> optax.GradientTransformation:
    """Returns `optimizer`, with what the keys of every optimizer add to it.

    `learning_rate` is a key of the same config group that other functions use.

    Args:
      optimizer: the optimizer that gets the clipped gradients.
      last_layer: the path of the network's last layer.
      learning_rate: the highest learning rate of the schedule. With 0, training changes
        only the batch statistics.
      clip_norm: the largest global norm of the gradient; None: no limit.
      clip_value: the largest absolute value of an entry of the gradient; None: no
        limit.
      clip_adaptive: the largest ratio of the norm of a unit's gradient to the norm of
        the unit, such as 0.01, for all layers but the last (adaptive gradient
        clipping). A unit is the part of a kernel that computes one output channel, or a
        whole bias. None: no limit.
      sam_radius: the radius of sharpness-aware minimization, such as 0.05: the gradient
        is computed at parameters with a higher loss, at this distance from the current
        parameters. A step then takes twice as long. None: no such step.

    Raises:
      UserError: if more than one of the keys `clip_...` is set.
    """
    del learning_rate
    made = clipped(optimizer, last_layer, clip_norm, clip_value, clip_adaptive)
    return made if sam_radius is None else sharpness_aware(made, sam_radius)
