"""Detection: boxes and classes of the objects in an image, as in FCOS."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from cnn_jax.core import extras
from cnn_jax.core.ranges import Range, Rate
from cnn_jax.models.fcos import Places
from cnn_jax.tasks import anchor_free, pictures
from cnn_jax.tasks.average_precision import average_precision
from cnn_jax.tasks.metrics import Pairs, Rows, Totals, means, weighted
from cnn_jax.tasks.resizing import STRETCHED, Resizing
from cnn_jax.tasks.task import Answers, Batch, Task

Outputs = dict[str, Any]  # the outputs of `models.fcos.FCOS`

# With more classes than this, the results list no average precision for each class.
MAX_NAMED_CLASSES = 20
SHOWN = 0.5  # the least score of a box in a picture, as in most demonstrations


@dataclass(frozen=True)
class Detection(Task):
    """Detection as in FCOS, measured by COCO's average precision.

    The loss is the sum of a focal loss, a GIoU loss and a centerness loss (see
    `anchor_free.losses`).

    Attributes:
      classes: the names of the classes, without a class for the background.
      score_threshold: only objects with a score above this threshold are detected.
      iou_threshold: non-maximum suppression removes a box if its IoU with a better box
        of the same class is above this threshold.
      most: the greatest number of objects that are detected in an image.
    """

    best_metric: ClassVar[str] = "ap"
    label_kind: ClassVar[str] = "boxes"
    output_kind: ClassVar[str] = "boxes"
    collected: ClassVar[tuple[str, ...]] = ("label", "detections")
    resizing: ClassVar[Resizing] = STRETCHED
    answered: ClassVar[int | None] = None
    shares: ClassVar[tuple[str, ...]] = ("score",)

    _: KW_ONLY
    score_threshold: Rate = 0.05
    iou_threshold: Annotated[float, Range(least=0, most=1)] = 0.6
    most: Annotated[int, Range(least=1, most=10_000)] = 100

    def __post_init__(self):
        extras.check("pycocotools", "detection", "config.task.name=detection")

    def loss(
        self, outputs: Outputs, batch: Batch, auxiliary: Sequence[Array] = ()
    ) -> Float[Array, ""]:
        """Returns the loss of this device's images: the sum of the three parts."""
        del auxiliary
        return _total(_losses(outputs, batch["label"]))

    def metrics(self, outputs: Outputs, batch: Batch) -> Pairs:
        """Returns `loss` and its three parts: means of the losses of single images."""
        labels = batch["label"]
        mask = batch.get("mask", jnp.ones(len(labels)))
        parts = _of_images(outputs, labels)
        parts["loss"] = _total(parts)
        return {name: weighted(values, mask) for name, values in parts.items()}

    def scores(self, totals: Totals, rows: Rows = ()) -> dict[str, float]:
        """Returns the mean losses and, in evaluation, `ap`, `ap50` and `ap75`.

        `AveragePrecision` explains these three scores. If the data have at most
        `MAX_NAMED_CLASSES` classes, the result also has `ap50/<class>` for each class.
        If some classes have no labeled objects, `ap_classes` is the number of classes
        that have labeled objects.
        """
        found = means(totals)
        if rows:
            precision = average_precision(
                [row["detections"] for row in rows],
                [row["label"] for row in rows],
                len(self.classes),
            )
            *main, by_class = precision
            named = dict(zip(("ap", "ap50", "ap75"), main, strict=True))
            if len(self.classes) <= MAX_NAMED_CLASSES:
                for name, value in zip(self.classes, by_class, strict=True):
                    named[f"ap50/{name}"] = float(value)
            # Average precision is not defined for classes without a labeled object.
            found |= {name: v for name, v in named.items() if np.isfinite(v)}
            known = int(np.isfinite(by_class).sum())
            if 0 < known < len(by_class):
                found["ap_classes"] = known
        return found

    def predictions(self, outputs: Outputs, batch: Batch) -> dict[str, Array]:
        """Returns the `detections` in each image, and the image's loss as `error`."""
        parts = _of_images(outputs, batch["label"])
        return {
            "detections": self.detections(outputs),
            "error": _total(parts),
        }

    def summaries(
        self, totals: Totals, worst: Rows, rows: Rows = ()
    ) -> dict[str, np.ndarray]:
        """Returns a picture of the images with the greatest errors, as "detections".

        Each image is drawn twice: with its labeled boxes and with its detected boxes.
        """
        del totals, rows
        if not worst:
            return {}
        cell = max(256, *worst[0]["image"].shape[:2])
        pairs = [
            np.stack(
                [
                    pictures.with_boxes(row["image"], boxes, self.classes, cell)
                    for boxes in (row["label"], _sure(row["detections"]))
                ]
            )
            for row in worst
        ]
        labels = [f"labels, and found: loss {row['error']:.2f}" for row in worst]
        return {"detections": pictures.labeled_grid(pairs, labels)}

    def answers(
        self, shown: Sequence[np.ndarray], outputs: Outputs, k: int | None
    ) -> Answers:
        """Returns the objects in each picture, in the order of falling scores.

        An object is a dict of "class", "score" and "box": top, left, bottom and right
        in pixels of the picture.

        Args:
          shown: the pictures before resizing.
          outputs: the network's outputs.
          k: the greatest number of objects for each picture; None: all objects with a
            score of at least `SHOWN`.
        """
        return [
            [
                {
                    "class": self.classes[int(kind)],
                    "score": score,
                    "box": [round(side) for side in sides],
                }
                for kind, *sides, score in (rows[:k] if k else _sure(rows)).tolist()
                if kind >= 0
            ]
            for rows in self._in_pictures(shown, outputs)
        ]

    def drawn(
        self, picture: UInt8[np.ndarray, "height width channels"], outputs: Outputs
    ) -> np.ndarray:
        """Returns the picture with the boxes of all objects that score at least 0.5."""
        one = jax.tree.map(lambda leaf: np.asarray(leaf)[None], outputs)
        (found,) = self._in_pictures([picture], one)
        return pictures.with_boxes(picture, _sure(found), self.classes)

    def _in_pictures(
        self, shown: Sequence[np.ndarray], outputs: Outputs
    ) -> Float[np.ndarray, "batch most 6"]:
        """Returns the detections in each picture, in pixels of the original picture.

        Args:
          shown: the pictures before resizing.
          outputs: the network's outputs for the resized pictures.
        """
        found = np.array(_detected(self, outputs))
        sizes = np.array([picture.shape[:2] for picture in shown], np.float32)
        found[..., 1:5] *= np.tile(sizes / outputs["size"], 2)[:, None]
        return found

    def detections(self, outputs: Outputs) -> Float[Array, "batch most 6"]:
        """Returns the detections of each image; see `anchor_free.detections`."""
        found, places, size = _parts(outputs)
        return anchor_free.detections(
            found,
            places,
            size,
            most=self.most,
            score_threshold=self.score_threshold,
            iou_threshold=self.iou_threshold,
        )


