"""Boxes: areas, overlaps, and non-maximum suppression.

A box is (top, left, bottom, right) in pixels, measured to its edges: a box around one
pixel has a height and a width of one. A box whose bottom is not below its top is empty.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int


def areas(boxes: Float[Array, "*shape 4"]) -> Float[Array, "*shape"]:
    """Returns height times width; zero for an empty box."""
    sides = jnp.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return sides[..., 0] * sides[..., 1]


def iou(
    a: Float[Array, "*shape 4"], b: Float[Array, "*shape 4"]
) -> Float[Array, "*shape"]:
    """Returns the intersection over union of each pair; 0 for two empty boxes."""
    return _over(*_intersection_and_union(a, b))


def iou_matrix(
    a: Float[Array, "rows 4"], b: Float[Array, "columns 4"]
) -> Float[Array, "rows columns"]:
    """Returns the `iou` of each box of `a` with each box of `b`."""
    return jax.vmap(jax.vmap(iou, (None, 0)), (0, None))(a, b)


def giou(
    a: Float[Array, "*shape 4"], b: Float[Array, "*shape 4"]
) -> Float[Array, "*shape"]:
    """Returns the generalized intersection over union, from -1 to 1.

    GIoU is IoU minus the share of the enclosing box that neither box covers
    (Rezatofighi et al. 2019, "Generalized Intersection over Union", algorithm 1). So
    boxes that do not overlap have a gradient too.
    """
    intersection, union = _intersection_and_union(a, b)
    hull = areas(
        jnp.concatenate(
            [jnp.minimum(a[..., :2], b[..., :2]), jnp.maximum(a[..., 2:], b[..., 2:])],
            axis=-1,
        )
    )
    return _over(intersection, union) - _over(hull - union, hull)


def suppress(
    boxes: Float[Array, "boxes 4"],
    classes: Int[Array, " boxes"],
    threshold: float,
) -> Bool[Array, " boxes"]:
    """Returns which boxes non-maximum suppression keeps, class by class.

    Args:
      boxes: the boxes, sorted from the best to the worst.
      threshold: a box is removed if its IoU with a better kept box of its class is
        above the threshold.
    """
    order = jnp.arange(len(boxes))
    beats = (iou_matrix(boxes, boxes) > threshold) & (order[:, None] < order)
    beats &= classes[:, None] == classes

    # Gives the same result as processing one box after the other. The first box always
    # stays, so the second box is settled after one round, the third after two, and so
    # on. Usually a few rounds settle all boxes: the loop ends when nothing changes.
    def changed(rounds: tuple[Array, Array]) -> Array:
        before, now = rounds
        return (before != now).any()

    def again(rounds: tuple[Array, Array]) -> tuple[Array, Array]:
        _, now = rounds
        return now, ~(beats & now[:, None]).any(0)

    everything = jnp.ones(len(boxes), bool)
    _, kept = lax.while_loop(changed, again, again((everything, everything)))
    return kept


def _intersection_and_union(a: Array, b: Array) -> tuple[Array, Array]:
    """Returns the areas of intersection and union of each pair of boxes."""
    intersection = areas(
        jnp.concatenate(
            [jnp.maximum(a[..., :2], b[..., :2]), jnp.minimum(a[..., 2:], b[..., 2:])],
            axis=-1,
        )
    )
    return intersection, areas(a) + areas(b) - intersection


def _over(a: Array, b: Array) -> Array:
    """Returns a / b; where b is zero, zero with a gradient of zero."""
    return jnp.where(b > 0, a / jnp.where(b > 0, b, 1), 0)
