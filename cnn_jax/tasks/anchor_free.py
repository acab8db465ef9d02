"""Anchor-free detection, as in FCOS: targets, losses and detected boxes (Tian et al.
2019, "FCOS: Fully Convolutional One-Stage Object Detection").

A place is a position of one of the network's feature maps. The network predicts classes
and one box at every place.

The labels of an image are rows (class, top, left, bottom, right) in pixels of the
network's input. Padding rows have the class -1. Difficult objects and crowds are
neither learned nor counted: if the object's class is c, its row has the class -2 - c.
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

# The distance of a place from the middle of a box, in strides, up to which the place
# learns the box.
RADIUS = 1.5
# Parameters of the focal loss: the weight of places with an object, and the exponent.
ALPHA, GAMMA = 0.25, 2.0


class Targets(NamedTuple):
    """What the network should predict at each place (position of a feature map).

    Attributes:
      classes: the class of the object that is assigned to the place; -1 if the place
        has no object.
      distances: the distances from the place to the top, left, bottom and right side of
        the object's box, in pixels. If the place has no object, the values are
        arbitrary.
      centerness: 1 if the place is in the middle of the box, and 0 at a side of the
        box; 0 if the place has no object.
    """

    classes: Int32[Array, "*batch places"]
    distances: Float[Array, "*batch places 4"]
    centerness: Float[Array, "*batch places"]


def assign(labels: Float[Array, "most 5"], places: Places) -> Targets:
    """Returns the targets of each place: an object of the image, or no object.

    A place inside a box learns the box if two conditions hold:

    * The place is less than 1.5 strides away from the middle of the box, vertically and
      horizontally (the authors' center sampling).
    * The distance from the place to the farthest side of the box is in the range
      `places.reaches`.

    If several boxes satisfy both conditions, the place learns the smallest box (section
    3.2). Among equally small boxes, the place learns the first.

    Args:
      labels: the rows (class, top, left, bottom, right) of one image.
      places: the places of all feature maps.
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
    """Returns the centerness of places in their boxes (equation 3).

    The centerness is 1 in the middle of the box, and 0 at its sides and outside.

    Args:
      distances: the distances from each place to the top, left, bottom and right side
        of its box.
    """
    pairs = jnp.stack([distances[..., :2], distances[..., 2:]])
    least, most = pairs.min(0), pairs.max(0)
    ratios = jnp.where(least > 0, least / jnp.where(least > 0, most, 1), 0)
    return jnp.sqrt(ratios.prod(-1))


def losses(
    outputs: Outputs, labels: Labels, places: Places
) -> dict[str, Float[Array, ""]]:
    """Returns the three parts of the loss; training minimizes their sum.

    * "classification" is the focal loss of every class at every place (Lin et al. 2017,
      "Focal Loss for Dense Object Detection", equation 5, with its alpha of 0.25 and
      gamma of 2).
    * "box" is 1 - GIoU of the predicted and the labeled box (Rezatofighi et al. 2019).
    * "centerness" is the binary cross entropy of the centerness.

    "box" and "centerness" are summed only over the places that have an object. Each of
    the three sums is divided by the number of places in the batch that have an object
    (equation 2). If no place has an object, the divisor is 1.

    Args:
      outputs: the "logits", "distances" and "centerness" that the network predicts.
      labels: the rows (class, top, left, bottom, right) of each image.
      places: the places of all feature maps.
    """
    targets = jax.vmap(assign, (0, None))(labels, places)
    positive = targets.classes >= 0
    # A place without an object has the class -1, and so a row of zeros.
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
    """Returns the objects that the network detects, in the order of falling scores.

    Rows are (class, top, left, bottom, right, score); padding rows are (-1, 0, 0, 0,
    0, 0). A score is the geometric mean of the probability of the class and the
    centerness. Non-maximum suppression, class by class, removes boxes that overlap with
    a better box. It runs on the `candidates` boxes of an image with the best scores,
    over all classes and feature maps.

    Args:
      outputs: the "logits", "distances" and "centerness" that the network predicts.
      places: the places of all feature maps.
      size: height and width of the network's input; boxes are clipped to this size.
      most: the number of rows for each image.
      candidates: the number of boxes in non-maximum suppression. Memory grows with the
        square of this number.
      score_threshold: only objects with a score above this threshold are returned.
      iou_threshold: a box is removed if its IoU with a better box of the same class is
        above this threshold.
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
        # The boxes that are kept, in their order, come first.
        rows = rows[jnp.argsort(~kept, stable=True)][:most]
        missing = jnp.tile(nothing, (most - len(rows), 1))
        return jnp.concatenate([rows, missing])

    return jax.vmap(of_image)(scores, found)


def boxes_at(
    places: Places, distances: Float[Array, "*batch places 4"]
) -> Float[Array, "*batch places 4"]:
    """Returns boxes (top, left, bottom, right), one for each place.

    Args:
      places: the places of all feature maps.
      distances: the distances from each place to the top, left, bottom and right side
        of its box, in pixels.
    """
    return jnp.concatenate(
        [
            places.centers - distances[..., :2],
            places.centers + distances[..., 2:],
        ],
        axis=-1,
    )
