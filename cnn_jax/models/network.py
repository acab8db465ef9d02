"""The base class of all networks here, and its defaults for networks of others."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import flax.linen as nn

from cnn_jax.core import fit


class Network(nn.Module):
    """A network that describes itself to the other parts of a run.

    A subclass overrides a default by an attribute or a property of the same name.

    Attributes:
      class_layer: the path of the layer whose outputs are the classes.
      head_modules: a regular expression for the names of the modules behind the last
        map.
      head_fields: the fields that say which layers the head has.
      auxiliary: whether there are auxiliary heads, for the loss in training alone.
      knows_normalization: whether the fields `mean` and `std` take the normalization
        of the data.
      any_style: whether images are pairs of a content and a style of the user's.
      one_picture: whether the network learns, and can change, one picture alone.
      predicted: the method that `predict` applies to images; None: `__call__`.
    """

    class_layer: ClassVar[tuple[str, ...]] = ("head",)
    head_modules: ClassVar[str] = "head"
    head_fields: ClassVar[tuple[str, ...]] = ()
    auxiliary = False
    knows_normalization: ClassVar[bool] = False
    any_style: ClassVar[bool] = False
    one_picture: ClassVar[bool] = False
    predicted: ClassVar[str | None] = None

    @property
    def output_kind(self) -> str:
        """The kind of the outputs: a name of `models.OUTPUTS`, or a user's own kind,
        which the user's task has too."""
        return "logits"

    @property
    def gives(self) -> Mapping[str, Any]:
        """Further facts for the other parts of a run; see `core.fit`."""
        return {}

    @property
    def takes(self) -> Sequence[fit.Need]:
        """Needs of the network; see `core.fit`."""
        return ()


def described(model: nn.Module) -> Network:
    """Returns the model, which describes itself, or the defaults for a module of
    others."""
    return model if isinstance(model, Network) else Network(parent=None)


def is_head(model: nn.Module, module: str) -> bool:
    """Whether the model's module of that name is a layer of its head."""
    return re.fullmatch(described(model).head_modules, module) is not None
