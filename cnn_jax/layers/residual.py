"""Residual blocks (He et al. 2016, "Deep Residual Learning for Image Recognition").

Blocks take `conv` and `norm`, made once by the network: partials of `Conv`
(without bias) and `BatchNorm` that already know dtype and mode. All padding is
explicit, dilation * (kernel_size // 2) at both ends, as in PyTorch: at stride 2
"SAME" has the same shape but other values.
"""

from collections.abc import Callable
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

ModuleDef = Callable[..., nn.Module]
Map = Float[Array, "batch height width channels"]
Out = Float[Array, "batch out_height out_width out_channels"]

SHORTCUTS = ("projection", "identity")


def identity_shortcut(x: Map, features: int, strides: int) -> Out:
    """Option A of He et al.: every `strides`-th pixel, new channels zero."""
    x = x[:, ::strides, ::strides]
    return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, features - x.shape[-1])))


class _ResidualBlock(nn.Module):
    """What the blocks share: attributes, shortcut and sum.

    Attributes:
      features: channels of the 3x3 convolution before `width_per_group` scales it;
        the block's output has `expansion` times as many.
      conv, norm: what makes a convolution and a normalisation.
      strides: of the whole block.
      dilation: of the 3x3 convolutions.
      first_dilation: of the first 3x3 convolution, where it differs: in the first
        block of a stage that dilates instead of striding it is the dilation of the
        stage before. None is `dilation`.
      shortcut: where the shape changes, "projection" (option B: 1x1 convolution
        and normalisation) or "identity" (option A: no parameters).
      zero_init: the last normalisation starts with scale zero, so that the block
        starts as its shortcut (Goyal et al. 2017, section 5.1).
    """

    features: int
    conv: ModuleDef
    norm: ModuleDef
    strides: int = 1
    dilation: int = 1
    first_dilation: int | None = None
    shortcut: str = "projection"
    zero_init: bool = False

    def last_norm(self, name: str) -> nn.Module:
        init = nn.initializers.zeros if self.zero_init else nn.initializers.ones
        return self.norm(scale_init=init, name=name)

    def add_shortcut(self, x: Map, y: Out) -> Out:
        if x.shape != y.shape and self.shortcut == "identity":
            x = identity_shortcut(x, y.shape[-1], self.strides)
        elif x.shape != y.shape:
            x = self.conv(
                y.shape[-1], 1, strides=self.strides, padding=0, name="shortcut_conv"
            )(x)
            x = self.norm(name="shortcut_norm")(x)
        return nn.relu(x + y)


class BasicBlock(_ResidualBlock):
    """Two 3x3 convolutions and a shortcut (figure 5, left); see `_ResidualBlock`."""

    expansion: ClassVar[int] = 1

    @nn.compact
    def __call__(self, x: Map) -> Out:
        d1, d2 = self.first_dilation or self.dilation, self.dilation
        y = self.conv(
            self.features, 3, self.strides, padding=d1, dilation=d1, name="conv1"
        )(x)
        y = nn.relu(self.norm(name="norm1")(y))
        y = self.conv(self.features, 3, padding=d2, dilation=d2, name="conv2")(y)
        y = self.last_norm("norm2")(y)
        return self.add_shortcut(x, y)


class Bottleneck(_ResidualBlock):
    """1x1, 3x3 and 1x1 convolution and a shortcut (figure 5, right).

    The stride is in the 3x3 convolution ("v1.5", as in torchvision and NVIDIA's
    recipes), where the paper has it in the first 1x1.

    Attributes:
      groups: of the 3x3 convolution (Xie et al. 2017, ResNeXt: the cardinality).
      width_per_group: channels of each of its groups where `features` is 64; they
        grow with `features` (64 with one group is the ordinary ResNet, 128 the
        wide one of Zagoruyko and Komodakis 2016).
    """

    groups: int = 1
    width_per_group: int = 64
    expansion: ClassVar[int] = 4

    @nn.compact
    def __call__(self, x: Map) -> Out:
        width = self.features * self.width_per_group // 64 * self.groups
        d = self.first_dilation or self.dilation
        y = self.conv(width, 1, padding=0, name="conv1")(x)
        y = nn.relu(self.norm(name="norm1")(y))
        y = self.conv(
            width,
            3,
            self.strides,
            padding=d,
            dilation=d,
            groups=self.groups,
            name="conv2",
        )(y)
        y = nn.relu(self.norm(name="norm2")(y))
        y = self.conv(self.features * self.expansion, 1, padding=0, name="conv3")(y)
        y = self.last_norm("norm3")(y)
        return self.add_shortcut(x, y)
