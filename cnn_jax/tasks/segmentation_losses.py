"""Losses of segmentation, as pure functions.

A loss takes logits and targets, [batch, height, width, classes], and the weight of each
pixel, [batch, height, width]. The weight is 0 for pixels without a label. The loss is a
scalar. The keyword-only parameters of a loss are its options in a config:
`task.loss_name="focal(gamma=1.5), dice"` is the sum of two losses.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from cnn_jax.core.ranges import NotNegative
from cnn_jax.tasks import losses

Logits = Float[Array, "batch height width classes"]
Targets = Float[Array, "batch height width classes"]
Weights = Float[Array, "batch height width"]
Scalar = Float[Array, ""]


def cross_entropy(logits: Logits, targets: Targets, weights: Weights) -> Scalar:
    """Returns the weighted mean of the softmax cross entropy over the pixels."""
    return _mean(losses.cross_entropy(logits, targets), weights)


def focal(
    logits: Logits, targets: Targets, weights: Weights, *, gamma: NotNegative = 2.0
) -> Scalar:
    """Returns the weighted mean of the focal loss over the pixels.

    Args:
      logits: the network's outputs.
      targets: the targets.
      weights: the weight of each pixel.
      gamma: see `losses.focal`.
    """
    return _mean(losses.focal(logits, targets, gamma=gamma), weights)


def dice(logits: Logits, targets: Targets, weights: Weights) -> Scalar:
    """Returns the Dice loss of the softmax probabilities p.

        loss = 1 - mean over classes c of 2 sum(p[c] t[c]) / (sum(p[c]) + sum(t[c]))

    Here t[c] is 1 for pixels of the class, and otherwise 0. Sums are over the labeled
    pixels of all images of the batch, and the mean is over the classes that occur in
    their labels (Milletari et al. 2016, without squares in the denominator). Class
    weights and label smoothing do not change this loss. Without labels, the loss is 0.
    """
    counted = (weights > 0)[..., None]
    chances = jnp.where(counted, jax.nn.softmax(logits), 0)
    true = counted * jax.nn.one_hot(targets.argmax(-1), targets.shape[-1])
    sizes = true.sum((0, 1, 2))
    both, either = (chances * true).sum((0, 1, 2)), chances.sum((0, 1, 2)) + sizes
    occurs = sizes > 0
    scores = jnp.where(occurs, 2 * both / jnp.where(occurs, either, 1), 0)
    count = occurs.sum()
    return jnp.where(count > 0, 1 - scores.sum() / jnp.maximum(count, 1), 0)


def _mean(values: Weights, weights: Weights) -> Scalar:
    # All weights are zero only if no pixel has a label.
    total = weights.sum()
    return (values * weights).sum() / jnp.where(total > 0, total, 1)


LOSSES: Mapping[str, Callable[..., Scalar]] = {
    "cross_entropy": cross_entropy,
    "focal": focal,
    "dice": dice,
}
