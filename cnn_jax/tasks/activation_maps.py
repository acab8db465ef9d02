"""Boxes and pictures from the class activation maps of networks with head="cam".

Zhou et al. 2016, "Learning Deep Features for Discriminative Localization".
"""

import numpy as np
from jaxtyping import Float, UInt8

Map = Float[np.ndarray, "height width"]


def box(heat: Map, share: float) -> tuple[int, int, int, int]:
    """Returns the top, left, bottom and right of the largest region of high values.

    A region is a connected set of values above `share` times the largest value
    (section 3.2). Pixels that share a corner are connected. Bottom and right are the
    first row and column outside of the region. If no value is above zero, the box is
    the whole map.

    Args:
      heat: the class activation map.
      share: the threshold, as a fraction of the map's largest value.
    """
    from scipy import ndimage

    if not heat.max() > 0:
        return 0, 0, *heat.shape
    regions, _ = ndimage.label(heat > share * heat.max(), np.ones((3, 3)))
    largest = 1 + int(np.argmax(np.bincount(regions.ravel())[1:]))
    rows, columns = ndimage.find_objects(regions, largest)[largest - 1]
    return rows.start, columns.start, rows.stop, columns.stop


def overlay(
    image: UInt8[np.ndarray, "height width channels"], heat: Map
) -> UInt8[np.ndarray, "height width 3"]:
    """Returns the mean of the image and the colored map.

    The smallest value of the map is blue, the largest value is red.

    Args:
      image: a picture of the height and width of the map.
      heat: the class activation map.
    """
    from matplotlib import colormaps

    low, high = heat.min(), heat.max()
    scaled = (heat - low) / (high - low) if high > low else np.zeros_like(heat)
    colors = 255 * colormaps["jet"](scaled)[..., :3]
    return np.rint((colors + image) / 2).astype(np.uint8)
