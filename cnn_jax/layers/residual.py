"""Residual blocks (He et al. 2016, "Deep Residual Learning for Image Recognition"),
with and without pre-activation (He et al. 2016, "Identity Mappings in Deep Residual
Networks").

Blocks take `conv` and `norm`, which the network makes once. `conv` is a partial of
`Conv`, with a bias only in a network without normalization. `norm` is a result of
`layers.norm`. Blocks work on images; with a `conv` over three dimensions they work on
clips. All padding is explicit:
dilation * (kernel_size // 2) at both ends, as in PyTorch. At stride 2, "SAME" would
give an equal shape but other values.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cnn_jax.core.errors import UserError, unknown
from cnn_jax.layers.activation import Activation
from cnn_jax.layers.naming import named, where
from cnn_jax.layers.norms import NormDef, normalized
from cnn_jax.layers.pooling import AvgPool
from cnn_jax.layers.windows import Size, per_dimension

ModuleDef = Callable[..., nn.Module]
Map = Float[Array, "batch *space channels"]
Out = Float[Array, "batch *out out_channels"]

SHORTCUTS = ("projection", "average", "identity", "zero")


def identity_shortcut(x: Map, features: int, strides: Size) -> Out:
    """Returns the shortcut without parameters (option A of He et al. 2016).

    The shortcut takes every `strides`-th pixel, and fills additional channels with
    zeros.

    Raises:
      UserError: there are fewer `features` than channels.
    """
    rank = x.ndim - 2
    space = (slice(None, None, s) for s in per_dimension(strides, rank))
    new = features - x.shape[-1]
    if new < 0:
        raise UserError(
            f"an identity shortcut cannot reduce the number of channels from "
            f"{x.shape[-1]} to {features}: set shortcut='projection'."
        )
    return jnp.pad(x[:, *space], [(0, 0)] * (rank + 1) + [(0, new)])


class _ResidualBlock(nn.Module):
    """The base class of residual blocks, with their attributes, shortcut and sum.

    Attributes:
      features: channels of the 3x3 convolutions, before `width_per_group` scales this
        number; the block's output has `expansion` times as many.
      conv, norm: make a convolution and a normalization; `norm` is None in a network
        without normalization.
      strides: strides of the whole block.
      dilation: dilation of the 3x3 convolutions up to and including the one with the
        stride.
      next_dilation: dilation of the 3x3 convolutions after the one with the stride. It
        is larger than `dilation` in a block that dilates instead of striding. None is
        `dilation`.
      shortcut: the shortcut if strides or channels change the shape: "projection"
        (option B: 1x1 convolution and normalization), "average" (a projection without
        strides, after average pooling over windows as large as the strides: 2x2), or
        "identity" (option A: no parameters). "zero" leaves out all shortcuts, as in a
        plain network.
      zero_init: the last normalization starts with scale zero, so that the block starts
        as its shortcut (Goyal et al. 2017, section 5.1). Without normalization, the
        last convolution starts at zero.
      drop: makes the layer that drops the branch at random in training
        (`StochasticDepth`); None leaves it out.
      activation: the non-linearity.

    Raises:
      UserError: the shortcut is unknown, or is an identity to fewer channels.
    """

    features: int
    conv: ModuleDef
    norm: NormDef | None
    strides: Size = 1
    dilation: Size = 1
    next_dilation: Size | None = None
    shortcut: str = "projection"
    zero_init: bool = False
    drop: ModuleDef | None = None
    activation: Activation = nn.relu

    def __post_init__(self):
        if self.shortcut not in SHORTCUTS:
            raise unknown("shortcut", self.shortcut, SHORTCUTS)
        super().__post_init__()

    def conv3x3(self, features: int, dilation: Size, **attributes) -> nn.Module:
        """Returns a convolution with a window of 3 along each dimension.

        At stride 1 its padding keeps the size of the map.
        """
        return self.conv(features, 3, padding=dilation, dilation=dilation, **attributes)

    def normalize(self, x: Map, name: str, **attributes: Any) -> Map:
        """Applies the normalization `name`, if the block has normalization."""
        return normalized(self.norm, x, name, **attributes)

    @property
    def last_scale(self) -> dict[str, Any]:
        """Attributes of the last normalization."""
        return {"scale_init": nn.initializers.zeros} if self.zero_init else {}

    @property
    def last_init(self) -> dict[str, Any]:
        """Attributes of the last convolution."""
        starts_at_zero = self.zero_init and self.norm is None
        return {"kernel_init": nn.initializers.zeros} if starts_at_zero else {}

    def keeps(self, x: Map, features: int) -> bool:
        """Returns whether the block keeps the shape of `x`, for inputs of any size."""
        strides = per_dimension(self.strides, x.ndim - 2)
        return x.shape[-1] == features and set(strides) == {1}

    def shortcut_of(self, x: Map, features: int) -> Out:
        """Returns `x` in the shape of the block's output."""
        if self.keeps(x, features):
            return x
        if self.shortcut == "identity":
            with named(where(self)):
                return identity_shortcut(x, features, self.strides)
        return self.normalize(self.projection(x, features), "shortcut_norm")

    def projection(self, x: Map, features: int) -> Out:
        """Applies the shortcut's convolution, and its average pooling if any."""
        strides = self.strides
        if self.shortcut == "average":
            x, strides = self.averaged(x), 1
        return self.conv(features, 1, strides=strides, padding=0, name="shortcut_conv")(
            x
        )

    def averaged(self, x: Map) -> Float[Array, "batch *out channels"]:
        """Returns `x` averaged over windows to the size of the block's output.

        He et al. 2019, "Bag of Tricks for Image Classification with Convolutional
        Neural Networks", ResNet-D. Windows are as large as the strides, or as the
        strides that dilation replaces. The last window is cut off at the end of the
        map.
        """
        sizes = (self.strides, self.dilation, self.next_dilation or self.dilation)
        strides, dilation, behind = (per_dimension(n, x.ndim - 2) for n in sizes)
        window = tuple(
            stride * after // before
            for stride, before, after in zip(strides, dilation, behind, strict=True)
        )
        if max(window) == 1:
            return x
        end = tuple((0, (n - 1) * d) for n, d in zip(window, dilation, strict=True))
        return AvgPool(
            window,
            strides,
            end,
            dilation,
            count_include_pad=False,
            name="shortcut_pool",
        )(x)

    def add(self, x: Map, branch: Out) -> Out:
        """Returns the sum of the branch and the shortcut of `x`."""
        if self.drop is not None:
            branch = self.drop(name="drop")(branch)
        if self.shortcut == "zero":
            return branch
        return self.shortcut_of(x, branch.shape[-1]) + branch


