"""Multi-label classification: an image has any number of classes."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, UInt8

from cnn_jax.core.ranges import Fraction, NotNegative
from cnn_jax.tasks import pictures
from cnn_jax.tasks.metrics import Pairs, Rows, Totals, mean_of_defined, means, weighted
from cnn_jax.tasks.task import Answers, Batch, Task

Logits = Float[Array, "batch outputs"]

# With more classes than this, the results list no average precision for each class.
MAX_NAMED_CLASSES = 50


@dataclass(frozen=True)
class MultiLabel(Task):
    """Multi-label classification, measured by average precision and F1.

    The loss is the sigmoid cross entropy of each class. The label of an image is a row
    of numbers, one for each class: 1 if the image has the class, otherwise 0.

    Attributes:
      classes: the names of the classes.
      threshold: a class is predicted if its probability is at least this threshold.
      auxiliary_weight: the weight of the loss of each auxiliary head.
    """

    best_metric: ClassVar[str] = "mean_average_precision"
    label_kind: ClassVar[str] = "multi_label"
    collected: ClassVar[tuple[str, ...]] = ("label", "probabilities")
    answered: ClassVar[int | None] = None
    shares: ClassVar[tuple[str, ...]] = ("probability",)

    _: KW_ONLY
    threshold: Fraction = 0.5
    auxiliary_weight: NotNegative = 0.3

    def loss(
        self, logits: Logits, batch: Batch, auxiliary: Sequence[Logits] = ()
    ) -> Float[Array, ""]:
        """Returns the mean cross entropy over images and classes.

        The losses of the auxiliary heads are multiplied by `auxiliary_weight` and
        added.
        """
        losses = [self._losses(rows, batch).mean() for rows in (logits, *auxiliary)]
        return losses[0] + self.auxiliary_weight * sum(losses[1:])

    def metrics(self, logits: Logits, batch: Batch) -> Pairs:
        """Returns the cross entropy; `scores` computes average precision and F1."""
        mask = batch.get("mask", jnp.ones(len(logits)))
        return {"loss": weighted(self._losses(logits, batch), mask)}

    def scores(self, totals: Totals, rows: Rows = ()) -> dict[str, float]:
        """Returns the loss and, in evaluation, average precision and F1.

        `mean_average_precision` is the mean average precision over the classes that at
        least one image has (Everingham et al. 2010, "The PASCAL VOC Challenge", section
        4.2, without interpolation). `mean_f1` is the mean F1 score, at the task's
        threshold, over the classes that are labeled or predicted for at least one
        image. If the data have at most `MAX_NAMED_CLASSES` classes, the result also has
        the average precision of each class as `ap/<class>`.
        """
        found = means(totals)
        if rows:
            labels = np.stack([row["label"] for row in rows]) > 0
            chances = np.stack([row["probabilities"] for row in rows])
            precisions = average_precision(labels, chances).tolist()
            found |= mean_of_defined("mean_average_precision", precisions, "classes")
            if len(self.classes) <= MAX_NAMED_CLASSES:
                for name, value in zip(self.classes, precisions, strict=True):
                    if np.isfinite(value):
                        found[f"ap/{name}"] = value
            scores = f1(labels, chances >= self.threshold).tolist()
            found |= mean_of_defined("mean_f1", scores, "classes")
        return found

    def predictions(self, logits: Logits, batch: Batch) -> dict[str, Array]:
        """Returns the class `probabilities` of each image, and its loss as `error`."""
        return {
            "probabilities": jax.nn.sigmoid(logits[:, : len(self.classes)]),
            "error": self._losses(logits, batch),
        }

    def summaries(
        self, totals: Totals, worst: Rows, rows: Rows = ()
    ) -> dict[str, np.ndarray]:
        """Returns a picture of the images with the greatest errors, as "wrong".

        Each image is above its labeled and its predicted classes.
        """
        del totals, rows
        if not worst:
            return {}
        labels = [
            f"{self._names(row['label'] > 0)} as "
            f"{self._names(row['probabilities'] >= self.threshold)}"
            for row in worst
        ]
        images = [row["image"] for row in worst]
        return {"wrong": pictures.labeled_grid(images, labels)}

    def answers(
        self,
        pictures: Sequence[np.ndarray],
        logits: Float[np.ndarray, "batch outputs"],
        k: int | None,
    ) -> Answers:
        """Returns the most probable classes of each picture.

        Args:
          pictures: the pictures, one for each row of `logits`; not used.
          logits: the network's outputs.
          k: the number of classes for each picture; None: all classes with a
            probability of at least `threshold`.
        """
        del pictures
        chances = np.asarray(jax.nn.sigmoid(logits[:, : len(self.classes)]))
        return [
            [
                {"class": self.classes[index], "probability": float(row[index])}
                for index in np.argsort(-row, kind="stable")[:k]
                if k or row[index] >= self.threshold
            ]
            for row in chances
        ]

    def drawn(
        self,
        picture: UInt8[np.ndarray, "*depth height width channels"],
        logits: Float[np.ndarray, " outputs"],
    ) -> np.ndarray:
        """Returns a drawing: the picture, and below it the predicted classes."""
        (found,) = self.answers([picture], logits[None], None)
        named = [f"{best['class']} {best['probability']:.0%}" for best in found]
        return pictures.labeled_grid([picture], [", ".join(named) or "none"])

    def _losses(self, logits: Logits, batch: Batch) -> Float[Array, " batch"]:
        """Returns the mean cross entropy of each example over the classes."""
        labels = batch["label"].astype(jnp.float32)
        logits = logits[:, : len(self.classes)]  # a network may have more outputs
        return optax.sigmoid_binary_cross_entropy(logits, labels).mean(-1)

    def _names(self, chosen: np.ndarray) -> str:
        """Returns the names of the chosen classes as one text; "none" without a class.

        Args:
          chosen: one boolean for each class.
        """
        return " ".join(self.classes[i] for i in np.flatnonzero(chosen)) or "none"


def average_precision(
    labels: Bool[np.ndarray, "n classes"],
    scores: Float[np.ndarray, "n classes"],
) -> Float[np.ndarray, " classes"]:
    """Returns the average precision of each class; NaN for a class that no image has.

        AP = sum over thresholds n of (R[n] - R[n-1]) P[n]

    P[n] and R[n] are precision and recall if the class is predicted for all images with
    a score of at least threshold n. The thresholds are the scores, in falling order.

    Args:
      labels: whether each image has each class.
      scores: the score of each class for each image.
    """
    found = np.full(labels.shape[1], np.nan)
    for i in np.flatnonzero(labels.any(0)):
        order = np.argsort(-scores[:, i], kind="stable")
        ranked, own = scores[order, i], labels[order, i]
        # Images with equal scores pass a threshold together.
        last = np.append(ranked[1:] != ranked[:-1], True)
        hits, counts = np.cumsum(own)[last], np.flatnonzero(last) + 1
        found[i] = np.diff(hits, prepend=0) @ (hits / counts) / own.sum()
    return found


def f1(
    labels: Bool[np.ndarray, "n classes"], predicted: Bool[np.ndarray, "n classes"]
) -> Float[np.ndarray, " classes"]:
    """Returns the F1 score of each class: the harmonic mean of precision and recall.

    The score is NaN for a class that is neither labeled nor predicted for any image.
    """
    both, either = (labels & predicted).sum(0), labels.sum(0) + predicted.sum(0)
    return np.where(either > 0, 2 * both / np.maximum(either, 1), np.nan)
