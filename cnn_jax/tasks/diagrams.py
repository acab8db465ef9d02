"""Diagrams of the probabilities of a classifier, as pictures for TensorBoard."""

from typing import Any

import numpy as np
from jaxtyping import Float

from cnn_jax.tasks.binary_curves import Curves
from cnn_jax.tasks.calibration import expected_error
from cnn_jax.tasks.pictures import Picture, drawn


def reliability(bins: Float[np.ndarray, "3 bins"]) -> Picture:
    """Returns a reliability diagram: the accuracy in each bin of the confidence.

    The accuracy of calibrated probabilities lies on the diagonal. An outline shows the
    share of the examples in each bin.

    Args:
      bins: the sum of `calibration.binned` over all batches, with at least one example.
    """
    examples, _, right = bins
    edges = np.linspace(0, 1, len(examples) + 1)
    figure, axes = _square(f"expected calibration error {expected_error(bins):.4f}")
    accuracy = right / np.maximum(examples, 1)
    axes.stairs(accuracy, edges, fill=True, label="accuracy")
    axes.stairs(examples / examples.sum(), edges, color="black", label="examples")
    axes.plot([0, 1], [0, 1], "--", color="gray")
    axes.set_xlabel("confidence")
    axes.legend(loc="upper left")
    return drawn(figure)


def roc(curves: Curves, positive: str) -> Picture:
    """Returns a picture of the ROC curve.

    Args:
      curves: the curves of the score.
      positive: the name of the positive class, as text for Matplotlib.
    """
    figure, axes = _square(f"{positive}: area {curves.roc_auc:.4f}")
    axes.plot(curves.false_positive_rate, curves.recall)
    axes.plot([0, 1], [0, 1], "--", color="gray")
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("true positive rate")
    return drawn(figure)


def precision_recall(curves: Curves, positive: str) -> Picture:
    """Returns a picture of the precision-recall curve; see `roc`."""
    figure, axes = _square(f"{positive}: area {curves.average_precision:.4f}")
    axes.step(curves.recall, curves.precision, where="pre")
    axes.set_xlabel("recall")
    axes.set_ylabel("precision")
    return drawn(figure)


def _square(title: str) -> tuple[Any, Any]:
    """Returns a figure and its axes, which range from 0 to 1."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 4), dpi=100)
    # A fixed place: to compute one takes longer than to draw the diagram.
    axes = figure.add_axes((0.14, 0.12, 0.82, 0.8))
    axes.set_title(title)
    axes.set_xlim(0, 1.01)
    axes.set_ylim(0, 1.01)
    return figure, axes
