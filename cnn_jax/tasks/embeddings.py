"""Losses of embeddings: vectors in which the same identity is near itself.

All are means over the examples, pairs or anchors that count, and zero where none does.
`mask` is 0 for rows that are padding, which count nowhere; None: there are none.
Distances are those of the embeddings divided by their lengths, from 0 to 2.
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

# Below it a root has no gradient, which would grow without bound.
EPSILON = 1e-12


def arcface_logits(
    cosine: Float[Array, "batch classes"],
    labels: Labels,
    *,
    scale: float = 64.0,
    margin: float = 0.5,
) -> Float[Array, "batch classes"]:
    """Logits with an additive angular margin (Deng et al. 2019, "ArcFace", equation 3).

    They are scale * cos(theta), and for the label's class scale * cos(theta + margin).
    Where theta + margin is above pi, where the cosine would grow again, it is
    scale * (cos(theta) - margin * sin(margin)), as in the authors' code: so the logit
    falls with the angle everywhere.

    Args:
      cosine: of the angles theta between embeddings and classes.
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
    """Softmax cross entropy of `arcface_logits`."""
    logits = arcface_logits(cosine, labels, scale=scale, margin=margin)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return _mean(losses, _counted(labels, mask))


def contrastive(
    embeddings: Embeddings, labels: Labels, mask: Mask = None, *, margin: float = 1.0
) -> Float[Array, ""]:
    """Over all pairs of the batch (Hadsell et al. 2006, equation 4).

    A pair at distance d costs d^2 / 2 where the identities are the same, and
    max(0, margin - d)^2 / 2 where they differ.
    """
    squares = squared_distances(embeddings)
    same, different = _relations(labels, mask)
    pushed = jax.nn.relu(margin - _root(squares)) ** 2
    return _mean(jnp.where(same, squares, pushed) / 2, same | different)


def batch_hard_triplet(
    embeddings: Embeddings, labels: Labels, mask: Mask = None, *, margin: float = 0.2
) -> Float[Array, ""]:
    """Hermans et al. 2017, "In Defense of the Triplet Loss", batch hard.

    Every example is an anchor, with the farthest of its identity and the nearest of
    another: max(0, margin + d(anchor, positive) - d(anchor, negative)). Those for which
    the batch lacks one of the two count not.
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
    """Schroff et al. 2015, "FaceNet", section 3, over all positive pairs.

    Of every anchor and every other example of its identity, at the squared distance p,
    the negative is the nearest one that is farther than the positive, or, where none
    is, the farthest one (as in TensorFlow Addons). With the squared distance n to it
    the triplet costs max(0, margin + p - n).
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
    """Between all pairs of embeddings divided by their lengths, from 0 to 4."""
    unit = l2_normalize(embeddings)
    cosines = jnp.matmul(unit, unit.T, precision="highest")
    return jnp.maximum(2 - 2 * cosines, 0)


def _root(squares: Matrix) -> Matrix:
    return jnp.sqrt(jnp.maximum(squares, EPSILON))


def _counted(labels: Labels, mask: Mask) -> Bool[Array, " batch"]:
    return jnp.ones(len(labels), bool) if mask is None else mask > 0


def _relations(labels: Labels, mask: Mask) -> tuple[Relation, Relation]:
    """Which pairs are of the same identity, and which of different ones."""
    counted = _counted(labels, mask)
    both = counted[:, None] & counted & ~jnp.eye(len(labels), dtype=bool)
    equal = labels[:, None] == labels
    return both & equal, both & ~equal


def _mean(
    values: Float[Array, "*shape"], counted: Bool[Array, "*shape"]
) -> Float[Array, ""]:
    return jnp.where(counted, values, 0).sum() / jnp.maximum(counted.sum(), 1)
