"""Convolution as an explicit matrix product.

The product is the reference to which `convolve` is compared. `convolve` is faster and
needs less memory.
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from cnn_jax.kernels.windows import taps
from cnn_jax.layers import arithmetic
from cnn_jax.layers.windows import Padding, Size, explicit

Maps = Float[Array, "batch *space channels"]


def patches(
    x: Maps,
    window: Size,
    *,
    strides: Size = 1,
    padding: Padding = "SAME",
    dilation: Size = 1,
) -> Float[Array, "batch *out taps channels"]:
    """Returns the values under the window, for each position of the window.

    The taps of the window are in row-major order. The gradient of `taps` is cheap,
    unlike the gradient of `lax.conv_general_dilated_patches`. The arguments are the
    attributes of `Conv`.

    Raises:
      UserError: a size is impossible, or the window does not fit the padded input.
    """
    window, strides, padding, dilation = explicit(
        x.shape[1:-1], window, strides, padding, dilation, name="window"
    )
    x = jnp.pad(x, [(0, 0), *padding, (0, 0)])
    return jnp.stack(taps(x, window, strides, dilation), axis=-2)


def im2col(
    x: Maps,
    window: Size,
    *,
    strides: Size = 1,
    padding: Padding = "SAME",
    dilation: Size = 1,
) -> Float[Array, "batch weights positions"]:
    """Returns the matrix X of each example: a column for each position of the window.

    A column holds the values under the window, in the order of a kernel's weights
    (height, width, channels). A value under several positions is repeated. Arguments
    and errors are those of `patches`.
    """
    values = patches(x, window, strides=strides, padding=padding, dilation=dilation)
    batch, *out, taps, channels = values.shape
    return values.reshape(batch, math.prod(out), taps * channels).mT


def convolve_as_matrix_product(
    x: Maps,
    kernel: Float[Array, "*window channels_per_group features"],
    *,
    strides: Size = 1,
    padding: Padding = "SAME",
    dilation: Size = 1,
    groups: int = 1,
) -> Float[Array, "batch *out features"]:
    """Returns the convolution as the matrix product W^T X, one column of W per filter.

    X is the matrix of `im2col`. The result equals the result of `convolve`.

    Chellapilla et al. 2006, "High Performance Convolutional Neural Networks for
    Document Processing". Each group has its own product. The arguments are the
    attributes of `Conv`; errors are those of `patches`.
    """
    window, strides, padding, dilation = explicit(
        x.shape[1:-1], kernel.shape[:-2], strides, padding, dilation
    )
    out = [
        arithmetic.output_size(n, f, stride=s, padding=pair, dilation=d)
        for n, f, s, pair, d in zip(
            x.shape[1:-1], window, strides, padding, dilation, strict=True
        )
    ]
    maps = []
    for part, filters in zip(
        jnp.split(x, groups, axis=-1), jnp.split(kernel, groups, axis=-1), strict=True
    ):
        columns = im2col(
            part, window, strides=strides, padding=padding, dilation=dilation
        )
        weights = filters.reshape(-1, filters.shape[-1])
        maps.append(weights.T @ columns)
    y = jnp.concatenate(maps, axis=1)  # batch, features, positions
    return y.mT.reshape(x.shape[0], *out, kernel.shape[-1])
