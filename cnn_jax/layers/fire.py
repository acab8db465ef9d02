"""The fire module (Iandola et al. 2016, "SqueezeNet: AlexNet-level accuracy with 50x
fewer parameters and <0.5MB model size", section 3.2)."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cnn_jax.layers.activation import Activation
from cnn_jax.layers.norms import NormDef, normalized
from cnn_jax.layers.residual import ModuleDef
from cnn_jax.layers.windows import Size


class Fire(nn.Module):
    """A 1x1 convolution to few maps, then a 1x1 and a 3x3 convolution side by side.

    Each convolution is followed by the normalization, if any, and by the activation.
    The outputs of the last two are concatenated, the 1x1 convolution's first. Module
    names: `squeeze`, `expand1x1`, `expand3x3`; with normalization also `squeeze_norm`,
    ....

    Attributes:
      squeeze: channels of the first convolution; with fewer than the input has, the 3x3
        convolution needs fewer parameters and operations.
      expand1x1, expand3x3: channels of the 1x1 and of the 3x3 convolution side by side;
        the output has the sum of both.
      conv: makes a convolution, a partial of `Conv`.
      dilation: dilation of the 3x3 convolution.
      norm: makes the normalization of each convolution; None leaves it out.
      activation: the non-linearity.
    """

    squeeze: int
    expand1x1: int
    expand3x3: int
    conv: ModuleDef
    dilation: Size = 1
    norm: NormDef | None = None
    activation: Activation = nn.relu

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch height width out_channels"]:

        def unit(x, features, kernel_size, dilation, name):
            padding = dilation if kernel_size > 1 else 0
            x = self.conv(
                features, kernel_size, padding=padding, dilation=dilation, name=name
            )(x)
            return normalized(self.norm, x, f"{name}_norm")

        x = self.activation(unit(x, self.squeeze, 1, 1, "squeeze"))
        pointwise = unit(x, self.expand1x1, 1, 1, "expand1x1")
        spatial = unit(x, self.expand3x3, 3, self.dilation, "expand3x3")
        branches = [self.activation(pointwise), self.activation(spatial)]
        return jnp.concatenate(branches, axis=-1)
