"""Calibration: how well the predicted probabilities agree with the accuracy."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from cnn_jax.tasks.metrics import Pair

BINS = 15  # of equal width (Guo et al. 2017)
EDGES = np.arange(1, BINS, dtype=np.float32) / BINS


def binned(
    confidences: Float[Array, " batch"],
    right: Bool[Array, " batch"],
    mask: Float[Array, " batch"],
) -> Pair:
    """Returns the sums of a batch as a pair (sums, number of examples).

    The sums are an array (3, BINS). Its rows are the number of examples in each bin,
    the sum of their confidences, and the number of correctly classified examples. Bin m
    holds the confidences above m / BINS, up to (m + 1) / BINS.

    Args:
      confidences: the probability of the predicted class of each example.
      right: whether the predicted class is the label.
      mask: 0 for padding rows, and 1 for all other rows.
    """
    member = jax.nn.one_hot((confidences[:, None] > EDGES).sum(axis=-1), BINS)
    # `where`, because the confidences of padding rows may be NaN.
    values = jnp.stack([mask, jnp.where(mask > 0, confidences, 0), right * mask])
    # No matrix product, which some devices round to 16 bits.
    member = member * mask[:, None]
    return (values[:, :, None] * member).sum(axis=1), mask.sum()


def expected_error(bins: Float[np.ndarray, "3 bins"]) -> float:
    """Returns the expected calibration error (Guo et al. 2017, equation 3).

    The error is the mean over all examples of the difference between the accuracy and
    the mean confidence of the example's bin.

    Args:
      bins: the sum of `binned` over all batches, with at least one example.
    """
    examples, confidences, right = bins
    return float(np.abs(right - confidences).sum() / examples.sum())


def brier(
    probabilities: Float[Array, "batch classes"], labels: Int[Array, " batch"]
) -> Float[Array, " batch"]:
    """Returns the Brier score of each example, from 0 (best) to 2.

    The score is the sum over the classes of the squared difference between the
    probability and the target, which is 1 for the label and 0 for other classes (Brier
    1950).
    """
    targets = jax.nn.one_hot(labels, probabilities.shape[-1])
    return ((probabilities - targets) ** 2).sum(axis=-1)
