"""The inverted residual block (Sandler et al. 2018, "MobileNetV2: Inverted Residuals
and Linear Bottlenecks", section 3.3)."""

from collections.abc import Callable

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax.layers.convolution import depthwise_normal
from cnn_jax.layers.residual import ModuleDef
from cnn_jax.layers.windows import Size, per_dimension


class InvertedResidual(nn.Module):
    """1x1 convolution to many channels, 3x3 depthwise, and 1x1 back to few.

    All three are followed by a normalization, the first two by the activation: the
    last is linear, since ReLU would lose what few channels hold. The shortcut joins
    the narrow ends. Module names: `expand_conv`, `expand_norm`, `depthwise_conv`,
    `depthwise_norm`, `project_conv`, `project_norm`.

    Attributes:
      features: output channels.
      conv, norm: what makes a convolution and a normalization, as in
        `layers.residual`.
      expand_ratio: channels of the depthwise convolution to one of the input; at 1
        the first convolution is left out.
      strides: of the depthwise convolution.
      dilation: of the depthwise convolution.
      shortcut: whether the input is added where neither stride nor channels forbid
        it. A block that dilates in place of a stride has none to begin with.
    """

    features: int
    conv: ModuleDef
    norm: ModuleDef
    expand_ratio: int = 6
    strides: Size = 1
    dilation: Size = 1
    shortcut: bool = True
    activation: Callable[[Array], Array] = nn.relu6

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch out_height out_width out_channels"]:
        hidden = x.shape[-1] * self.expand_ratio
        y = x
        if self.expand_ratio != 1:
            y = self.conv(hidden, 1, padding=0, name="expand_conv")(y)
            y = self.activation(self.norm(name="expand_norm")(y))
        y = self.conv(
            hidden,
            3,
            self.strides,
            padding=self.dilation,
            dilation=self.dilation,
            groups=hidden,
            kernel_init=depthwise_normal,
            name="depthwise_conv",
        )(y)
        y = self.activation(self.norm(name="depthwise_norm")(y))
        y = self.conv(self.features, 1, padding=0, name="project_conv")(y)
        y = self.norm(name="project_norm")(y)
        same = x.shape[-1] == self.features and set(
            per_dimension(self.strides, x.ndim - 2)
        ) == {1}
        return x + y if self.shortcut and same else y
