"""LeNet-5 (LeCun et al. 1998, "Gradient-Based Learning Applied to Document
Recognition")."""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from cnn_jax import layers
from cnn_jax.errors import UserError, unknown

POOLS = {"avg": layers.AvgPool, "max": layers.MaxPool}


class LeNet5(nn.Module):
    """Two convolutions with pooling, then three fully connected layers.

    On 32x32x1 images with 10 classes it has 61,706 parameters. As everywhere
    today, the second convolution sees all maps, pooling has no parameters, and the
    output is linear, where the paper has a table of connections, a trainable
    scale and radial basis functions. Weights start as in LeCun et al. 1998
    (variance 1/fan_in), biases at zero. Module names: `conv1`, `pool1`, `conv2`,
    `pool2`, `flatten`, `dense1`, `dense2`, `head`.

    The first fully connected layer takes as many inputs as the image leaves. The
    5x5 kernels need 32x32 images, or `padding`:

        32x32    (0, 0)    maps of 28, 14, 10, 5    61,706 parameters
        28x28    (2, 0)    maps of 28, 14, 10, 5    61,706 parameters
        8x8      (2, 2)    maps of  8,  4,  4, 2    21,386 parameters

    Attributes:
      padding: zeros around the input of each of the two convolutions.
      activation: a name of `layers.ACTIVATIONS`.
      pool: "avg", as in the paper, or "max".

    Raises:
      UserError: an unknown name, or an image too small for the padding.
    """

    num_classes: int
    padding: tuple[int, ...] = (0, 0)
    activation: str = "tanh"
    pool: str = "avg"
    dtype: DTypeLike | None = None

    def __post_init__(self):
        layers.activation(self.activation)
        if self.pool not in POOLS:
            raise unknown("pool", self.pool, POOLS)
        if len(self.padding) != 2:
            raise UserError(
                f"padding={tuple(self.padding)} needs two entries, one a convolution."
            )
        super().__post_init__()

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Float[Array, "batch classes"]:
        act = layers.activation(self.activation)
        pool = POOLS[self.pool]
        conv = partial(
            layers.Conv,
            kernel_size=5,
            kernel_init=nn.initializers.lecun_normal(),
            dtype=self.dtype,
        )
        dense = partial(layers.Dense, dtype=self.dtype)
        x = act(conv(6, padding=self.padding[0], name="conv1")(x))
        x = pool(2, name="pool1")(x)
        x = act(conv(16, padding=self.padding[1], name="conv2")(x))
        x = pool(2, name="pool2")(x)
        x = layers.Flatten(name="flatten")(x)
        x = act(dense(120, name="dense1")(x))
        x = act(dense(84, name="dense2")(x))
        return layers.Dense(self.num_classes, name="head")(x.astype(jnp.float32))
