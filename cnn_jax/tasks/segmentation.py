"""Semantic segmentation: one label a pixel (Long et al. 2015, "Fully Convolutional
Networks for Semantic Segmentation")."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int32, UInt8
from PIL import Image

from cnn_jax.core.errors import UserError
from cnn_jax.core.fit import Need
from cnn_jax.core.ranges import NotNegative, Positive, Rate
from cnn_jax.data.labels.pixels import IGNORED
from cnn_jax.tasks import pictures
from cnn_jax.tasks.metrics import Pairs, Row, Rows, Totals, mean_of_defined, means
from cnn_jax.tasks.resizing import STRETCHED, Resizing
from cnn_jax.tasks.task import Answers, Batch, Task

Logits = Float[Array, "batch height width classes"]

# A larger confusion matrix is not readable as a picture, nor is a longer list.
MANY_CLASSES = 50


@dataclass(frozen=True)
class Segmentation(Task):
    """Softmax cross entropy, accuracy and intersection over union, by pixels.

    Pixels whose label is 255 (`data.labels.pixels.IGNORED`) count nowhere.

    Attributes:
      classes: the names of the classes; labels are indices into them.
      label_smoothing: share of the target spread over all classes
        (Szegedy et al. 2016).
      class_weights: of the cross entropy of each class's pixels, such as the inverse
        of their share, so that rare classes count (Eigen and Fergus 2015); empty: all
        alike. The loss is divided by the sum of the weights, as in PyTorch.
      auxiliary_weight: of the loss of an auxiliary head that the network has
        (torchvision: 0.5).

    Raises:
      UserError: other than one weight for each class.
    """

    best_metric: ClassVar[str] = "mean_iou"
    label_kind: ClassVar[str] = "pixels"
    output_kind: ClassVar[str] = "maps"
    resizing: ClassVar[Resizing] = STRETCHED
    shares: ClassVar[tuple[str, ...]] = ("share",)

    _: KW_ONLY
    label_smoothing: Rate = 0.0
    class_weights: tuple[Positive, ...] = ()
    auxiliary_weight: NotNegative = 0.5

    def __post_init__(self):
        count = len(self.class_weights)
        if count not in (0, len(self.classes)):
            raise UserError(
                f"config.task.class_weights needs {len(self.classes)} numbers, one for "
                f"each of {', '.join(self.classes)}; it has {count}."
            )

    @property
    def takes(self) -> tuple[Need, ...]:
        """The needs of every task, and auxiliary heads for pixels too."""
        pixels = Need(
            "auxiliary output",
            {self.output_kind},
            "learns one label a pixel",
            "set config.model.auxiliary=false",
        )
        return (*super().takes, pixels)

    def loss(
        self, logits: Logits, batch: Batch, auxiliary: Sequence[Logits] = ()
    ) -> Float[Array, ""]:
        """What training minimizes: the mean over the pixels of this device that have a
        label, with smoothed targets and by the weights of their classes.

        That of the logits of `auxiliary` heads is added, times `auxiliary_weight`.
        """
        labels, counted = self._labels(batch)
        targets = optax.smooth_labels(
            jax.nn.one_hot(labels, logits.shape[-1]), self.label_smoothing
        )
        weights = counted.astype(jnp.float32)
        if self.class_weights:
            weights *= jnp.array(self.class_weights)[labels]
        # All weights are zero only where no pixel has a label.
        total = weights.sum()
        total = jnp.where(total > 0, total, 1)
        losses = [
            (optax.softmax_cross_entropy(outputs, targets) * weights).sum() / total
            for outputs in (logits, *auxiliary)
        ]
        return losses[0] + self.auxiliary_weight * sum(losses[1:])

    def metrics(self, logits: Logits, batch: Batch) -> Pairs:
        """Cross entropy without smoothing, accuracy and the confusion matrix.

        The matrix (label, prediction) counts pixels, and is there only in evaluation
        (where batches have a mask): `scores` makes the intersections and unions of it.
        Counts are integers: in float32 they would be exact up to 16.8 million pixels.
        """
        labels, counted = self._labels(batch)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        predicted = logits.argmax(-1)
        count = counted.sum()
        pairs = {
            "loss": (jnp.where(counted, losses, 0).sum(), count),
            "pixel_accuracy": ((counted & (predicted == labels)).sum(), count),
        }
        if "mask" in batch:
            classes = logits.shape[-1]
            # A place beyond the end is one that `bincount` drops.
            place = jnp.where(counted, labels * classes + predicted, classes**2)
            matrix = jnp.bincount(place.ravel(), length=classes**2)
            pairs["confusion"] = (matrix.reshape(classes, classes), count)
        return pairs

    def scores(self, totals: Totals, rows: Rows = ()) -> dict[str, float]:
        """The means and, of an evaluation, `mean_iou`: intersection over union of the
        pixels of a class and those predicted as it, in all images together, averaged
        over the classes that a label or a prediction has (`mean_iou_classes` counts
        these, if they are not all); and that of each of these, if there are few,
        `iou/<class>`."""
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
        """For each example the map of classes, and how wrong it is.

        `error` is the cross entropy of its wrongly classified pixels, divided by the
        number of all that have a label: the examples of greatest error are shown.
        """
        labels, counted = self._labels(batch)
        predicted = logits.argmax(-1)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        wrong = jnp.where(counted & (predicted != labels), losses, 0)
        few = logits.shape[-1] <= 256
        return {
            "class": predicted.astype(jnp.uint8 if few else jnp.int32),
            "error": wrong.sum((1, 2)) / jnp.maximum(counted.sum((1, 2)), 1),
        }

    def summaries(
        self, totals: Totals, worst: Rows, rows: Rows = ()
    ) -> dict[str, np.ndarray]:
        """Pictures of an evaluation, uint8 (height, width, 3), by name.

        "segmentation" has each example's image, label and prediction side by side;
        "confusion" has per cent of the pixels of each label.

        Args:
          totals: the sums of `metrics`.
          worst: the examples of greatest error: rows of the batch and of
            `predictions` in one dict each.
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
        """For each image the k classes that most pixels have: name and share."""
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
        """The picture, and beside it its pixels in the colors of their classes."""
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
        """Labels, 0 where there is none, and which pixels count."""
        counted = batch["label"] != IGNORED
        if "mask" in batch:
            counted &= (batch["mask"] > 0)[:, None, None]
        return jnp.where(counted, batch["label"], 0).astype(jnp.int32), counted

    def _panels(self, row: Row) -> np.ndarray:
        """Image, label and prediction, uint8 [3, height, width, 3]."""
        image = np.broadcast_to(row["image"], (*row["label"].shape, 3))
        maps = [pictures.colored(row[key]) for key in ("label", "class")]
        return np.stack([image, *maps])


def _wrong(row: Row) -> float:
    """The share of the pixels with a label whose prediction is another."""
    counted = row["label"] != IGNORED
    return float(np.mean(row["label"][counted] != row["class"][counted]))
