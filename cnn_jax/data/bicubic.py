"""Bicubic resizing as in the papers on super-resolution: MATLAB's `imresize`.

Published results depend on the exact values of `imresize`, and other libraries give
other values. OpenCV, and PyTorch without `antialias=True`, use a kernel with a = -0.75
instead of -0.5. When they shrink an image, they do not average over the covered pixels.
Pillow, and PyTorch with `antialias=True`, use the kernel of `imresize`. But at the
image border they cut off the kernel, whereas `imresize` mirrors the image.
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from cnn_jax.core.errors import UserError

Image = (
    UInt8[np.ndarray, "height width *channels"]
    | Float[np.ndarray, "height width *channels"]
)
Out = (
    UInt8[np.ndarray, "out_height out_width *channels"]
    | Float[np.ndarray, "out_height out_width *channels"]
)

SUPPORT = 4.0  # pixels that the kernel covers


def resize(image: Image, to: int | float | tuple[int, int]) -> Out:
    """Returns the resized image, as MATLAB's `imresize(image, to)`.

    Along each dimension, let the image have m pixels and the result n pixels, so the
    scale is s = n / m. Pixel i of the result lies at the position (i + 1/2) / s - 1/2
    in the image. Its value is the mean of the pixels around that position, weighted by
    the kernel (`cubic`). If s < 1, the kernel is stretched by 1 / s. Beyond its border,
    the image is continued by its mirror image, in which the border pixel is repeated.

    The dimension with the smaller scale is resized first, or the height if both scales
    are equal. The order matters for uint8 only: as in MATLAB, values are rounded
    (halves up) and clipped to 0..255 after each dimension. Floating-point images keep
    their dtype and are not clipped, so values near edges may leave the range of the
    image's values.

    Args:
      to: the scale of both dimensions (sizes are rounded up), or the size (height,
        width) of the result.

    Raises:
      UserError: a size or a scale is not positive.
    """
    height, width = image.shape[:2]
    if isinstance(to, tuple):
        size, scales = to, (to[0] / height, to[1] / width)
    else:
        size = math.ceil(height * to), math.ceil(width * to)
        scales = float(to), float(to)
    if min(scales) <= 0:
        raise UserError(
            f"an image of {height}x{width} cannot be resized to {to}: sizes and scales "
            "must be positive."
        )
    for axis in sorted((0, 1), key=lambda axis: scales[axis]):
        lines = np.moveaxis(image, axis, 0)
        flat = lines.reshape(len(lines), -1).astype(np.float64)
        flat = _weights(len(lines), size[axis], scales[axis]) @ flat
        if image.dtype == np.uint8:
            np.clip(flat, 0, 255, out=flat)
            flat += 0.5  # the conversion to uint8 then rounds
        flat = flat.astype(image.dtype).reshape(-1, *lines.shape[1:])
        image = np.moveaxis(flat, 0, axis)
    return np.ascontiguousarray(image)


def cubic(x: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Returns the values of the bicubic kernel with a = -1/2; zero for |x| >= 2.

    Equation 15 of Keys 1981, "Cubic Convolution Interpolation for Digital Image
    Processing".
    """
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


def _weights(before: int, after: int, scale: float) -> Any:
    """Returns the sparse matrix [after, before] that maps pixels to resized pixels.

    Args:
      before: the number of pixels along one dimension of the image.
      after: the number of pixels along this dimension of the resized image.
      scale: the scale of this dimension.
    """
    # The import takes a tenth of a second, so it is not at the top of the file.
    from scipy import sparse

    shrink = min(scale, 1.0)
    support = SUPPORT / shrink
    places = (np.arange(after) + 0.5) / scale - 0.5
    first = np.floor(places - support / 2)
    pixels = first[:, None] + np.arange(math.ceil(support) + 2)
    weights = cubic(shrink * (places[:, None] - pixels))
    weights /= weights.sum(axis=1, keepdims=True)
    mirrored = np.concatenate([np.arange(before), np.arange(before)[::-1]])
    columns = mirrored[pixels.astype(int) % len(mirrored)]
    rows = np.repeat(np.arange(after), pixels.shape[1])
    found = weights.ravel() != 0
    return sparse.csr_array(
        (weights.ravel()[found], (rows[found], columns.ravel()[found])),
        shape=(after, before),
    )
