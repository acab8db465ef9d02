"""Optimizers: optax chains with the usual conventions for weight decay."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import jax
import optax
from flax.traverse_util import flatten_dict, unflatten_dict

from cnn_jax.core import imports
from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import NotNegative, Positive, Range, Rate
from cnn_jax.training import freezing
from cnn_jax.training.config import Config, arguments
from cnn_jax.training.schedules import Schedule

# Weight decay skips biases, normalization and optimized pixels (He et al. 2019, "Bag of
# Tricks", section 3.1).
NOT_DECAYED = {"bias", "scale", "pixels"}


def sgd(
    schedule: Schedule,
    *,
    momentum: Rate = 0.9,
    nesterov: bool = False,
    weight_decay: NotNegative = 0.0,
) -> optax.GradientTransformation:
    """Returns stochastic gradient descent with momentum and L2 weight decay.

    Args:
      schedule: the learning rate at each step.
      momentum: the factor of the previous sum of gradients, to which each step adds the
        gradient; 0: no momentum.
      nesterov: whether momentum is Nesterov's momentum.
      weight_decay: the weights are multiplied by this number and added to the gradient.

    Raises:
      UserError: if `nesterov` is true and `momentum` is 0.
    """
    if nesterov and not momentum:
        raise UserError(
            "config.optimizer.nesterov=true needs a config.optimizer.momentum above 0."
        )
    return optax.chain(
        optax.add_decayed_weights(weight_decay, decay_mask),
        optax.sgd(schedule, momentum=momentum or None, nesterov=nesterov),
    )


def adamw(
    schedule: Schedule,
    *,
    b1: Rate = 0.9,
    b2: Rate = 0.999,
    eps: Positive = 1e-8,
    weight_decay: NotNegative = 0.01,
) -> optax.GradientTransformation:
    """Returns AdamW: Adam with decoupled weight decay (Loshchilov and Hutter 2019).

    Args:
      schedule: the learning rate at each step.
      b1: the decay rate of the moving average of the gradient.
      b2: the decay rate of the moving average of the squared gradient.
      eps: a small number that is added to the denominator of the update.
      weight_decay: each step subtracts from the weights their product with this number
        and the learning rate.
    """
    return optax.adamw(
        schedule, b1, b2, eps, weight_decay=weight_decay, mask=decay_mask
    )


def lion(
    schedule: Schedule,
    *,
    b1: Rate = 0.9,
    b2: Rate = 0.99,
    weight_decay: NotNegative = 0.0,
) -> optax.GradientTransformation:
    """Returns Lion, with decoupled weight decay.

    The update is the sign of an interpolation between the gradient and its moving
    average (Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms",
    algorithm 2). The authors recommend a learning rate 3 to 10 times smaller than
    AdamW's, and a weight decay larger by the same factor.

    Args:
      schedule: the learning rate at each step.
      b1: the weight of the moving average in the interpolation; the gradient has the
        weight 1 - b1.
      b2: the decay rate of the moving average of the gradient.
      weight_decay: each step subtracts from the weights their product with this number
        and the learning rate.
    """
    return optax.lion(schedule, b1, b2, weight_decay=weight_decay, mask=decay_mask)


OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "sgd": sgd,
    "adamw": adamw,
    "lion": lion,
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


def planned(
    group: Config, schedule: Schedule, plan: freezing.Plan | None
) -> optax.GradientTransformation:
    """Returns the optimizer of a config, for all parameters that are ever trained.

    Args:
      group: the config's group `optimizer`.
      schedule: the learning rate at each step.
      plan: how each parameter is trained; None: all parameters are trained in the same
        way.

    Raises:
      UserError: if a user's optimizer fails, or returns no optax transformation.
    """
    of_name = find(group.name)
    options = arguments(group, of_name)

    def of_rate(rate: Schedule) -> optax.GradientTransformation:
        with imports.called("optimizer", group.name):
            made = of_name(rate, **options)
        if not isinstance(made, optax.GradientTransformation):
            raise UserError(
                f"optimizer '{group.name}' returned {type(made).__name__}: an "
                "optimizer must return an optax.GradientTransformation."
            )
        return made

    def of_part(part: freezing.Part) -> optax.GradientTransformation:
        if part == freezing.Part():
            return of_rate(schedule)
        start = part.start
        assert start is not None  # `plan.groups()` leaves out parts never trained
        # An optimizer does not count the steps while its part is frozen.
        return of_rate(lambda count: part.rate * schedule(count + start))

    groups = plan.groups() if plan else {freezing.Part(): "all"}
    if plan is None or len(groups) == 1:
        (optimizer,) = map(of_part, groups)
    else:
        optimizer = grouped(
            {name: of_part(part) for part, name in groups.items()},
            lambda path: groups[plan.parts[path]],
        )
    return make(optimizer, **arguments(group, make))


def make(
    optimizer: optax.GradientTransformation,
    *,
    learning_rate: Annotated[float, Range(least=0, most=1e30)],
    clip_norm: Positive | None = None,
) -> optax.GradientTransformation:
    """Returns `optimizer`, with gradients clipped to the global norm `clip_norm`.

    `learning_rate` is a key of the same config group that other functions use.

    Args:
      optimizer: the optimizer that gets the clipped gradients.
      learning_rate: the highest learning rate of the schedule. With 0, training changes
        only the batch statistics.
      clip_norm: the largest global norm of the gradient; None: no limit.
    """
    del learning_rate
    if clip_norm is None:
        return optimizer
    return optax.chain(optax.clip_by_global_norm(clip_norm), optimizer)


def grouped(
    optimizers: Mapping[str, optax.GradientTransformation],
    group_of: Callable[[tuple[str, ...]], str],
) -> optax.GradientTransformation:
    """Returns an optimizer that updates groups of parameters by different optimizers.

    In a step without gradients for a group, the group's parameters and the state of its
    optimizer (with its count of steps) do not change.

    Args:
      optimizers: the optimizer of each group, by the group's name.
      group_of: a function from the path of a parameter to the name of its group.
    """

    def split(tree: Any) -> dict[str, Any]:
        parts: dict[str, dict] = {}
        for path, leaf in flatten_dict(tree).items():
            parts.setdefault(group_of(path), {})[path] = leaf
        return {group: unflatten_dict(part) for group, part in parts.items()}

    def init(params: Any) -> dict[str, Any]:
        return {g: optimizers[g].init(part) for g, part in split(params).items()}

    def update(grads: Any, state: Any, params: Any) -> tuple[Any, dict[str, Any]]:
        changes: dict[tuple[str, ...], Any] = {}
        state, params = dict(state), split(params)
        for g, part in split(grads).items():
            change, state[g] = optimizers[g].update(part, state[g], params[g])
            changes |= flatten_dict(change)
        return unflatten_dict(changes), state

    return optax.GradientTransformation(init, update)


def decay_mask(params: Any) -> Any:
    """Returns a tree with True for each parameter to which weight decay applies.

    Weight decay applies to parameters with more than one dimension whose name is not in
    `NOT_DECAYED`.
    """

    def decayed(path: tuple, leaf: Any) -> bool:
        return path[-1].key not in NOT_DECAYED and leaf.ndim > 1

    return jax.tree_util.tree_map_with_path(decayed, params)
