"""Losses on embeddings: vectors in which pictures of one identity are close together.

Every loss is the mean over the examples, pairs or anchors that count, and zero if none
count. `mask` is 0 for padding rows, which never count; None: there are no padding rows.
Distances are between embeddings of unit length, from 0 to 2.
"""

import math

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from cnn_jax.layers import l2_normalize

Embeddings = Float[Array, "batch features"]
Labels = Int[Array, " batch"]
Mask = Float[Array, " batch"] | None
Matrix = Float[Array, "batch batch"]
Relation = Bool[Array, "batch batch"]

# The gradient of a square root grows without bound near zero; below this it is cut off.
EPSILON = 1e-12


def arcface_logits(
    cosine: Float[Array, "batch classes"],
    labels: Labels,
    *,
    scale: float = 64.0,
    margin: float = 0.5,
) -> Float[Array, "batch classes"]:
    """Returns logits with an additive angular margin.

    Deng et al. 2019, "ArcFace", equation 3: scale * cos(theta), and for the label's
    class scale * cos(theta + margin). Where theta + margin is above pi, the cosine
    would grow again. There the logit is scale * (cos(theta) - margin * sin(margin)), as
    in the authors' code, so that it falls with the angle everywhere.

    Args:
      cosine: the cosines of the angles theta between embeddings and classes.
      margin: in radians, at most pi / 2.
    """
    own = jnp.take_along_axis(cosine, labels[:, None], axis=1)
    sine = jnp.sqrt(jnp.maximum(1 - own**2, EPSILON))
    own = jnp.where(
        own > math.cos(math.pi - margin),
        own * math.cos(margin) - sine * math.sin(margin),
        own - margin * math.sin(margin),
    )
    is_own = jax.nn.one_hot(labels, cosine.shape[1], dtype=bool)
    return scale * jnp.where(is_own, own, cosine)


def arcface(
    cosine: Float[Array, "batch classes"],
    labels: Labels,
    mask: Mask = None,
    *,
    scale: float = 64.0,
    margin: float = 0.5,
) -> Float[Array, ""]:
    """Returns the softmax cross entropy of `arcface_logits`."""
    logits = arcface_logits(cosine, labels, scale=scale, margin=margin)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return _mean(losses, _counted(labels, mask))


def contrastive(
    embeddings: Embeddings, labels: Labels, mask: Mask = None, *, margin: float = 1.0
) -> Float[Array, ""]:
    """Returns the contrastive loss over all pairs of the batch.

    Hadsell et al. 2006, equation 4: a pair at distance d costs d^2 / 2 if the
    identities are the same, and max(0, margin - d)^2 / 2 if they differ.
    """
    squares = squared_distances(embeddings)
    same, different = _relations(labels, mask)
    pushed = jax.nn.relu(margin - _root(squares)) ** 2
    return _mean(jnp.where(same, squares, pushed) / 2, same | different)


def batch_hard_triplet(
    embeddings: Embeddings, labels: Labels, mask: Mask = None, *, margin: float = 0.2
) -> Float[Array, ""]:
    """Returns the batch-hard triplet loss.

    Hermans et al. 2017, "In Defense of the Triplet Loss": every example is an anchor.
    Its positive is the farthest example of its identity, and its negative the nearest
    example of another identity. The loss is
    max(0, margin + d(anchor, positive) - d(anchor, negative)). Anchors without a
    positive or a negative in the batch do not count.
    """
    distances = _root(squared_distances(embeddings))
    same, different = _relations(labels, mask)
    farthest = jnp.where(same, distances, 0).max(1)
    nearest = jnp.where(different, distances, jnp.inf).min(1)
    counted = same.any(1) & different.any(1)
    losses = jax.nn.relu(margin + farthest - jnp.where(counted, nearest, 0))
    return _mean(losses, counted)


def semi_hard_triplet(
    embeddings: Embeddings, labels: Labels, mask: Mask = None, *, margin: float = 0.2
) -> Float[Array, ""]:
    """Returns the semi-hard triplet loss over all positive pairs.

    Schroff et al. 2015, "FaceNet", section 3: p is the squared distance between an
    anchor and another example of its identity, the positive. The negative is the
    nearest example of another identity that is farther from the anchor than the
    positive. If there is no such example, the negative is the farthest one (as in
    TensorFlow Addons). With its squared distance n, the loss is max(0, margin + p - n).
    """
    squares = squared_distances(embeddings)
    same, different = _relations(labels, mask)
    # [anchor, positive, negative]
    negatives = squares[:, None, :]
    beyond = different[:, None, :] & (negatives > squares[:, :, None])
    nearest = jnp.where(beyond, negatives, jnp.inf).min(2)
    farthest = jnp.where(different, squares, 0).max(1)
    chosen = jnp.where(beyond.any(2), nearest, farthest[:, None])
    counted = same & different.any(1)[:, None]
    losses = jax.nn.relu(margin + squares - jnp.where(counted, chosen, 0))
    return _mean(losses, counted)


def squared_distances(embeddings: Embeddings) -> Matrix:
    """Returns the squared distances, from 0 to 4, of all pairs of unit vectors.

    The embeddings are divided by their lengths first.
    """
    unit = l2_normalize(embeddings)
    cosines = jnp.matmul(unit, unit.T, precision="highest")
    return jnp.maximum(2 - 2 * cosines, 0)


def _root(squares: Matrix) -> Matrix:
    """Returns the square roots, with a finite gradient at zero."""
    return jnp.sqrt(jnp.maximum(squares, EPSILON))


def _counted(labels: Labels, mask: Mask) -> Bool[Array, " batch"]:
    """Returns which rows are not padding."""
    return jnp.ones(len(labels), bool) if mask is None else mask > 0


def _relations(labels: Labels, mask: Mask) -> tuple[Relation, Relation]:
    """Returns which pairs have the same identity, and which have different ones."""
    counted = _counted(labels, mask)
    both = counted[:, None] & counted & ~jnp.eye(len(labels), dtype=bool)
    equal = labels[:, None] == labels
    return both & equal, both & ~equal


def _mean(
    values: Float[Array, "*shape"], counted: Bool[Array, "*shape"]
) -> Float[Array, ""]:
    """Returns the mean of the values that count; zero if none count."""
    return jnp.where(counted, values, 0).sum() / jnp.maximum(counted.sum(), 1)
