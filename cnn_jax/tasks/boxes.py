"""Boxes: their overlap, and which of many say the same.

A box is (top, left, bottom, right) in pixels, measured to its edges: that of one pixel
has a height and a width of one. A box whose bottom is not below its top is empty.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int


def areas(boxes: Float[Array, "*shape 4"]) -> Float[Array, "*shape"]:
    """Height times width; zero of an empty box."""
    sides = jnp.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return sides[..., 0] * sides[..., 1]


def iou(
    a: Float[Array, "*shape 4"], b: Float[Array, "*shape 4"]
) -> Float[Array, "*shape"]:
    """Intersection over union of each box with its counterpart; of two empty ones 0."""
    return _over(*_intersection_and_union(a, b))


def iou_matrix(
    a: Float[Array, "rows 4"], b: Float[Array, "columns 4"]
) -> Float[Array, "rows columns"]:
    """`iou` of each box of `a` with each of `b`."""
    return jax.vmap(jax.vmap(iou, (None, 0)), (0, None))(a, b)


def giou(
    a: Float[Array, "*shape 4"], b: Float[Array, "*shape 4"]
) -> Float[Array, "*shape"]:
    """Generalized intersection over union, from -1 to 1.

    IoU less the share of the smallest box around both that neither covers (Rezatofighi
    et al. 2019, "Generalized Intersection over Union", algorithm 1), so that boxes
    which are apart have a gradient too.
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
    """Which boxes stay in non-maximum suppression, class by class.

    Args:
      boxes: the best ones first.
      threshold: a box goes if its IoU with a better one of its class that stays is
        above it.
    """
    order = jnp.arange(len(boxes))
    beats = (iou_matrix(boxes, boxes) > threshold) & (order[:, None] < order)
    beats &= classes[:, None] == classes

    # What one box after the other would come to: the first box stays in any case, so
    # that after one round the second is right for good, then the third, .... Mostly
    # all are after a few rounds; and when nothing changes any more, all are.
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
    intersection = areas(
        jnp.concatenate(
            [jnp.maximum(a[..., :2], b[..., :2]), jnp.minimum(a[..., 2:], b[..., 2:])],
            axis=-1,
        )
    )
    return intersection, areas(a) + areas(b) - intersection


def _over(a: Array, b: Array) -> Array:
    """a / b, and zero with a gradient of zero where b is zero."""
    return jnp.where(b > 0, a / jnp.where(b > 0, b, 1), 0)
