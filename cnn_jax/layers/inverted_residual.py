"""The inverted residual block (Sandler et al. 2018, "MobileNetV2: Inverted Residuals
and Linear Bottlenecks", section 3.3)."""

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax.layers.activation import Activation
from cnn_jax.layers.convolution import depthwise_normal
from cnn_jax.layers.norms import NormDef, normalized
from cnn_jax.layers.residual import ModuleDef
from cnn_jax.layers.windows import Size, per_dimension


class InvertedResidual(nn.Module):
    """A 1x1 convolution to many channels, a 3x3 depthwise convolution, and a 1x1
    convolution back to few channels.

    Normalization follows all three convolutions, and the activation follows the first
    two. The last convolution is linear, since ReLU would lose information if there are
    few channels. The shortcut adds the block's input, with few channels, to its output.
    Module names: `expand_conv`, `expand_norm`, `depthwise_conv`, `depthwise_norm`,
    `project_conv`, `project_norm`.

    Attributes:
      features: output channels.
      conv, norm: make a convolution and a normalization, as in `layers.residual`.
      expand_ratio: channels of the depthwise convolution divided by the input's; with 1
        the first convolution is left out.
      strides: strides of the depthwise convolution.
      dilation: dilation of the depthwise convolution.
      shortcut: add the input, if the output has its shape. Set it to false in a block
        that dilates instead of striding, because the strided block has no shortcut.
    """

    features: int
    conv: ModuleDef
    norm: NormDef | None
    expand_ratio: int = 6
    strides: Size = 1
    dilation: Size = 1
    shortcut: bool = True
    activation: Activation = nn.relu6

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch out_height out_width out_channels"]:
        hidden = x.shape[-1] * self.expand_ratio
        y = x
        if self.expand_ratio != 1:
            y = self.conv(hidden, 1, padding=0, name="expand_conv")(y)
            y = self.activation(normalized(self.norm, y, "expand_norm"))
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
        y = self.activation(normalized(self.norm, y, "depthwise_norm"))
        y = self.conv(self.features, 1, padding=0, name="project_conv")(y)
        y = normalized(self.norm, y, "project_norm")
        same = x.shape[-1] == self.features and set(
            per_dimension(self.strides, x.ndim - 2)
        ) == {1}
        return x + y if self.shortcut and same else y
