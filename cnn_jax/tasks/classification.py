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
from cnn_jax.core.names import plain, short
from cnn_jax.core.ranges import Count, NotNegative, Positive, Range, Rate
from cnn_jax.tasks import (
    binary_curves,
    calibration,
    class_scores,
    diagrams,
    imbalance,
    losses,
    pictures,
)
from cnn_jax.tasks.metrics import Pairs, Rows, Totals, means, weighted
from cnn_jax.tasks.task import Answers, Batch, Table, Task

# A larger confusion matrix is not readable as a picture.
MAX_CONFUSION_CLASSES = 50
# With more classes than this, evaluation also measures the top-5 accuracy.
FEW_CLASSES = 10


@dataclass(frozen=True)
class Classification(Task):
    """Classification, measured by accuracy.

    In a batch with mixed images, the loss and the metrics of an example are means over
    its own label and the "other_label", weighted by the "share" of its own. Metrics and
    probabilities are those of a softmax, whatever the loss.

    Evaluation also measures precision, recall and F1 of each class, and how well the
    probabilities agree with the accuracy. With two classes, it measures the areas under
    the ROC curve and the precision-recall curve of the second class.

    Attributes:
      classes: the names of the classes; a label is an index into this tuple.
      loss_name: the training loss: `cross_entropy`, `binary_cross_entropy`, `focal` or
        an import path, with or without options: `focal(gamma=1.5)`. See `tasks.losses`.
      label_smoothing: the share of the target that is spread over all classes
        (Szegedy et al. 2016).
      class_weights: the factor of the loss of each class's examples. `balanced`: the
        weights of scikit-learn's `compute_class_weight`, from the training labels.
        None: equal weights. The loss is the mean over the examples of the batch;
        PyTorch divides by the sum of their weights instead.
      logit_adjustment: the factor of the logarithm of the classes' shares of the
        training examples. This term is added to the logits, in the training loss only
        (tau of Menon et al. 2021, whose value is 1). So rare classes get larger logits.
      auxiliary_weight: the weight of the loss of each auxiliary head of the network
        (Szegedy et al. 2015: 0.3).
      top_k: for each number k in this tuple, also measure how often the label is among
        the k most probable classes (top-k accuracy).
    """

    best_metric: ClassVar[str] = "accuracy"
    kept: ClassVar[tuple[str, ...]] = ("label", "class", "probability", "loss")
    detailed: ClassVar[tuple[str, ...]] = (
        "macro_precision",
        "macro_recall",
        "macro_f1",
        "expected_calibration_error",
        "brier_score",
    )
    shares: ClassVar[tuple[str, ...]] = ("probability",)
    mixes: ClassVar[bool] = True

    _: KW_ONLY
    loss_name: str = "cross_entropy"
    label_smoothing: Rate = 0.0
    class_weights: str | tuple[Positive, ...] | None = None
    logit_adjustment: NotNegative = 0.0
    auxiliary_weight: NotNegative = 0.3
    top_k: tuple[Count, ...] = ()

    def __post_init__(self):
        losses.find(self.loss_name)
        imbalance.check_weights(self.class_weights, self.classes)

    @property
    def takes(self) -> tuple[Need, ...]:
        """The needs of every task, and at least as many classes as the largest k.

        Balanced weights and adjusted logits also need the number of training examples
        of each class.
        """
        enough = Need(
            "classes",
            Range(least=max(self.top_k, default=0)),
            f"has config.task.top_k={self.top_k}",
            "set config.task.top_k to at most the number of classes",
        )
        counts = imbalance.needs(self.class_weights, self.logit_adjustment)
        return (*super().takes, enough, *counts)

    def loss(
        self,
        logits: Float[Array, "batch classes"],
        batch: Batch,
        auxiliary: Sequence[Float[Array, "batch classes"]] = (),
    ) -> Float[Array, ""]:
        """Returns the mean of the loss `loss_name`, with smoothed targets.

        The losses of the auxiliary heads are multiplied by `auxiliary_weight` and
        added. An example's loss is multiplied by the weight of its label.
        """
        found = self._losses(logits, batch["label"], auxiliary)
        if "share" in batch:
            other = self._losses(logits, batch["other_label"], auxiliary)
            found = batch["share"] * found + (1 - batch["share"]) * other
        return found.mean()

    def _losses(
        self,
        logits: Float[Array, "batch classes"],
        labels: Int[Array, " batch"],
        auxiliary: Sequence[Float[Array, "batch classes"]],
    ) -> Float[Array, " batch"]:
        """Returns the loss of each example."""
        loss = losses.find(self.loss_name)
        targets = optax.smooth_labels(
            jax.nn.one_hot(labels, logits.shape[-1]), self.label_smoothing
        )
        main, *further = (
            loss(self._adjusted(outputs), targets) for outputs in (logits, *auxiliary)
        )
        found = main + self.auxiliary_weight * sum(further)
        weights = imbalance.class_weights(
            self.class_weights, self.label_statistics.counts
        )
        return found if weights is None else found * jnp.asarray(weights)[labels]

    def _adjusted(
        self, logits: Float[Array, "batch classes"]
    ) -> Float[Array, "batch classes"]:
        """Returns the logits of the training loss; see `logit_adjustment`."""
        if not (self.logit_adjustment and self.label_statistics.counts):
            return logits
        priors = imbalance.log_priors(self.label_statistics.counts, logits.shape[-1])
        return logits + self.logit_adjustment * priors

    @property
    def collected(self) -> tuple[str, ...]:
        """The entries that the curves of two classes need."""
        return ("label", "log_odds") if len(self.classes) == 2 else ()

    def metrics(self, logits: Float[Array, "batch classes"], batch: Batch) -> Pairs:
        """Returns the pairs of `_pairs`. In evaluation, batches have a mask."""
        labels = batch["label"]
        if "share" in batch:
            own = self._pairs(logits, labels, batch["share"], evaluating=False)
            rest = 1 - batch["share"]
            other = self._pairs(logits, batch["other_label"], rest, evaluating=False)
            return jax.tree.map(jnp.add, own, other)
        mask = batch.get("mask", jnp.ones(len(labels)))
        return self._pairs(logits, labels, mask, evaluating="mask" in batch)

    def _pairs(
        self,
        logits: Float[Array, "batch classes"],
        labels: Int[Array, " batch"],
        mask: Float[Array, " batch"],
        *,
        evaluating: bool,
    ) -> Pairs:
        """Returns cross entropy without smoothing, accuracies and, in evaluation, more.

        The cross entropy is the negative log-likelihood, in nats. The further pairs of
        an evaluation are the Brier score, the counts of `class_scores`, the bins of
        `calibration` and, for up to `MAX_CONFUSION_CLASSES` classes, the confusion
        matrix. The rows of this matrix are labels, its columns are predictions.

        Args:
          logits: the network's outputs.
          labels: the label of each example.
          mask: 0 for rows that do not count, and 1 for all other rows.
          evaluating: whether the batch is one of an evaluation.
        """
        entropies = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        # How many classes score at least as high as the label. Ties count against the
        # label, so a network with equal outputs for all classes is not called right.
        # If the logits are NaN, no class counts, not even the label's own.
        own = jnp.take_along_axis(logits, labels[:, None], axis=-1)
        rank = (logits >= own).sum(axis=-1)
        pairs = {"loss": weighted(entropies, mask)}
        for name, k in self._accuracies(evaluating).items():
            within = (rank >= 1) & (rank <= k)
            pairs[name] = weighted(within.astype(jnp.float32), mask)
        if not evaluating:
            return pairs
        outputs, predicted = logits.shape[-1], logits.argmax(-1)
        probabilities = jax.nn.softmax(logits)
        pairs["brier_score"] = weighted(calibration.brier(probabilities, labels), mask)
        pairs["calibration"] = calibration.binned(
            probabilities.max(-1), predicted == labels, mask
        )
        pairs["class_counts"] = class_scores.counts(labels, predicted, mask, outputs)
        if len(self.classes) <= MAX_CONFUSION_CLASSES:
            matrix = jnp.einsum(
                "bi,bj,b->ij",
                jax.nn.one_hot(labels, outputs),
                jax.nn.one_hot(predicted, outputs),
                mask,
            )
            pairs["confusion"] = (matrix, mask.sum())
        return pairs

    def _accuracies(self, evaluating: bool = True) -> dict[str, int]:
        """Returns the number k of each top-k accuracy, by the name of the metric."""
        more = (5,) if evaluating and len(self.classes) > FEW_CLASSES else ()
        ks = (*self.top_k, *more)
        return {"accuracy": 1} | {f"top_{k}_accuracy": k for k in ks}

    def scores(self, totals: Totals, rows: Rows = ()) -> dict[str, float]:
        """Returns the mean of each metric and, in evaluation, more scores.

        `macro_precision`, `macro_recall` and `macro_f1` are means over the classes; see
        `class_scores.macro`. `expected_calibration_error` is explained in
        `calibration`. With two classes, `roc_auc` and `average_precision` are the areas
        under the curves of `binary_curves`; the second class is the positive one.
        """
        found = means(totals)
        if "class_counts" in totals:
            found |= class_scores.macro(self._counted(totals))
        if totals.get("calibration", (0, 0))[1]:
            error = calibration.expected_error(totals["calibration"][0])
            found["expected_calibration_error"] = error
        if curves := self._curves(rows):
            found["roc_auc"] = curves.roc_auc
            found["average_precision"] = curves.average_precision
        return found

    def tables(self, totals: Totals) -> dict[str, Table]:
        """Returns the scores of each class as "classes"; see `class_scores.table`."""
        if "class_counts" not in totals:
            return {}
        counted = self._counted(totals)
        return {"classes": class_scores.table(counted, self.classes)}

    def _counted(self, totals: Totals) -> Float[np.ndarray, "3 classes"]:
        """Returns the counts of the data's classes; a network may have more outputs."""
        return totals["class_counts"][0][:, : len(self.classes)]

    def _curves(self, rows: Rows) -> binary_curves.Curves | None:
        """Returns the curves of the second of two classes; None if not defined."""
        if len(self.classes) != 2 or not rows or "log_odds" not in rows[0]:
            return None
        scores = np.array([row["log_odds"] for row in rows])
        return binary_curves.curves(
            scores, np.array([row["label"] for row in rows]) == 1
        )

    def predictions(
        self, logits: Float[Array, "batch classes"], batch: Batch
    ) -> dict[str, Array]:
        """Returns the predicted class of each example, its probability and the loss.

        `loss` is the cross entropy. `error` is the cross entropy of a wrongly
        classified example, and 0 for a correctly classified example. Evaluation shows
        the examples with the greatest error. With two classes, `log_odds` is the
        logarithm of the ratio of their probabilities.
        """
        predicted = logits.argmax(-1)
        labels = batch["label"]
        entropies = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        found = {
            "class": predicted,
            "probability": jax.nn.softmax(logits).max(-1),
            "loss": entropies,
            "error": entropies * (predicted != labels),
        }
        if len(self.classes) == 2:
            found["log_odds"] = logits[:, 1] - logits[:, 0]
        return found

    def records(self, rows: Rows) -> dict[str, np.ndarray]:
        """Returns the label, the prediction, its probability and the loss.

        `label` and `prediction` are indices of classes. `probability` is the
        probability of the predicted class.
        """
        kinds = {"label": np.int32, "class": np.int32}
        found = {
            name: np.array([row[name] for row in rows], kinds.get(name, np.float32))
            for name in self.kept
        }
        return {"label": found["label"], "prediction": found.pop("class"), **found}

    def summaries(
        self, totals: Totals, worst: Rows, rows: Rows = ()
    ) -> dict[str, np.ndarray]:
        """Returns pictures of an evaluation, uint8 (height, width, 3), by name.

        "confusion" is the confusion matrix, and "reliability" the reliability diagram.
        "wrong" shows the images of `worst` with their labels and predicted classes.
        With two classes, "roc" and "precision_recall" are the curves of `scores`.

        Args:
          totals: the summed pairs of `metrics`.
          worst: the examples with the greatest error; each is one dict with the
            entries of the batch and of `predictions`.
          rows: the `collected` entries of every example.
        """
        result = {}
        if "confusion" in totals:
            result["confusion"] = pictures.confusion_matrix(
                totals["confusion"][0][: len(self.classes)], self.classes
            )
        if totals.get("calibration", (0, 0))[1]:
            result["reliability"] = diagrams.reliability(totals["calibration"][0])
        if curves := self._curves(rows):
            positive = plain(short(self.classes[1]))
            result["roc"] = diagrams.roc(curves, positive)
            result["precision_recall"] = diagrams.precision_recall(curves, positive)
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
