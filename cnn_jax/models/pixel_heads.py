"""Heads that return a row of logits for each pixel.

Call these functions in a compact method. Their layers belong to the method's module.
"""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.nn.initializers import Initializer
from jaxtyping import Array, Float

from cnn_jax import layers
from cnn_jax.layers.context import in_frame
from cnn_jax.layers.residual import ModuleDef

Maps = Float[Array, "batch *space channels"]
ClassMaps = Float[Array, "batch *space classes"]
Drop = Callable[[Array], Array]

# The heads, with the default channels of their 3x3 convolutions. The first entry of
# "deeplab" is the channels of the pyramid, as in torchvision.
WIDTHS: dict[str, tuple[int, ...]] = {
    "fcn": (),
    "deeplab": (256, 256),
    "context": (),
    "large_context": (),
}
# Chen et al. 2017, section 4.1: (6, 12, 18), doubled for an output stride of 8.
RATES = (12, 24, 36)


def logits(
    head: str,
    x: Maps,
    classes: int,
    *,
    conv: ModuleDef,
    drop: Drop,
    size: Sequence[int],
    kernel_init: Initializer,
    width: Sequence[int] | None = None,
    rates: Sequence[int] | None = None,
) -> Float[Array, "batch *pixels classes"]:
    """Returns a head's logits of every pixel of the network's input.

    Module names: `aspp`, `head_conv1`, ..., `head`, `context`, `resize`.

    Args:
      head: a name of `WIDTHS`; see `Classifier`.
      conv: makes a convolution with normalization and ReLU, a partial of `ConvUnit`.
      drop: applies dropout, before the last layer or after the pyramid.
      size: the spatial size of the network's input.
      kernel_init: initializer of the last layer, or of the layer before the context
        module.
      width, rates: see `Classifier.head_width` and `Classifier.aspp_rates`.
    """
    width = WIDTHS[head] if width is None else width
    if head == "deeplab":
        features, *width = width
        x = drop(layers.ASPP(features, rates or RATES, conv, name="aspp")(x))
    for i, features in enumerate(width, start=1):
        x = conv(features, in_frame(3, x.ndim - 2), name=f"head_conv{i}")(x)
    context = head.endswith("context")
    # As for "conv_gap" in `Classifier`: at first ReLU lets all classes pass.
    bias_init = nn.initializers.ones if context else nn.initializers.zeros
    last = None if head == "deeplab" else drop
    x = class_maps(x, classes, last, kernel_init=kernel_init, bias_init=bias_init)
    if context:
        x = layers.ContextModule(head == "large_context", name="context")(x)
    if x.ndim - 2 > len(size):  # a still clip, made from one image
        x = x.mean(1)
    return layers.Resize(tuple(size), name="resize")(x)


def class_maps(
    x: Maps, classes: int, drop: Drop | None = None, **attributes: Any
) -> ClassMaps:
    """Returns one float32 map per class, by dropout and the 1x1 convolution `head`."""
    x = x.astype(jnp.float32)
    window = (1,) * (x.ndim - 2)
    head = layers.Conv(classes, window, name="head", **attributes)
    return head(drop(x) if drop else x)


class AuxiliaryHead(nn.Module):
    """The head "fcn" on a map inside the network, for the training loss.

    Its 3x3 convolution has a quarter of the map's channels, as in torchvision.

    Attributes:
      dropout: rate of the dropout before the last layer.
      conv, size, kernel_init: see `logits`.
    """

    num_classes: int
    conv: ModuleDef
    dropout: float
    train: bool
    size: Sequence[int]
    kernel_init: Initializer

    @nn.compact
    def __call__(self, x: Maps) -> Float[Array, "batch *pixels classes"]:
        return logits(
            "fcn",
            x,
            self.num_classes,
            conv=self.conv,
            drop=layers.Dropout(self.dropout, deterministic=not self.train),
            size=self.size,
            kernel_init=self.kernel_init,
            width=(max(x.shape[-1] // 4, 1),),
        )
