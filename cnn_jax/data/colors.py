"""Luma and chroma of 8-bit images, as in MATLAB's `rgb2ycbcr` (ITU-R BT.601)."""

import numpy as np
from jaxtyping import UInt8

Picture = UInt8[np.ndarray, "height width channels"]

# Rows: Y, Cb, Cr. Columns: red, green, blue, for values from 0 to 1. The results are in
# gray levels of 255.
MATRIX = np.array(
    [
        [65.481, 128.553, 24.966],
        [-37.797, -74.203, 112.0],
        [112.0, -93.786, -18.214],
    ]
)
OFFSET = np.array([16.0, 128.0, 128.0])


def luma(image: Picture) -> UInt8[np.ndarray, "height width"]:
    """Returns the luma Y of an RGB image, rounded, from 16 to 235.

    Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255. A gray image, with one channel, is
    returned unchanged, as for the published results on Set14: one picture of Set14 is
    gray. If this picture were treated as RGB, its range would shrink to 16..235, and
    its PSNR would rise by 1.3 dB.
    """
    return image[..., 0] if image.shape[-1] == 1 else ycbcr(image)[..., 0]


def ycbcr(image: UInt8[np.ndarray, "height width 3"]) -> Picture:
    """Returns the luma Y and the chroma Cb and Cr of an RGB image, rounded."""
    return _rounded(image @ (MATRIX.T / 255) + OFFSET)


def rgb(image: UInt8[np.ndarray, "height width 3"]) -> Picture:
    """Returns the RGB image of an image with the channels Y, Cb and Cr.

    This function inverts `ycbcr`, except for rounding and for clipping to 0..255.
    """
    return _rounded((image - OFFSET) @ np.linalg.inv(MATRIX.T / 255))


def _rounded(values: np.ndarray) -> Picture:
    return np.floor(values.clip(0, 255) + 0.5).astype(np.uint8)