class BasicBlock(_ResidualBlock):
    """Two 3x3 convolutions and a shortcut (figure 5, left); see `_ResidualBlock`."""

    expansion: ClassVar[int] = 1

    @nn.compact
    def __call__(self, x: Map) -> Out:
        y = self.conv3x3(
            self.features, self.dilation, strides=self.strides, name="conv1"
        )(x)
        y = self.activation(self.normalize(y, "norm1"))
        behind = self.next_dilation or self.dilation
        y = self.conv3x3(self.features, behind, name="conv2", **self.last_init)(y)
        y = self.normalize(y, "norm2", **self.last_scale)
        return self.activation(self.add(x, y))


class Bottleneck(_ResidualBlock):
    """A 1x1, a 3x3 and a 1x1 convolution, and a shortcut (figure 5, right).

    The stride is in the 3x3 convolution ("v1.5", as in torchvision and NVIDIA's
    recipes); in the paper it is in the first 1x1 convolution.

    Attributes:
      groups: groups of the 3x3 convolution (Xie et al. 2017, ResNeXt: the cardinality).
      width_per_group: channels of each group of the 3x3 convolution if `features` is
        64; the channels grow in proportion to `features`. With one group, 64 is the
        ordinary ResNet and 128 the wide ResNet of Zagoruyko and Komodakis 2016.
    """

    groups: int = 1
    width_per_group: int = 64
    expansion: ClassVar[int] = 4

    @nn.compact
    def __call__(self, x: Map) -> Out:
        y = self.squeeze(x)
        y = self.activation(self.normalize(y, "norm1"))
        y = self.grouped3x3(y)
        y = self.activation(self.normalize(y, "norm2"))
        features = self.features * self.expansion
        y = self.conv(features, 1, padding=0, name="conv3", **self.last_init)(y)
        y = self.normalize(y, "norm3", **self.last_scale)
        return self.activation(self.add(x, y))

    @property
    def width(self) -> int:
        """Channels of the 3x3 convolution."""
        return self.features * self.width_per_group // 64 * self.groups

    def squeeze(self, x: Map) -> Out:
        """Applies the first 1x1 convolution."""
        return self.conv(self.width, 1, padding=0, name="conv1")(x)

    def grouped3x3(self, x: Map) -> Out:
        """Applies the 3x3 convolution, which has the stride."""
        return self.conv3x3(
            self.width,
            self.dilation,
            strides=self.strides,
            groups=self.groups,
            name="conv2",
        )(x)


