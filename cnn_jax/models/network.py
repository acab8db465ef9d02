"""The base class of all networks here, and its defaults for networks of others."""

import re
from typing import ClassVar

import flax.linen as nn


class Network(nn.Module):
    """A network that says which of its modules make its head.

    `class_layer` is the path of the layer whose outputs are the classes, `head_modules`
    a regular expression for the names of the modules behind the last map, and
    `head_fields` are the fields that say which layers the head has. `auxiliary` says
    whether there are auxiliary heads, for the loss in training alone.
    """

    class_layer: ClassVar[tuple[str, ...]] = ("head",)
    head_modules: ClassVar[str] = "head"
    head_fields: ClassVar[tuple[str, ...]] = ()
    auxiliary = False


def described(model: nn.Module) -> Network | type[Network]:
    """Returns the model, which describes itself, or `Network` for a module of others,
    which is described by the defaults."""
    return model if isinstance(model, Network) else Network


def is_head(model: nn.Module, module: str) -> bool:
    """Whether the model's module of that name is a layer of its head."""
    return re.fullmatch(described(model).head_modules, module) is not None