# At module level, so that it compiles once and not for every picture.
_detected = jax.jit(Detection.detections, static_argnums=0)


def _parts(outputs: Outputs) -> tuple[dict[str, Array], Places, Array]:
    """Returns the outputs of each image, the places, and the size of the input.

    Places and size are equal for all images of the batch, so they are returned once.
    """
    found = dict(outputs)
    same = found.pop("places"), found.pop("size")
    return found, *jax.tree.map(lambda rows: rows[0], same)


def _losses(outputs: Outputs, labels: Array) -> dict[str, Array]:
    """Returns the three parts of the loss over all images."""
    found, places, _ = _parts(outputs)
    return anchor_free.losses(found, labels, places)


def _total(parts: dict[str, Array]) -> Array:
    """Returns the sum of the three parts of the loss."""
    return parts["classification"] + parts["box"] + parts["centerness"]


@jax.vmap
def _of_images(outputs: Outputs, labels: Array) -> dict[str, Array]:
    """Returns the three parts of the loss for each single image."""
    return _losses(jax.tree.map(lambda leaf: leaf[None], outputs), labels[None])


def _sure(rows: np.ndarray) -> np.ndarray:
    """Returns the detections with a score of at least `SHOWN`."""
    return rows[rows[:, 5] >= SHOWN]
