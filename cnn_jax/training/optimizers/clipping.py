"""Limits of the gradient."""

from typing import Any

import jax
import optax

from cnn_jax.core.errors import UserError


def clipped(
    optimizer: optax.GradientTransformation,
    last_layer: tuple[str, ...],
    clip_norm: float | None,
    clip_value: float | None,
    clip_adaptive: float | None,
) -> optax.GradientTransformation:
    """Returns `optimizer`, with at most one limit of the gradient.

    Args:
      optimizer: the optimizer that gets the clipped gradients.
      last_layer: the path of the layer that adaptive clipping skips.
      clip_norm: the largest norm of all gradients together; None: no limit.
      clip_value: the largest absolute value of an entry; None: no limit.
      clip_adaptive: the largest ratio of the norm of a unit's gradient to the norm of
        the unit (Brock et al. 2021, "High-Performance Large-Scale Image Recognition
        Without Normalization", equation 3). A unit is the part of a kernel that
        computes one output channel, or a whole bias. None: no limit.

    Raises:
      UserError: if more than one limit is set.
    """
    limits = {
        "clip_norm": (clip_norm, optax.clip_by_global_norm),
        "clip_value": (clip_value, optax.clip),
        "clip_adaptive": (clip_adaptive, lambda ratio: _adaptive(ratio, last_layer)),
    }
    given = [name for name, (limit, _) in limits.items() if limit is not None]
    if len(given) > 1:
        raise UserError(
            f"config.optimizer sets {' and '.join(given)}, which all clip the "
            "gradient: set only one of these keys."
        )
    for name in given:
        limit, make = limits[name]
        return optax.chain(make(limit), optimizer)
    return optimizer


def _adaptive(
    ratio: float, last_layer: tuple[str, ...]
) -> optax.GradientTransformation:
    """Returns adaptive gradient clipping of all parameters outside of a layer."""

    def clips(path: tuple[Any, ...], _: jax.Array) -> bool:
        return tuple(key.key for key in path[: len(last_layer)]) != last_layer

    return optax.masked(
        optax.adaptive_grad_clip(ratio),
        lambda params: jax.tree_util.tree_map_with_path(clips, params),
    )
