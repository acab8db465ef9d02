"""Learning and finding objects place by place, as FCOS does (Tian et al. 2019, "FCOS:
Fully Convolutional One-Stage Object Detection").

The labels of an image are rows (class, top, left, bottom, right) in pixels of the
network's input. Rows that only fill up have the class -1. An object that is not to be
learned nor counted (difficult, or a crowd) has the class -2 - c, if c is what it is.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Float, Int32

from cnn_jax.models.fcos import Places
from cnn_jax.tasks import boxes

Labels = Float[Array, "batch most 5"]
Outputs = dict[str, Float[Array, "batch places *_"]]

# From the middle of a box, in strides: places farther off do not learn it.
RADIUS = 1.5
# Of the focal loss: weight of the places with an object, and exponent.
ALPHA, GAMMA = 0.25, 2.0


class Targets(NamedTuple):
    """What each place is to say.

    Attributes:
      classes: of its object; -1 without one.
      distances: to the top, left, bottom and right side of the object's box, in pixels;
        without an object to those of some box or other.
      centerness: from 0 at a side to 1 in the middle; 0 without an object.
    """

    classes: Int32[Array, "*batch places"]
    distances: Float[Array, "*batch places 4"]
    centerness: Float[Array, "*batch places"]


def assign(labels: Float[Array, "most 5"], places: Places) -> Targets:
    """The object that each place is to find in an image.

    A box is for the places inside of it that are less than 1.5 strides from its middle
    along both axes (the authors' center sampling) and whose distance to its farthest
    side is within the level's `reaches`. Of several boxes a place has the smallest
    (section 3.2), the first of equal ones.
    """
    kinds, corners = labels[:, 0], labels[:, None, 1:]
    centers = jnp.asarray(places.centers)
    # [most, places, 4]
    distances = jnp.concatenate(
        [centers - corners[..., :2], corners[..., 2:] - centers], axis=-1
    )
    middles = (corners[..., :2] + corners[..., 2:]) / 2
    off = jnp.abs(centers - middles).max(-1)
    farthest = distances.max(-1)
    candidate = (
        (kinds >= 0)[:, None]
        & (distances.min(-1) > 0)
        & (off < RADIUS * places.strides)
        & (farthest >= places.reaches[:, 0])
        & (farthest <= places.reaches[:, 1])
    )
    size = jnp.where(candidate, boxes.areas(corners), jnp.inf)
    chosen = size.argmin(0)
    positive = candidate.any(0)
    own = jnp.take_along_axis(distances, chosen[None, :, None], 0)[0]
    return Targets(
        jnp.where(positive, kinds[chosen].astype(jnp.int32), -1),
        own,
        jnp.where(positive, centerness(own), 0),
    )


def centerness(distances: Float[Array, "*shape 4"]) -> Float[Array, "*shape"]:
    """How near a place inside a box is to its middle (equation 3); outside 0."""
    pairs = jnp.stack([distances[..., :2], distances[..., 2:]])
    least, most = pairs.min(0), pairs.max(0)
    ratios = jnp.where(least > 0, least / jnp.where(least > 0, most, 1), 0)
    return jnp.sqrt(ratios.prod(-1))


def losses(
    outputs: Outputs, labels: Labels, places: Places
) -> dict[str, Float[Array, ""]]:
    """What training minimizes the sum of, each divided by the number of places of the
    batch that have an object (equation 2), or by one.

    "classification": focal loss of every class at every place (Lin et al. 2017, "Focal
    Loss for Dense Object Detection", equation 5, with its alpha of 0.25 and gamma of
    2). Where there is an object: "box", 1 - GIoU of its box (Rezatofighi et al. 2019),
    and "centerness", binary cross entropy.
    """
    targets = jax.vmap(assign, (0, None))(labels, places)
    positive = targets.classes >= 0
    # No class at all where there is none.
    wanted = jax.nn.one_hot(targets.classes, outputs["logits"].shape[-1])
    overlap = boxes.giou(
        boxes_at(places, outputs["distances"]), boxes_at(places, targets.distances)
    )
    sums = {
        "classification": optax.sigmoid_focal_loss(
            outputs["logits"], wanted, alpha=ALPHA, gamma=GAMMA
        ).sum(),
        "box": jnp.where(positive, 1 - overlap, 0).sum(),
        "centerness": jnp.where(
            positive,
            optax.sigmoid_binary_cross_entropy(
                outputs["centerness"], targets.centerness
            ),
            0,
        ).sum(),
    }
    count = jnp.maximum(positive.sum(), 1)
    return {name: value / count for name, value in sums.items()}


def detections(
    outputs: Outputs,
    places: Places,
    size: Float[Array, "2"],
    *,
    most: int = 100,
    candidates: int = 1000,
    score_threshold: float = 0.05,
    iou_threshold: float = 0.6,
) -> Float[Array, "batch most 6"]:
    """The objects that the network finds, the surest first.

    Rows (class, top, left, bottom, right, score), those that fill up (-1, 0, 0, 0, 0,
    0). A score is the geometric mean of the probabilities of the class and of the
    centerness. Of the best `candidates` of an image, in all classes and levels, each
    class keeps those that non-maximum suppression leaves.

    Args:
      size: height and width of the input, to which boxes are cut.
      most: rows of an image.
      candidates: boxes that are compared; memory grows with their square.
      score_threshold: objects of smaller scores are left out.
      iou_threshold: see `boxes.suppress`.
    """
    scores = jnp.sqrt(
        jax.nn.sigmoid(outputs["logits"])
        * jax.nn.sigmoid(outputs["centerness"])[..., None]
    )
    classes = scores.shape[-1]
    found = boxes_at(places, outputs["distances"])
    found = jnp.clip(found, 0, jnp.tile(size, 2))

    def of_image(scores: Array, found: Array) -> Array:
        best, indices = lax.top_k(scores.ravel(), min(candidates, scores.size))
        kinds, corners = indices % classes, found[indices // classes]
        kept = boxes.suppress(corners, kinds, iou_threshold) & (best > score_threshold)
        rows = jnp.column_stack([kinds, corners, best])
        nothing = jnp.array([-1.0, 0, 0, 0, 0, 0])
        rows = jnp.where(kept[:, None], rows, nothing)
        # Those that are kept, in their order, and then the others.
        rows = rows[jnp.argsort(~kept, stable=True)][:most]
        missing = jnp.tile(nothing, (most - len(rows), 1))
        return jnp.concatenate([rows, missing])

    return jax.vmap(of_image)(scores, found)


def boxes_at(
    places: Places, distances: Float[Array, "*batch places 4"]
) -> Float[Array, "*batch places 4"]:
    """The boxes whose sides are so far from the places."""
    return jnp.concatenate(
        [
            places.centers - distances[..., :2],
            places.centers + distances[..., 2:],
        ],
        axis=-1,
    )
