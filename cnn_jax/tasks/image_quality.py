"""How near one image is to another, as papers on restoring images measure it.

On the luma of 8-bit images (`data.colors.luma`), without a border of as many pixels as
the image was made larger by: what lies there depends on how each network pads.
"""

import math

import numpy as np
from jaxtyping import Real

from cnn_jax.core import extras
from cnn_jax.core.errors import UserError

PEAK = 255.0
WINDOW = 11  # of SSIM

Plane = Real[np.ndarray, "height width"]


def psnr(a: Plane, b: Plane, border: int) -> float:
    """Peak signal-to-noise ratio in dB, 10 log10(255^2 / mean((a - b)^2)), of values
    from 0 to 255; infinite where the images are the same.

    Args:
      border: pixels that are left out on each side.

    Raises:
      UserError: the border leaves nothing.
    """
    error = np.mean((_inside(a, border) - _inside(b, border)) ** 2)
    return 10 * math.log10(PEAK**2 / error) if error else math.inf


def ssim(a: Plane, b: Plane, border: int) -> float:
    """Structural similarity of values from 0 to 255 (Wang et al. 2004, "Image Quality
    Assessment: From Error Visibility to Structural Similarity", equation 13).

    Its mean over all places of an 11x11 Gaussian window of standard deviation 1.5 that
    lie inside the image, with K1 = 0.01 and K2 = 0.03.

    Args:
      border: pixels that are left out on each side.

    Raises:
      UserError: the border leaves less than the window.
    """
    # Not at the top: the library loads for a fifth of a second.
    metrics = extras.need("skimage.metrics", "enhancement", "structural similarity")
    return float(
        metrics.structural_similarity(
            _inside(a, border, WINDOW),
            _inside(b, border, WINDOW),
            gaussian_weights=True,  # of 11x11, cut off at 3.5 standard deviations
            sigma=1.5,
            use_sample_covariance=False,
            data_range=PEAK,
        )
    )


def _inside(image: Plane, border: int, least: int = 1) -> np.ndarray:
    """The image without its border, in float64."""
    height, width = image.shape
    if min(height, width) - 2 * border < least:
        raise UserError(
            f"an image of {height}x{width} without a border of {border} pixels is "
            f"smaller than {least}x{least}: it cannot be compared."
        )
    inner = image[border : height - border, border : width - border]
    return inner.astype(np.float64)
