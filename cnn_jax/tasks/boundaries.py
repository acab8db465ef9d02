"""The boundary F1 score of segmentations.

Csurka et al. 2013, "What is a good evaluation measure for semantic segmentation?"
"""

import math

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int32

Maps = Int32[Array, "batch height width"]
Counted = Bool[Array, "batch height width"]


def f1(
    labels: Maps, predicted: Maps, counted: Counted, classes: int, tolerance: float
) -> tuple[Float[Array, " batch"], Bool[Array, " batch"]]:
    """Returns the boundary F1 of each image, and whether the image has a boundary.

    The boundary of a class in an image is the set of the class's pixels that have a
    neighbor of another class above, below, left or right. Precision is the share of the
    predicted boundary that is at most `tolerance` away from the labeled boundary.
    Recall is the share of the labeled boundary that is at most `tolerance` away from
    the predicted boundary. F1 is their harmonic mean. The score of an image is the mean
    over the classes that have a labeled or a predicted boundary in this image.

    Args:
      labels: the class of each pixel.
      predicted: the predicted class of each pixel.
      counted: True for each pixel that has a label; other pixels, and the edges between
        them and labeled pixels, belong to no boundary.
      classes: the number of classes.
      tolerance: the distance in pixels (Euclidean).
    """
    edges = [_edges(each, counted) for each in (labels, predicted)]

    def of_class(number: Array) -> tuple[Array, Array]:
        true, found = (
            edge & (each == number)
            for edge, each in zip(edges, (labels, predicted), strict=True)
        )
        hits = (found & _near(true, tolerance)).sum((1, 2))
        recalled = (true & _near(found, tolerance)).sum((1, 2))
        precision = hits / jnp.maximum(found.sum((1, 2)), 1)
        recall = recalled / jnp.maximum(true.sum((1, 2)), 1)
        both = precision + recall
        score = jnp.where(both > 0, 2 * precision * recall / jnp.maximum(both, 1e-9), 0)
        return score, (true | found).any((1, 2))

    # One class at a time, because the maps of all classes may not fit in memory.
    scores, occurs = lax.map(of_class, jnp.arange(classes))
    count = occurs.sum(0)
    return (scores * occurs).sum(0) / jnp.maximum(count, 1), count > 0


def _edges(classes: Maps, counted: Counted) -> Bool[Array, "batch height width"]:
    """Returns True for each counted pixel with a counted neighbor of another class."""
    found = jnp.zeros_like(counted)
    for axis in (1, 2):
        size = classes.shape[axis]
        before, after = jnp.arange(size - 1), jnp.arange(1, size)
        first, second = (classes.take(i, axis) for i in (before, after))
        both = counted.take(before, axis) & counted.take(after, axis)
        differs = both & (first != second)
        none = jnp.zeros_like(found.take(jnp.arange(1), axis))
        found |= jnp.concatenate([differs, none], axis)
        found |= jnp.concatenate([none, differs], axis)
    return found


def _near(
    boundary: Bool[Array, "batch height width"], tolerance: float
) -> Bool[Array, "batch height width"]:
    """Returns True for each pixel at most `tolerance` away from a boundary pixel."""
    reach = math.floor(tolerance)
    if reach == 0:
        return boundary
    rows, columns = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    disk = (rows**2 + columns**2 <= tolerance**2).astype(np.float32)
    counts = lax.conv_general_dilated(
        boundary[..., None].astype(jnp.float32),
        disk[..., None, None],
        window_strides=(1, 1),
        padding="SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return counts[..., 0] > 0.5
