"""Convolutions with the coordinates of each pixel as additional inputs."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cnn_jax.layers.convolution import ConvLike, computation_dtype
from cnn_jax.layers.described import Shape

Maps = Float[Array, "batch *space channels"]
Out = Float[Array, "batch *out features"]


def coordinates(space: Shape, *, radius: bool = False) -> Float[Array, "*space axes"]:
    """Returns the coordinates of each pixel along each dimension.

    A coordinate runs from -1 at the first pixel to 1 at the last pixel, and is 0 if
    there is only one pixel. With `radius`, another channel holds the distance from the
    center: the square root of the sum of the squared coordinates.
    """
    lines = [jnp.linspace(-1, 1, n) if n > 1 else jnp.zeros(1) for n in space]
    axes = jnp.stack(jnp.meshgrid(*lines, indexing="ij"), axis=-1)
    if not radius:
        return axes
    return jnp.concatenate([axes, jnp.linalg.norm(axes, axis=-1, keepdims=True)], -1)


class CoordConv(ConvLike):
    """A convolution of the input together with the coordinates of each pixel.

    Liu et al. 2018, "An Intriguing Failing of Convolutional Neural Networks and the
    CoordConv Solution". The `coordinates` are additional input channels after the
    channels of the input, so the layer can depend on the position or learn to ignore
    the position. `groups` splits the channels of the input and the coordinates
    together. The layer also has the parameters, attributes and errors of `Conv`.

    Attributes:
      radius: add the distance from the center as another channel.
    """

    radius: bool = False

    @nn.compact
    def __call__(self, x: Maps) -> Out:
        dtype = computation_dtype(self.dtype, x)
        added = coordinates(x.shape[1:-1], radius=self.radius).astype(dtype)
        added = jnp.broadcast_to(added, (*x.shape[:-1], added.shape[-1]))
        x = jnp.concatenate([x.astype(dtype), added], axis=-1)
        return self.convolution(x, self.features, self.groups)

    @nn.nowrap
    def macs(self, in_shape: Shape, out_shape: Shape) -> int:
        return super().macs(self._with_coordinates(in_shape), out_shape)

    @nn.nowrap
    def explain(self, in_shape: Shape, out_shape: Shape) -> tuple[str, str]:
        kind, words = super().explain(self._with_coordinates(in_shape), out_shape)
        return f"Coordinate {kind}", words

    @nn.nowrap
    def _with_coordinates(self, in_shape: Shape) -> Shape:
        """Returns the shape of the input with the coordinates."""
        *space, channels = in_shape
        return (*space, channels + len(space) + self.radius)
