"""Boxes: areas, overlaps, and non-maximum suppression.

A box is (top, left, bottom, right) in pixels. Bottom and right are the first row and
column outside of the box, so a box around one pixel has a height and a width of one. A
box with bottom <= top or right <= left is empty.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int


def areas(boxes: Float[Array, "*shape 4"]) -> Float[Array, "*shape"]:
    """Returns the area of each box; zero for an empty box."""
    sides = jnp.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return sides[..., 0] * sides[..., 1]


def iou(
    a: Float[Array, "*shape 4"], b: Float[Array, "*shape 4"]
) -> Float[Array, "*shape"]:
    """Returns the intersection over union of each box of `a` and its box of `b`.

    The IoU of two empty boxes is 0.
    """
    return _over(*_intersection_and_union(a, b))


def iou_matrix(
    a: Float[Array, "rows 4"], b: Float[Array, "columns 4"]
) -> Float[Array, "rows columns"]:
    """Returns the `iou` of each box of `a` with each box of `b`."""
    return jax.vmap(jax.vmap(iou, (None, 0)), (0, None))(a, b)


def giou(
    a: Float[Array, "*shape 4"], b: Float[Array, "*shape 4"]
) -> Float[Array, "*shape"]:
    """Returns the generalized intersection over union (GIoU), from -1 to 1.

    GIoU compares each box of `a` with its box of `b`. GIoU is IoU minus a penalty. The
    penalty is the share of the smallest enclosing box that neither of the two boxes
    covers (Rezatofighi et al. 2019, "Generalized Intersection over Union", algorithm
    1). Because of the penalty, boxes that do not overlap also have a gradient.
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
    """Returns True for each box that non-maximum suppression keeps.

    Only boxes of the same class are compared.

    Args:
      boxes: the boxes, sorted from the best to the worst score.
      classes: the class of each box.
      threshold: a box is removed if its IoU with a kept box that has a better score and
        the same class is above this threshold.
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
    """Returns the area of the intersection and of the union of each pair of boxes."""
    intersection = areas(
        jnp.concatenate(
            [jnp.maximum(a[..., :2], b[..., :2]), jnp.minimum(a[..., 2:], b[..., 2:])],
            axis=-1,
        )
    )
    return intersection, areas(a) + areas(b) - intersection


def _over(a: Array, b: Array) -> Array:
    """Returns a / b. Where b is zero, the result and its gradient are zero."""
    return jnp.where(b > 0, a / jnp.where(b > 0, b, 1), 0)
