"""Semantic segmentation: each pixel has a class (Long et al. 2015, "Fully Convolutional
Networks for Semantic Segmentation")."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int32, UInt8
from PIL import Image

from cnn_jax.core.fit import Need
from cnn_jax.core.ranges import NotNegative, Positive, Range, Rate
from cnn_jax.data import bands
from cnn_jax.data.labels.pixels import IGNORED
from cnn_jax.tasks import (
    boundaries,
    imbalance,
    losses,
    pictures,
    segmentation_losses,
)
from cnn_jax.tasks.metrics import (
    Pairs,
    Row,
    Rows,
    Totals,
    mean_of_defined,
    means,
    weighted,
)
from cnn_jax.tasks.resizing import STRETCHED, Resizing
from cnn_jax.tasks.task import Answers, Batch, Task

Logits = Float[Array, "batch height width classes"]

# Larger confusion matrices are not readable as pictures, nor longer lists of classes.
MANY_CLASSES = 50


@dataclass(frozen=True)
class Segmentation(Task):
    """Segmentation, measured by accuracy and intersection over union of pixels.

    Pixels with the label 255 (`data.labels.pixels.IGNORED`) are left out of the loss
    and of all scores.

    Attributes:
      classes: the names of the classes; a label is an index into this tuple.
      loss_name: the training loss: `cross_entropy`, `focal`, `dice` or an import path,
        with or without options. Several losses with commas are added:
        `cross_entropy, dice`. See `tasks.segmentation_losses`.
      label_smoothing: the share of the target that is spread over all classes
        (Szegedy et al. 2016).
      class_weights: the weight of each class in the cross entropy and the focal loss;
        empty: equal weights. Rare classes need large weights. `balanced`: the inverse
        of each class's share of the training pixels, divided by the number of classes.
        The loss is divided by the sum of the weights of all pixels, as in PyTorch.
      auxiliary_weight: the weight of the loss of the network's auxiliary head
        (torchvision: 0.5).
      boundary_tolerance: the distance in pixels up to which two boundaries agree in the
        score `boundary_f1`; see `boundaries.f1`. None: this score is not measured.

    Raises:
      UserError: the number of class weights is not the number of classes, or they are
        another text than `balanced`.
    """

    best_metric: ClassVar[str] = "mean_iou"
    label_kind: ClassVar[str] = "pixels"
    output_kind: ClassVar[str] = "maps"
    resizing: ClassVar[Resizing] = STRETCHED
    shares: ClassVar[tuple[str, ...]] = ("share",)

    _: KW_ONLY
    loss_name: str = "cross_entropy"
    label_smoothing: Rate = 0.0
    class_weights: str | tuple[Positive, ...] = ()
    auxiliary_weight: NotNegative = 0.5
    boundary_tolerance: Annotated[float, Range(least=0, most=64)] | None = None

    def __post_init__(self):
        losses.find_all(self.loss_name, segmentation_losses.LOSSES)
        imbalance.check_weights(self.class_weights or None, self.classes)

    @property
    def takes(self) -> tuple[Need, ...]:
        """The needs of every task, and per-pixel outputs from auxiliary heads."""
        pixels = Need(
            "auxiliary output",
            {self.output_kind},
            "learns one label per pixel",
            "set config.model.auxiliary=false",
        )
        counts = imbalance.needs(self.class_weights, logit_adjustment=0.0)
        return (*super().takes, pixels, *counts)

    def loss(
        self, logits: Logits, batch: Batch, auxiliary: Sequence[Logits] = ()
    ) -> Float[Array, ""]:
        """Returns the loss `loss_name` of this device's labeled pixels.

        Targets are smoothed. A pixel has the weight of its class. The losses of the
        auxiliary heads are multiplied by `auxiliary_weight` and added.
        """
        labels, counted = self._labels(batch)
        targets = optax.smooth_labels(
            jax.nn.one_hot(labels, logits.shape[-1]), self.label_smoothing
        )
        weights = counted.astype(jnp.float32)
        of_classes = imbalance.class_weights(
            self.class_weights or None, self.label_statistics.counts
        )
        if of_classes is not None:
            weights *= jnp.asarray(of_classes)[labels]
        added = losses.find_all(self.loss_name, segmentation_losses.LOSSES)
        main, *further = (
            sum(loss(outputs, targets, weights) for loss in added)
            for outputs in (logits, *auxiliary)
        )
        return main + self.auxiliary_weight * sum(further)

    def metrics(self, logits: Logits, batch: Batch) -> Pairs:
        """Returns cross entropy without smoothing, accuracy and confusion matrix.

        The confusion matrix counts pixels; its rows are labels, its columns are
        predictions. The matrix is computed only in evaluation (where batches have a
        mask), and `scores` computes intersections and unions from the matrix. The
        counts are integers, because float32 counts exactly only up to 16.8 million
        pixels.
        """
        labels, counted = self._labels(batch)
        entropies = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        predicted = logits.argmax(-1)
        count = counted.sum()
        pairs = {
            "loss": (jnp.where(counted, entropies, 0).sum(), count),
            "pixel_accuracy": ((counted & (predicted == labels)).sum(), count),
        }
        if "mask" in batch:
            classes = logits.shape[-1]
            # `bincount` drops pixels that do not count: their place is beyond the end.
            place = jnp.where(counted, labels * classes + predicted, classes**2)
            matrix = jnp.bincount(place.ravel(), length=classes**2)
            pairs["confusion"] = (matrix.reshape(classes, classes), count)
            if self.boundary_tolerance is not None:
                scores, has = boundaries.f1(
                    labels,
                    predicted.astype(jnp.int32),
                    counted,
                    classes,
                    self.boundary_tolerance,
                )
                pairs["boundary_f1"] = weighted(scores, has.astype(jnp.float32))
        return pairs

    def scores(self, totals: Totals, rows: Rows = ()) -> dict[str, float]:
        """Returns the mean metrics and, in evaluation, `mean_iou`.

        The IoU of a class is the intersection over union of two sets of pixels in all
        images together: the pixels labeled as the class, and the pixels predicted as
        the class. `mean_iou` is the mean over the classes that occur in a label or a
        prediction. If some classes do not occur, `mean_iou_classes` is the number of
        classes in the mean. If the data have at most `MANY_CLASSES` classes, the result
        also has `iou/<class>` for each class that occurs.

        `boundary_f1` is the mean of the boundary F1 over the images that have a
        boundary; see `boundary_tolerance`.
        """
        del rows
        found = means(totals)
        if "confusion" in totals:
            matrix, _ = totals["confusion"]
            intersection = np.diag(matrix)
            union = matrix.sum(0) + matrix.sum(1) - intersection
            occurs = np.flatnonzero(union)
            ratios = intersection[occurs] / union[occurs]
            if len(self.classes) <= MANY_CLASSES:
                found |= {
                    f"iou/{self.class_name(i)}": float(ratio)
                    for i, ratio in zip(occurs, ratios, strict=True)
                }
            absent = len(self.classes) - len(occurs)
            values = [*ratios, *[np.nan] * absent]
            found |= mean_of_defined("mean_iou", values, "classes")
        return found

    def predictions(self, logits: Logits, batch: Batch) -> dict[str, Array]:
        """Returns the predicted `class` of each pixel, and an `error` of each example.

        `error` is the summed cross entropy of the wrongly classified pixels, divided by
        the number of labeled pixels. Evaluation shows the examples with the greatest
        error.
        """
        labels, counted = self._labels(batch)
        predicted = logits.argmax(-1)
        entropies = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        wrong = jnp.where(counted & (predicted != labels), entropies, 0)
        few = logits.shape[-1] <= 256
        return {
            "class": predicted.astype(jnp.uint8 if few else jnp.int32),
            "error": wrong.sum((1, 2)) / jnp.maximum(counted.sum((1, 2)), 1),
        }

    def summaries(
        self, totals: Totals, worst: Rows, rows: Rows = ()
    ) -> dict[str, np.ndarray]:
        """Returns pictures of an evaluation, uint8 (height, width, 3), by name.

        "segmentation" shows image, label and prediction of each example in `worst` side
        by side. "confusion" shows the confusion matrix. A row of this matrix contains
        percentages of the pixels with the row's label.

        Args:
          totals: a pair of a sum and a count for each entry of `metrics`.
          worst: the examples with the greatest error; each is one dict with the
            entries of the batch and of `predictions`.
        """
        del rows
        result = {}
        if "confusion" in totals and len(self.classes) <= MANY_CLASSES:
            matrix = totals["confusion"][0][: len(self.classes)]
            share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
            result["confusion"] = pictures.confusion_matrix(
                np.round(100 * share), self.classes
            )
        if worst:
            found = pictures.labeled_grid(
                [self._panels(row) for row in worst],
                [f"{_wrong(row):.1%} of the pixels wrong" for row in worst],
            )
            result["segmentation"] = pictures.with_legend(found, self.classes)
        return result

    def answers(
        self,
        pictures: Sequence[np.ndarray],
        logits: Float[np.ndarray, "batch height width classes"],
        k: int | None,
    ) -> Answers:
        """Returns the most frequent predicted classes of each image.

        "share" is the share of the pixels that are predicted as the class.

        Args:
          pictures: the pictures, one for each row of `logits`; not used.
          logits: the network's outputs.
          k: the greatest number of classes for each image; None: all classes that are
            predicted for a pixel.
        """
        del pictures
        classes = logits.shape[-1]
        maps = np.asarray(logits.argmax(-1)).reshape(len(logits), -1)
        counts = np.stack([np.bincount(row, minlength=classes) for row in maps])
        return [
            [
                {
                    "class": self.class_name(index),
                    "share": float(row[index] / row.sum()),
                }
                for index in np.argsort(-row, kind="stable")[:k]
                if row[index]
            ]
            for row in counts
        ]

    def drawn(
        self,
        picture: UInt8[np.ndarray, "height width 3"],
        logits: Float[np.ndarray, "map_height map_width classes"],
    ) -> np.ndarray:
        """Returns the picture beside its map of predicted classes, with a legend."""
        height, width = picture.shape[:2]
        small = Image.fromarray(pictures.colored(logits.argmax(-1)))
        mask = np.asarray(small.resize((width, height), Image.Resampling.NEAREST))
        both = np.stack([picture, mask])
        return pictures.with_legend(pictures.grid([both], cell=256), self.classes)

    def _labels(
        self, batch: Batch
    ) -> tuple[
        Int32[Array, "batch height width"],
        Bool[Array, "batch height width"],
    ]:
        """Returns the label of each pixel, and True for each pixel that has a label.

        The label of ignored pixels and of padding is 0.
        """
        counted = batch["label"] != IGNORED
        if "mask" in batch:
            counted &= (batch["mask"] > 0)[:, None, None]
        return jnp.where(counted, batch["label"], 0).astype(jnp.int32), counted

    def _panels(self, row: Row) -> np.ndarray:
        """Returns image, label and prediction as pictures, uint8 (3, height, width, 3).

        Args:
          row: the entries of the batch and of `predictions` for one example.
        """
        maps = [pictures.colored(row[key]) for key in ("label", "class")]
        return np.stack([bands.shown(row["image"]), *maps])


def _wrong(row: Row) -> float:
    """Returns the share of the labeled pixels that are classified wrongly."""
    counted = row["label"] != IGNORED
    return float(np.mean(row["label"][counted] != row["class"][counted]))
