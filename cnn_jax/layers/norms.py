"""Normalization layers by the names that configs use.

A network makes its normalization layers with one function, the result of `norm`. Blocks
call this function with a layer's name. Without normalization the function is None, and
`normalized` returns the feature map unchanged. Convolutions then have a bias.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from cnn_jax.core import imports
from cnn_jax.core.errors import UserError
from cnn_jax.layers.naming import where
from cnn_jax.layers.normalization import (
    BATCH_AXIS,
    BatchNorm,
    GroupNorm,
    InstanceNorm,
)

Maps = Float[Array, "batch *space channels"]
# From a layer's name to the layer: a module, or a function that applies a module.
NormDef = Callable[..., Callable[[Array], Array]]

# The most groups, and the fewest channels of a group, that `default_groups` returns.
MOST_GROUPS = 32
FEWEST_CHANNELS = 4

NORMS: dict[str, type[nn.Module] | None] = {
    "batch": BatchNorm,
    "group": GroupNorm,
    "layer": GroupNorm,  # with one group
    "instance": InstanceNorm,
    "none": None,
}


def find(name: str) -> type[nn.Module] | None:
    """Returns the class of a normalization; None for "none".

    Args:
      name: a name of `NORMS`, or the import path of a linen module class.

    Raises:
      UserError: no normalization has this name.
    """
    return imports.find(
        "norm",
        name,
        NORMS,
        accepts=lambda found: isinstance(found, type) and issubclass(found, nn.Module),
        wanted="a subclass of flax.linen.Module",
    )


def norm(
    name: str,
    train: bool,
    *,
    groups: int | None = None,
    sync: bool = False,
    dtype: DTypeLike | None = None,
    **attributes: Any,
) -> NormDef | None:
    """Returns a function that makes a network's normalization layers.

    Call the function inside of a compact method, with the name of the layer and, if
    needed, further attributes. It returns the layer.

    Args:
      name: one of
        "batch": statistics of each channel over batch and space (Ioffe and Szegedy
          2015), and running statistics in evaluation.
        "group": statistics of each group of channels of each example (Wu and He 2018).
        "layer": statistics of all channels and pixels of each example, as in figure 2
          of Wu and He 2018 (Ba et al. 2016). `layers.LayerNorm` is another
          normalization: over the channels of each pixel.
        "instance": statistics of each channel of each example (Ulyanov et al. 2016).
        "none": no normalization.
        Otherwise, the import path of a linen module class whose instances are called
        with a feature map and return a feature map of the same shape. Its fields
        `use_running_average` (with `axis_name` if `sync`), `dtype` and those in
        `attributes` are set, if it has such fields.
      train: whether "batch" uses the statistics of the batch.
      groups: the number of groups of "group"; None is `default_groups` of the channels.
      sync: whether "batch" computes statistics over all devices.
      dtype: dtype of the layers' output.
      attributes: further attributes of all layers, such as `epsilon`.

    Returns:
      The function, or None for "none".

    Raises:
      UserError: no normalization has this name.
    """
    kind = find(name)
    if kind is None:
        return None
    known = {field.name for field in dataclasses.fields(kind)}
    given = {"dtype": dtype, "use_running_average": not train, **attributes}
    if sync and "use_running_average" in known:
        given["axis_name"] = BATCH_AXIS
    given = {key: value for key, value in given.items() if key in known}

    def make(**more: Any) -> Callable[[Array], Array]:
        if unknown := more.keys() - known:
            raise UserError(
                f"norm '{name}' has no field {min(unknown)}, which this network sets "
                f"in {more['name']}: add the field, or use another norm."
            )
        if name == "group":
            return lambda x: _grouped(x, groups, given | more)
        if name == "layer":
            return GroupNorm(**given | more, num_groups=1)
        if name in NORMS:
            return kind(**given | more)
        return lambda x: _of_user(name, kind, given | more, x)

    return make


def normalized(norm: NormDef | None, x: Maps, name: str, **attributes: Any) -> Maps:
    """Returns the output of the layer `norm(name=name)`; `x` if `norm` is None."""
    return x if norm is None else norm(name=name, **attributes)(x)


def default_groups(channels: int) -> int:
    """Returns the number of groups of a group normalization.

    The number is the largest divisor of the channels that is at most 32, as in Wu and
    He 2018, and leaves at least 4 channels in each group. With fewer channels in a
    group, a narrow network would have instance normalization. The least number is 1.
    """
    most = max(1, min(MOST_GROUPS, channels // FEWEST_CHANNELS))
    return next(count for count in range(most, 0, -1) if channels % count == 0)


def _grouped(x: Maps, groups: int | None, attributes: dict[str, Any]) -> Maps:
    """Returns `x` with each group of channels normalized."""
    channels = x.shape[-1]
    count = groups or default_groups(channels)
    layer = GroupNorm(**attributes, num_groups=count)
    if channels % count:
        raise UserError(
            f"norm_groups={count} must divide the channels of every normalized map, "
            f"but {where(layer)} has {channels} channels: leave norm_groups out."
        )
    return layer(x)


def _of_user(
    path: str, kind: type[nn.Module], attributes: dict[str, Any], x: Maps
) -> Maps:
    """Returns `x` normalized by a user's layer, the class at an import path.

    Raises:
      UserError: the layer fails, or returns another shape.
    """
    with imports.called("norm", path):
        y = kind(**attributes)(x)
    if getattr(y, "shape", None) != x.shape:
        raise UserError(
            f"norm '{path}' returns an output of shape {getattr(y, 'shape', None)} for "
            f"a map of shape {x.shape}: the shapes must be equal."
        )
    return y
