"""Where a network looks: class activation maps and what they localise.

Zhou et al. 2016, "Learning Deep Features for Discriminative Localization".
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Num, UInt8

from cnn_jax import layers, models
from cnn_jax.errors import UserError
from cnn_jax.models.classifier import Classifier

HEADS = ("gap", "conv_gap")
# Section 3.2: the region of values above so much of the map's largest.
SHARE = 0.2

Map = Float[np.ndarray, "height width"]
# Left, top, right and bottom in pixels; right and bottom are the first ones outside.
Box = tuple[int, int, int, int]
Boxes = Num[np.ndarray, "_ 4"]


def class_activation_maps(
    model: Classifier,
    variables: Any,
    images: Float[Array, "batch height width channels"],
    classes: Int[Array, " batch"],
) -> Float[Array, "batch map_height map_width"]:
    """Of each image the map of one class, in the size of the network's last map;
    `enlarged` brings it to that of the image.

    The channels of the last map added up with the weights that the head gives them for
    the class (equation 2). With head="gap" the mean of the map and the class's bias are
    the logit; with "conv_gap" it is the mean of what the activation makes of the map
    and the bias.

    Raises:
      UserError: another head, which has no weights for channels.
    """
    if model.head not in HEADS:
        raise UserError(
            f"head={model.head} has no class activation maps; head={HEADS[0]} and "
            f"head={HEADS[1]} do."
        )
    maps = models.features(model, variables, images)
    kernel = variables["params"]["head"]["kernel"]
    weights = kernel.reshape(kernel.shape[-2:])[:, classes]
    return jnp.einsum(
        "bhwc,cb->bhw", maps.astype(jnp.float32), weights, precision="highest"
    )


def enlarged(
    maps: Float[Array, "batch map_height map_width"], size: tuple[int, int]
) -> Float[Array, "batch height width"]:
    """The maps interpolated bilinearly to `size`, (height, width)."""
    return layers.resize_bilinear(maps[..., None], size=size)[..., 0]


def box(heat: Map) -> Box:
    """Around the largest connected region of values above a fifth of the largest one
    (section 3.2); pixels that share a corner are connected.

    The whole map, where no value is above zero.
    """
    from scipy import ndimage

    if heat.max() <= 0:
        return 0, 0, heat.shape[1], heat.shape[0]
    regions, _ = ndimage.label(heat > SHARE * heat.max(), np.ones((3, 3)))
    sizes = np.bincount(regions.ravel())
    rows, columns = np.nonzero(regions == 1 + np.argmax(sizes[1:]))
    return (
        int(columns.min()),
        int(rows.min()),
        int(columns.max()) + 1,
        int(rows.max()) + 1,
    )


def localization_error(
    boxes: Num[np.ndarray, "images 4"],
    objects: Sequence[Boxes],
    recognised: Bool[np.ndarray, " images"] | None = None,
) -> float:
    """The share of images whose box has an intersection over union below 1/2 with every
    object of the image's class.

    Args:
      boxes: one an image, as `box` returns them.
      objects: of each image the boxes of all objects of its class.
      recognised: whether the class that the box was made for is the image's; if given,
        a box for another class is wrong too (the top-1 localisation error of ILSVRC,
        Russakovsky et al. 2015, section 4.2).
    """
    right = np.array(
        [
            (_intersection_over_union(found, there) >= 0.5).any()
            for found, there in zip(boxes, objects, strict=True)
        ]
    )
    if recognised is not None:
        right &= recognised
    return float(1 - right.mean())


def _intersection_over_union(
    found: Num[np.ndarray, "4"], there: Num[np.ndarray, "objects 4"]
) -> Float[np.ndarray, " objects"]:
    """Of one box with each of the others."""
    low = np.maximum(found[:2], there[:, :2])
    high = np.minimum(found[2:], there[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    area = np.prod(found[2:] - found[:2])
    return shared / (area + np.prod(there[:, 2:] - there[:, :2], axis=1) - shared)


def overlay(
    image: UInt8[np.ndarray, "height width channels"], heat: Map
) -> UInt8[np.ndarray, "height width 3"]:
    """The map over its image, half and half: from blue, its least value, to red."""
    from matplotlib import colormaps

    low, high = heat.min(), heat.max()
    scaled = (heat - low) / (high - low) if high > low else np.zeros_like(heat)
    colours = 255 * colormaps["jet"](scaled)[..., :3]
    return np.rint((colours + image) / 2).astype(np.uint8)
