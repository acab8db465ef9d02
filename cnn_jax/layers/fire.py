"""The fire module (Iandola et al. 2016, "SqueezeNet: AlexNet-level accuracy with 50x
fewer parameters and <0.5MB model size", section 3.2)."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cnn_jax.layers.residual import ModuleDef
from cnn_jax.layers.windows import Size


class Fire(nn.Module):
    """A 1x1 convolution to few maps, then a 1x1 and a 3x3 convolution side by side.

    ReLU follows each convolution. The outputs of the last two are concatenated, the 1x1
    convolution's first. Module names: `squeeze`, `expand1x1`, `expand3x3`.

    Attributes:
      squeeze: channels of the first convolution; with fewer than the input has, the 3x3
        convolution needs fewer parameters and operations.
      expand1x1, expand3x3: channels of the 1x1 and of the 3x3 convolution side by side;
        the output has the sum of both.
      conv: makes a convolution, a partial of `Conv`.
      dilation: dilation of the 3x3 convolution.
    """

    squeeze: int
    expand1x1: int
    expand3x3: int
    conv: ModuleDef
    dilation: Size = 1

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch height width out_channels"]:
        x = nn.relu(self.conv(self.squeeze, 1, padding=0, name="squeeze")(x))
        pointwise = self.conv(self.expand1x1, 1, padding=0, name="expand1x1")(x)
        spatial = self.conv(
            self.expand3x3,
            3,
            padding=self.dilation,
            dilation=self.dilation,
            name="expand3x3",
        )(x)
        return jnp.concatenate([nn.relu(pointwise), nn.relu(spatial)], axis=-1)
