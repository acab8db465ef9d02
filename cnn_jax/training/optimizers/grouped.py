"""One optimizer for each group of parameters."""

from collections.abc import Callable, Mapping
from typing import Any

import optax
from flax.traverse_util import flatten_dict, unflatten_dict


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
