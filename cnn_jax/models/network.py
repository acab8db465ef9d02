"""The base class of all networks. Networks that users write need not derive from it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import flax.linen as nn

from cnn_jax.core import fit


class Network(nn.Module):
    """A network that describes itself to the other parts of a run.

    A subclass overrides a default with an attribute or property of the same name.

    Attributes:
      class_layer: the path of the layer with one output channel for each class.
      head_modules: a regular expression for the names of the modules after the last
        feature map.
      head_fields: the fields of the module that select the layers of the head.
      auxiliary: whether the network has auxiliary heads, which only training uses.
      knows_normalization: whether the module has fields `mean` and `std` for the
        normalization of the data.
      any_style: whether inputs are pairs of a content and a style image.
      one_picture: whether the network learns, and can stylize, only one picture.
      predicted: the method that `predict` applies to images; None: `__call__`.
      init_images: the number of training images from which the initial parameters are
        computed; 0: the initial parameters do not depend on images.
    """

    class_layer: ClassVar[tuple[str, ...]] = ("head",)
    head_modules: ClassVar[str] = "head"
    head_fields: ClassVar[tuple[str, ...]] = ()
    auxiliary = False
    knows_normalization: ClassVar[bool] = False
    any_style: ClassVar[bool] = False
    one_picture: ClassVar[bool] = False
    predicted: ClassVar[str | None] = None
    init_images: ClassVar[int] = 0

    @property
    def norm_name(self) -> str | None:
        """The network's normalization, a name of `layers.NORMS` or an import path.

        It is None for networks whose normalization cannot be exchanged.
        """
        return None

    @property
    def exchanged(self) -> str:
        """The layers of the architecture that a config has exchanged, in words."""
        return ""

    @property
    def output_kind(self) -> str:
        """The kind of the outputs: a name of `models.OUTPUTS`, or a user's own kind.

        The task of the run must have an equal `output_kind`.
        """
        return "logits"

    @property
    def gives(self) -> Mapping[str, Any]:
        """Facts about the network beside its output kind; see `core.fit`."""
        return {}

    @property
    def takes(self) -> Sequence[fit.Need]:
        """Requirements of the network on the other parts of a run; see `core.fit`."""
        return ()


def described(model: nn.Module) -> Network:
    """Returns the model if it is a `Network`, else a `Network` with the defaults."""
    return model if isinstance(model, Network) else Network(parent=None)


def is_head(model: nn.Module, module: str) -> bool:
    """Returns whether the module with this name belongs to the model's head."""
    return re.fullmatch(described(model).head_modules, module) is not None
