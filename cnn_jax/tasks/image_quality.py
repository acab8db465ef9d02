"""PSNR and SSIM, as papers on image restoration measure them.

PSNR and SSIM are computed on the luma of 8-bit images (`data.colors.luma`). The border
of the images is left out, because pixels near the border depend on the network's
padding. Papers leave out as many pixels on each side as the factor by which the image
was enlarged.
"""

import math

import numpy as np
from jaxtyping import Real

from cnn_jax.core import extras
from cnn_jax.core.errors import UserError

PEAK = 255.0
WINDOW = 11  # the side of SSIM's window, in pixels

Plane = Real[np.ndarray, "height width"]


def psnr(a: Plane, b: Plane, border: int) -> float:
    """Returns the peak signal-to-noise ratio in dB, for values from 0 to 255.

    PSNR = 10 log10(255^2 / mean((a - b)^2)). PSNR is infinite if the images are equal.

    Args:
      a, b: the luma of the two images.
      border: the number of pixels that are left out on each side.

    Raises:
      UserError: the border leaves no pixels.
    """
    error = np.mean((_inside(a, border) - _inside(b, border)) ** 2)
    return 10 * math.log10(PEAK**2 / error) if error else math.inf


def ssim(a: Plane, b: Plane, border: int) -> float:
    """Returns the structural similarity (SSIM), for values from 0 to 255.

    Wang et al. 2004, "Image Quality Assessment: From Error Visibility to Structural
    Similarity", equation 13: the mean over all positions of an 11x11 Gaussian window
    inside the image. The window has a standard deviation of 1.5; K1 = 0.01 and
    K2 = 0.03.

    Args:
      a, b: the luma of the two images.
      border: the number of pixels that are left out on each side.

    Raises:
      UserError: the images without their border are smaller than the window.
    """
    # Imported here because the library takes a fifth of a second to load.
    metrics = extras.need("skimage.metrics", "enhancement", "structural similarity")
    return float(
        metrics.structural_similarity(
            _inside(a, border, WINDOW),
            _inside(b, border, WINDOW),
            gaussian_weights=True,  # an 11x11 window, cut off at 3.5 sigma
            sigma=1.5,
            use_sample_covariance=False,
            data_range=PEAK,
        )
    )


def _inside(image: Plane, border: int, least: int = 1) -> np.ndarray:
    """Returns the image without its border, in float64.

    Raises:
      UserError: a side without the border has fewer than `least` pixels.
    """
    height, width = image.shape
    if min(height, width) - 2 * border < least:
        raise UserError(
            f"an image of {height}x{width} is too small: without its border of "
            f"{border} pixels, the image must have at least {least}x{least} pixels. "
            "Use larger images."
        )
    inner = image[border : height - border, border : width - border]
    return inner.astype(np.float64)
