"""Losses for data whose classes differ in size: class weights and adjusted logits."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from cnn_jax.core.errors import UserError
from cnn_jax.core.fit import Need

BALANCED = "balanced"  # the value of `class_weights` for weights from the training data
# The config key `task.class_weights`.
Weights = str | Sequence[float] | None


def check_weights(weights: Weights, classes: Sequence[str]) -> None:
    """Raises `UserError` unless class weights are `BALANCED`, None or one per class."""
    key = "config.task.class_weights"
    if isinstance(weights, str):
        if weights != BALANCED:
            raise UserError(
                f"{key}={weights} must be '{BALANCED}', None, or a list of one number "
                "for each class."
            )
    elif weights is not None and len(weights) != len(classes):
        raise UserError(
            f"{key} has {len(weights)} numbers, but needs {len(classes)}, one for each "
            f"class: {', '.join(classes)}."
        )


def needs(weights: Weights, logit_adjustment: float) -> list[Need]:
    """Returns what the loss needs of the data: the examples of each class, or nothing.

    Args:
      weights: the config key `task.class_weights`.
      logit_adjustment: the config key `task.logit_adjustment`.
    """
    keys = [f"class_weights={BALANCED}"] if weights == BALANCED else []
    keys += [f"logit_adjustment={logit_adjustment}"] if logit_adjustment else []
    return [
        Need(
            "class counts",
            {True},
            f"has config.task.{key}, which needs the class of each training example",
            f"leave out config.task.{key}, or set config.data.in_memory=true",
        )
        for key in keys
    ]


def class_weights(
    weights: Weights, counts: Sequence[int]
) -> Float[np.ndarray, " classes"] | None:
    """Returns the weight of each class in the loss; None: equal weights.

    Args:
      weights: the config key `task.class_weights`.
      counts: the number of training examples of each class; empty: unknown, as in a
        benchmark without data. Balanced weights are equal then.
    """
    if weights == BALANCED:
        return balanced_weights(counts) if counts else None
    return None if weights is None else np.array(weights, np.float32)


def balanced_weights(counts: Sequence[int]) -> Float[np.ndarray, " classes"]:
    """Returns the weight of each class, inversely proportional to its examples.

        weight[c] = examples / (classes * counts[c])

    The mean weight of the examples is 1. These are the weights of scikit-learn's
    `compute_class_weight("balanced")`. Classes without examples are not counted, and
    have the weight 0.

    Args:
      counts: the number of training examples of each class.
    """
    known = np.asarray(counts, np.float64)
    present = known > 0
    return np.where(
        present, known.sum() / (present.sum() * np.maximum(known, 1)), 0
    ).astype(np.float32)


def log_priors(counts: Sequence[int], outputs: int) -> Float[np.ndarray, " outputs"]:
    """Returns the logarithm of each class's share of the training examples.

    A class without examples, and an output of the network without a class, counts as a
    class with one example.

    Args:
      counts: the number of training examples of each class.
      outputs: the number of outputs of the network, at least the number of classes.
    """
    known = np.ones(outputs)
    known[: len(counts)] = np.maximum(counts, 1)
    return np.log(known / known.sum()).astype(np.float32)
