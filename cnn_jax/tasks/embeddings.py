"""Losses on embeddings, which move pictures of one identity close together.

Every loss is a mean over examples, pairs or anchors. Padding rows of a batch are
excluded: they have a `mask` of 0. If `mask` is None, there are no padding rows. If no
examples, pairs or anchors are left, the loss is zero. All distances are between
embeddings of unit length, so the distances are from 0 to 2.
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

    Deng et al. 2019, "ArcFace", equation 3: the logit of the label's class is
    scale * cos(theta + margin), and the logit of any other class is scale * cos(theta).

    If theta + margin is above pi, cos(theta + margin) would grow with theta. Then the
    logit of the label's class is scale * (cos(theta) - margin * sin(margin)), as in the
    authors' code, so that the logit always falls as theta grows.

    Args:
      cosine: the cosines of the angles theta between embeddings and class vectors.
      labels: the class of each embedding.
      scale: the factor of all logits.
      margin: the angle that is added, in radians; at most pi / 2.
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
    """Returns the softmax cross entropy of `arcface_logits`, which explains `scale`
    and `margin`."""
    logits = arcface_logits(cosine, labels, scale=scale, margin=margin)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return _mean(losses, _counted(labels, mask))


def contrastive(
    embeddings: Embeddings, labels: Labels, mask: Mask = None, *, margin: float = 1.0
) -> Float[Array, ""]:
    """Returns the contrastive loss over all pairs of the batch.

    Hadsell et al. 2006, equation 4: the loss of a pair at distance d is d^2 / 2 if both
    examples have the same identity, and max(0, margin - d)^2 / 2 otherwise.
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
    The anchor's positive is the farthest example of the anchor's identity. The anchor's
    negative is the nearest example of another identity. With distances d, the loss is
    max(0, margin + d(anchor, positive) - d(anchor, negative)). Anchors without a
    positive or a negative in the batch are excluded.
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

    Schroff et al. 2015, "FaceNet", section 3. Each example is an anchor, and each other
    example of the anchor's identity is a positive. The negative of an anchor and a
    positive is an example of another identity. It is the nearest example that is
    farther from the anchor than the positive. If all examples of other identities are
    nearer than the positive, the negative is the farthest of these (as in TensorFlow
    Addons). The loss is max(0, margin + p - n): p is the squared distance from the
    anchor to the positive, and n the squared distance to the negative. Pairs without a
    negative in the batch are excluded.
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
    """Returns the squared distances of all pairs of embeddings, from 0 to 4.

    The embeddings are first divided by their lengths.
    """
    unit = l2_normalize(embeddings)
    cosines = jnp.matmul(unit, unit.T, precision="highest")
    return jnp.maximum(2 - 2 * cosines, 0)


def _root(squares: Matrix) -> Matrix:
    """Returns the square roots of a matrix, with a finite gradient at zero."""
    return jnp.sqrt(jnp.maximum(squares, EPSILON))


def _counted(labels: Labels, mask: Mask) -> Bool[Array, " batch"]:
    """Returns True for each row that is not padding."""
    return jnp.ones(len(labels), bool) if mask is None else mask > 0


def _relations(labels: Labels, mask: Mask) -> tuple[Relation, Relation]:
    """Returns two matrices: which pairs have the same identity, which different ones.

    Padding rows, and pairs of an example with itself, are False in both matrices.
    """
    counted = _counted(labels, mask)
    both = counted[:, None] & counted & ~jnp.eye(len(labels), dtype=bool)
    equal = labels[:, None] == labels
    return both & equal, both & ~equal


def _mean(
    values: Float[Array, "*shape"], counted: Bool[Array, "*shape"]
) -> Float[Array, ""]:
    """Returns the mean of the values where `counted` is True; zero if there are
    none."""
    return jnp.where(counted, values, 0).sum() / jnp.maximum(counted.sum(), 1)