class _PreActivation(_ResidualBlock):
    """The base class of blocks with pre-activation (figure 4e of "Identity Mappings").

    Normalization and activation precede each convolution, and nothing follows the sum,
    so a signal can pass all blocks of a stage unchanged. If the shape changes, the
    shortcut starts after the first activation, and its projection has no normalization.
    `zero_init` starts the last convolution at zero, not the scale of the last
    normalization: ReLU would block all gradients after a scale of zero.

    Attributes:
      activated: the input is already normalized and activated, so the first convolution
        takes it directly. This holds for the first block (the paper's appendix).
    """

    activated: bool = False

    def activate(self, x: Map, name: str) -> Map:
        """Applies normalization and activation."""
        return self.activation(self.normalize(x, name))

    def first(self, x: Map) -> Map:
        """Returns the input of the first convolution."""
        return x if self.activated else self.activate(x, "norm1")

    @property
    def last_init(self) -> dict[str, Any]:
        return {"kernel_init": nn.initializers.zeros} if self.zero_init else {}

    def shortcut_of(self, x: Map, features: int) -> Out:
        if self.keeps(x, features) or self.shortcut == "identity":
            return super().shortcut_of(x, features)
        return self.projection(x, features)


class PreActBasicBlock(_PreActivation, BasicBlock):
    """Two 3x3 convolutions, each after normalization and ReLU; see
    `_PreActivation`."""

    @nn.compact
    def __call__(self, x: Map) -> Out:
        active = self.first(x)
        y = self.conv3x3(
            self.features, self.dilation, strides=self.strides, name="conv1"
        )(active)
        behind = self.next_dilation or self.dilation
        y = self.conv3x3(self.features, behind, name="conv2", **self.last_init)(
            self.activate(y, "norm2")
        )
        return self.add(x if self.keeps(x, y.shape[-1]) else active, y)


class PreActBottleneck(_PreActivation, Bottleneck):
    """A 1x1, a 3x3 and a 1x1 convolution, each after normalization and ReLU; see
    `_PreActivation` and `Bottleneck`.
    """

    @nn.compact
    def __call__(self, x: Map) -> Out:
        active = self.first(x)
        y = self.squeeze(active)
        y = self.grouped3x3(self.activate(y, "norm2"))
        features = self.features * self.expansion
        y = self.conv(features, 1, padding=0, name="conv3", **self.last_init)(
            self.activate(y, "norm3")
        )
        return self.add(x if self.keeps(x, y.shape[-1]) else active, y)
