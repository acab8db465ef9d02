"""Squeeze-and-excitation: channels weighted by the map's content (Hu et al. 2018)."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cnn_jax.core.errors import UserError
from cnn_jax.layers.dense import Dense
from cnn_jax.layers.pooling import GlobalAvgPool

Maps = Float[Array, "batch *space channels"]


class SqueezeExcitation(nn.Module):
    """Multiplies each channel by a gate between 0 and 1, computed from channel means.

        x * sigmoid(W2 relu(W1 mean(x) + b1) + b2)

    Hu et al. 2018, "Squeeze-and-Excitation Networks", equations 2 to 4, for any number
    of spatial dimensions. The means and the gate are computed in float32, which costs
    little because they are vectors. The output has the input's dtype. Module names:
    `pool`, `reduce`, `expand`.

    Attributes:
      reduction: the paper's r: `reduce` has channels / r units, rounded down, but at
        least one.

    Raises:
      UserError: `reduction` is below 1.
    """

    reduction: int = 16

    def __post_init__(self):
        if self.reduction < 1:
            raise UserError(f"reduction={self.reduction} must be at least 1.")
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Maps) -> Maps:
        channels = x.shape[-1]
        hidden = max(channels // self.reduction, 1)
        z = GlobalAvgPool(name="pool")(x.astype(jnp.float32))
        z = nn.relu(Dense(hidden, name="reduce")(z))
        gate = nn.sigmoid(Dense(channels, name="expand")(z))
        ones = (1,) * (x.ndim - 2)
        return x * gate.reshape(-1, *ones, channels).astype(x.dtype)
