"""Luma and chroma of 8-bit images, as MATLAB's `rgb2ycbcr` (ITU-R BT.601)."""

import numpy as np
from jaxtyping import UInt8

Picture = UInt8[np.ndarray, "height width channels"]

# Rows: Y, Cb, Cr; columns: red, green, blue; of values from 0 to 1, in units of 255.
MATRIX = np.array(
    [
        [65.481, 128.553, 24.966],
        [-37.797, -74.203, 112.0],
        [112.0, -93.786, -18.214],
    ]
)
OFFSET = np.array([16.0, 128.0, 128.0])


def luma(image: Picture) -> UInt8[np.ndarray, "height width"]:
    """Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255, rounded: from 16 to 235.

    A gray image, of one channel, is its own luma: that is how the published figures of
    Set14 come about, one picture of which is gray. As RGB, its range would shrink to
    16..235 and its PSNR rise by 1.3 dB.
    """
    return image[..., 0] if image.shape[-1] == 1 else ycbcr(image)[..., 0]


def ycbcr(image: UInt8[np.ndarray, "height width 3"]) -> Picture:
    """Luma and the two differences of colors, rounded."""
    return _rounded(image @ (MATRIX.T / 255) + OFFSET)


def rgb(image: UInt8[np.ndarray, "height width 3"]) -> Picture:
    """The opposite of `ycbcr`, but for rounding and what lies outside of its range."""
    return _rounded((image - OFFSET) @ np.linalg.inv(MATRIX.T / 255))


def _rounded(values: np.ndarray) -> Picture:
    return np.floor(values.clip(0, 255) + 0.5).astype(np.uint8)
