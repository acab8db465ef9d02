"""Classification: each image or clip has one class."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, UInt8

from cnn_jax.core.fit import Need
from cnn_jax.core.ranges import Count, NotNegative, Range, Rate
from cnn_jax.tasks import pictures
from cnn_jax.tasks.metrics import Pairs, Rows, Totals, means, weighted
from cnn_jax.tasks.task import Answers, Batch, Task

# A larger confusion matrix is not readable as a picture.
MAX_CONFUSION_CLASSES = 50


@dataclass(frozen=True)
class Classification(Task):
    """Classification, trained with softmax cross entropy and measured by accuracy.

    Attributes:
      classes: the names of the classes; a label is an index into this tuple.
      label_smoothing: the share of the target that is spread over all classes
        (Szegedy et al. 2016).
      auxiliary_weight: the weight of the loss of each auxiliary head of the network
        (Szegedy et al. 2015: 0.3).
      top_k: for each number k in this tuple, also measure how often the label is among
        the k most probable classes (top-k accuracy).
    """

    best_metric: ClassVar[str] = "accuracy"
    shares: ClassVar[tuple[str, ...]] = ("probability",)

    _: KW_ONLY
    label_smoothing: Rate = 0.0
    auxiliary_weight: NotNegative = 0.3
    top_k: tuple[Count, ...] = ()

    @property
    def takes(self) -> tuple[Need, ...]:
        """The needs of every task, and at least as many classes as the largest k."""
        enough = Need(
            "classes",
            Range(least=max(self.top_k, default=0)),
            f"has config.task.top_k={self.top_k}",
            "set config.task.top_k to at most the number of classes",
        )
        return (*super().takes, enough)

    def loss(
        self,
        logits: Float[Array, "batch classes"],
        batch: Batch,
        auxiliary: Sequence[Float[Array, "batch classes"]] = (),
    ) -> Float[Array, ""]:
        """Returns the mean cross entropy with smoothed targets.

        The losses of the auxiliary heads are multiplied by `auxiliary_weight` and
        added.
        """
        return self._losses(logits, batch["label"], auxiliary).mean()

    def _losses(
        self,
        logits: Float[Array, "batch classes"],
        labels: Int[Array, " batch"],
        auxiliary: Sequence[Float[Array, "batch classes"]],
    ) -> Float[Array, " batch"]:
        """Returns the loss of each example."""
        targets = optax.smooth_labels(
            jax.nn.one_hot(labels, logits.shape[-1]), self.label_smoothing
        )
        losses = [
            optax.softmax_cross_entropy(outputs, targets)
            for outputs in (logits, *auxiliary)
        ]
        return losses[0] + self.auxiliary_weight * sum(losses[1:])

    def metrics(self, logits: Float[Array, "batch classes"], batch: Batch) -> Pairs:
        """Returns cross entropy without smoothing, accuracies and confusion matrix.

        The rows of the confusion matrix are labels, its columns are predictions. The
        matrix is computed only in evaluation (where batches have a mask), and only for
        up to `MAX_CONFUSION_CLASSES` classes.
        """
        labels = batch["label"]
        mask = batch.get("mask", jnp.ones(len(labels)))
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        # How many classes score at least as high as the label. Ties count against the
        # label, so a network with equal outputs for all classes is not called right.
        # If the logits are NaN, no class counts, not even the label's own.
        own = jnp.take_along_axis(logits, labels[:, None], axis=-1)
        rank = (logits >= own).sum(axis=-1)
        pairs = {"loss": weighted(losses, mask)}
        ks = {"accuracy": 1} | {f"top_{k}_accuracy": k for k in self.top_k}
        for name, k in ks.items():
            within = (rank >= 1) & (rank <= k)
            pairs[name] = weighted(within.astype(jnp.float32), mask)
        if "mask" in batch and len(self.classes) <= MAX_CONFUSION_CLASSES:
            classes = logits.shape[-1]
            matrix = jnp.einsum(
                "bi,bj,b->ij",
                jax.nn.one_hot(labels, classes),
                jax.nn.one_hot(logits.argmax(-1), classes),
                mask,
            )
            pairs["confusion"] = (matrix, mask.sum())
        return pairs

    def scores(self, totals: Totals, rows: Rows = ()) -> dict[str, float]:
        """Returns the mean of each metric, without the confusion matrix."""
        del rows
        return means(totals)

    def predictions(
        self, logits: Float[Array, "batch classes"], batch: Batch
    ) -> dict[str, Array]:
        """Returns the predicted class of each example, its probability and an `error`.

        `error` is the cross entropy of a wrongly classified example, and 0 for a
        correctly classified example. Evaluation shows the examples with the greatest
        error.
        """
        probabilities = jax.nn.softmax(logits)
        predicted = logits.argmax(-1)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
        return {
            "class": predicted,
            "probability": probabilities.max(-1),
            "error": losses * (predicted != batch["label"]),
        }

    def summaries(
        self, totals: Totals, worst: Rows, rows: Rows = ()
    ) -> dict[str, np.ndarray]:
        """Returns pictures of an evaluation, uint8 (height, width, 3), by name.

        "confusion" is the confusion matrix. "wrong" shows the images of `worst` with
        their labels and predicted classes.

        Args:
          totals: the summed pairs of `metrics`.
          worst: the examples with the greatest error; each is one dict with the
            entries of the batch and of `predictions`.
        """
        del rows
        result = {}
        if "confusion" in totals:
            result["confusion"] = pictures.confusion_matrix(
                totals["confusion"][0][: len(self.classes)], self.classes
            )
        if worst:
            result["wrong"] = pictures.labeled_grid(
                [row["image"] for row in worst],
                [
                    f"{self.classes[row['label']]} as {self.class_name(row['class'])},"
                    f" {row['probability']:.0%}"
                    for row in worst
                ],
            )
        return result

    def answers(
        self,
        pictures: Sequence[np.ndarray],
        logits: Float[np.ndarray, "batch classes"],
        k: int | None,
    ) -> Answers:
        """Returns the name and the probability of the k most probable classes.

        Args:
          pictures: the pictures, one for each row of `logits`; not used.
          logits: the network's outputs.
          k: the number of classes for each picture; None: all classes.
        """
        del pictures
        probabilities = np.asarray(jax.nn.softmax(logits), np.float64)
        return [
            [
                {"class": self.class_name(index), "probability": float(row[index])}
                for index in np.argsort(-row, kind="stable")[:k]
            ]
            for row in probabilities
        ]

    def drawn(
        self,
        image: UInt8[np.ndarray, "*depth height width channels"],
        logits: np.ndarray,
    ) -> np.ndarray:
        """Returns the image, or the frames of a clip, above the predicted class."""
        ((best,),) = self.answers([image], logits[None], 1)
        label = f"{best['class']}, {best['probability']:.0%}"
        return pictures.labeled_grid([image], [label])
