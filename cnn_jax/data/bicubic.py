"""Bicubic resizing as the papers on super-resolution have it: MATLAB's `imresize`.

The figures of papers hold for its values. Other libraries have others: the kernels of
OpenCV, and of PyTorch without `antialias=True`, have a = -0.75 where this one has -0.5,
and do not average where they shrink. Those of Pillow, and of PyTorch with it, are the
same, but end at the border, where this mirrors the image.
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
    """The image in another size, by MATLAB's `imresize(image, to)`.

    Along each dimension, output i of n lies at (i + 1/2) / s - 1/2 among the m pixels
    of the image, where s = n / m is the scale. It is the mean of the pixels around that
    place, weighted by the kernel (`cubic`), which where s < 1 is 1 / s times as wide.
    The image is mirrored at its border, with the border's pixels twice.

    The dimension of the smaller scale comes first, the height where both are alike.
    That matters for uint8 alone: as MATLAB does, values are rounded, halves up, and cut
    off at 0 and 255 behind each dimension. Floating-point images are not cut off, so
    that values may leave the range of the image's at edges; they keep their dtype.

    Args:
      to: the scale of both dimensions, whose sizes are rounded up, or (height, width).

    Raises:
      UserError: a size or a scale of zero or below.
    """
    height, width = image.shape[:2]
    if isinstance(to, tuple):
        size, scales = to, (to[0] / height, to[1] / width)
    else:
        size = math.ceil(height * to), math.ceil(width * to)
        scales = float(to), float(to)
    if min(scales) <= 0:
        raise UserError(f"an image of {height}x{width} cannot be resized to {to}.")
    for axis in sorted((0, 1), key=lambda axis: scales[axis]):
        lines = np.moveaxis(image, axis, 0)
        flat = lines.reshape(len(lines), -1).astype(np.float64)
        flat = _weights(len(lines), size[axis], scales[axis]) @ flat
        if image.dtype == np.uint8:
            np.clip(flat, 0, 255, out=flat)
            flat += 0.5  # rounds, as the conversion cuts the fraction off
        flat = flat.astype(image.dtype).reshape(-1, *lines.shape[1:])
        image = np.moveaxis(flat, 0, axis)
    return np.ascontiguousarray(image)


def cubic(x: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """The kernel of Keys 1981, "Cubic Convolution Interpolation for Digital Image
    Processing", equation 15: that of a = -1/2, zero from |x| = 2 on."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


def _weights(before: int, after: int, scale: float) -> Any:
    """What each of `after` outputs takes of `before` pixels, as a sparse matrix."""
    # Not at the top: it takes a tenth of a second, which no other part needs.
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
