"""Precision, recall and F1 of each class, from counts of examples."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from cnn_jax.tasks.metrics import Pair


def counts(
    labels: Int[Array, " batch"],
    predicted: Int[Array, " batch"],
    mask: Float[Array, " batch"],
    outputs: int,
) -> Pair:
    """Returns the counts of a batch as a pair (counts, number of examples).

    The counts are an array (3, outputs). Its rows are the number of examples with the
    label, with the predicted class, and with both.

    Args:
      labels: the label of each example.
      predicted: the predicted class of each example.
      mask: 0 for padding rows, and 1 for all other rows.
      outputs: the number of classes that the network knows.
    """
    labeled = jax.nn.one_hot(labels, outputs) * mask[:, None]
    called = jax.nn.one_hot(predicted, outputs) * mask[:, None]
    rows = [labeled, called, labeled * called]
    return jnp.stack([row.sum(axis=0) for row in rows]), mask.sum()


def per_class(
    counted: Float[np.ndarray, "3 classes"],
) -> dict[str, Float[np.ndarray, " classes"]]:
    """Returns the precision, the recall and the F1 score of each class, by name.

    A score without a denominator, such as the precision of a class that is never
    predicted, is 0.

    Args:
      counted: the sum of `counts` over all batches.
    """
    labeled, called, both = counted
    return {
        "precision": both / np.maximum(called, 1),
        "recall": both / np.maximum(labeled, 1),
        "f1": 2 * both / np.maximum(labeled + called, 1),
    }


def macro(counted: Float[np.ndarray, "3 classes"]) -> dict[str, float]:
    """Returns the means over classes, such as `{"macro_f1": 0.9, ...}`.

    Classes that are neither labeled nor predicted for any example are left out. If this
    leaves no class, the result is empty.

    Args:
      counted: see `per_class`.
    """
    occurs = counted[:2].any(axis=0)
    if not occurs.any():
        return {}
    scores = per_class(counted)
    return {f"macro_{name}": float(row[occurs].mean()) for name, row in scores.items()}


def table(
    counted: Float[np.ndarray, "3 classes"], classes: Sequence[str]
) -> list[dict[str, Any]]:
    """Returns one row for each class: its name, its number of examples, its scores.

    Args:
      counted: see `per_class`.
      classes: the names of the classes.
    """
    scores = per_class(counted)
    return [
        {"class": name, "examples": int(counted[0, index])}
        | {score: float(row[index]) for score, row in scores.items()}
        for index, name in enumerate(classes)
    ]
