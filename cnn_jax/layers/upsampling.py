"""Upsampling of maps and images by an integer factor."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cnn_jax.core.errors import UserError
from cnn_jax.layers.convolution import convolve
from cnn_jax.layers.described import UNCOUNTED, Described, Shape

Maps = Float[Array, "batch height width channels"]
Out = Float[Array, "batch out_height out_width features"]


def pixel_shuffle(x: Maps, scale: int) -> Out:
    """Moves channels to space.

    The scale^2 channels of a pixel become scale x scale pixels of one channel:

        y[n, h scale + i, w scale + j, c] = x[n, h, w, (c scale + i) scale + j]

    After a convolution, this makes the sub-pixel convolution of Shi et al. 2016,
    "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
    Convolutional Neural Network", equation 4, with the channels in the order of
    `torch.nn.PixelShuffle`.

    Raises:
      UserError: the scale is below 1, or its square does not divide the channels.
    """
    batch, height, width, channels = x.shape
    if scale < 1 or channels % scale**2:
        raise UserError(
            f"PixelShuffle: scale={scale} must be at least 1, and its square must "
            f"divide the number of input channels, {channels}."
        )
    x = x.reshape(batch, height, width, -1, scale, scale)
    x = x.transpose(0, 1, 4, 2, 5, 3)
    return x.reshape(batch, height * scale, width * scale, -1)


class PixelShuffle(Described, nn.Module):
    """`pixel_shuffle` as a module."""

    scale: int

    def __call__(self, x: Maps) -> Out:
        return pixel_shuffle(x, self.scale)

    @nn.nowrap
    def explain(self, in_shape: Shape, out_shape: Shape) -> tuple[str, str]:
        before, scale = in_shape[-1], self.scale
        return (
            "Pixel Shuffle",
            f"{before} channels to {scale}x{scale} pixels; "
            f"{before}/({scale}*{scale}) = {out_shape[-1]}",
        )


def upsample_nearest(x: Maps, scale: int = 2) -> Out:
    """Repeats every pixel `scale` times along height and width."""
    return x.repeat(scale, 1).repeat(scale, 2)


def upsample_bicubic(x: Maps, scale: int) -> Out:
    """Enlarges maps by `scale` with bicubic interpolation and a mirrored border.

    The values equal the values of `data.bicubic.resize` and of MATLAB. Each input pixel
    becomes `scale` outputs along a dimension; output p of them lies (p + 1/2) / scale -
    1/2 from the pixel. An output weights the neighboring pixels by the kernel of Keys
    1981 with a = -1/2. So the interpolation is one convolution with scale^2 fixed
    kernels, followed by `pixel_shuffle`.

    Raises:
      UserError: the scale is below 1.
    """
    channels = x.shape[-1]
    if scale < 1:
        raise UserError(f"scale={scale} must be at least 1.")
    if scale == 1:
        return x
    places = (np.arange(scale) + 0.5) / scale - 0.5
    distance = np.abs(places[:, None] - np.arange(-2, 3))
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    weights = np.where(distance <= 1, near, np.where(distance <= 2, far, 0))
    kernel = np.einsum("ik,jl->klij", weights, weights).reshape(5, 5, 1, scale**2)
    with jax.named_scope(UNCOUNTED):
        y = convolve(
            jnp.pad(x, [(0, 0), (2, 2), (2, 2), (0, 0)], mode="symmetric"),
            jnp.asarray(np.tile(kernel, channels), x.dtype),
            strides=(1, 1),
            padding=((0, 0), (0, 0)),
            dilation=(1, 1),
            groups=channels,
        )
    return pixel_shuffle(y, scale)
