"""Weakly supervised localization: boxes of objects from a network that is trained with
class labels only (Zhou et al. 2016, "Learning Deep Features for Discriminative
Localization").

The box of an image is around the high values of the image's class activation map.
"""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from cnn_jax.core.ranges import Rate
from cnn_jax.layers import resize_bilinear
from cnn_jax.tasks import activation_maps, boxes, pictures
from cnn_jax.tasks.classification import Classification
from cnn_jax.tasks.metrics import Pairs, Row, Rows, Totals
from cnn_jax.tasks.resizing import STRETCHED, Resizing
from cnn_jax.tasks.task import Answers, Batch

# A dict of "logits" and "maps"; `Classification` has the logits alone.
Outputs = Any


@dataclass(frozen=True)
class Localization(Classification):
    """Classification that also measures boxes made from class activation maps.

    The class of an image is the class of its first labeled box; padding, difficult
    objects and crowds (rows with a negative class) are skipped. An image without such a
    box is left out of the loss and of all scores. Training does not use the coordinates
    of boxes.

    Attributes (in addition to those of `Classification`):
      box_share: a threshold, as a fraction of the map's largest value. The box encloses
        the values above the threshold. Zhou et al. use 0.2 for photos (section 3.2).
    """

    label_kind: ClassVar[str] = "boxes"
    output_kind: ClassVar[str] = "class_maps"
    resizing: ClassVar[Resizing] = STRETCHED

    _: KW_ONLY
    box_share: Rate = 0.2

    def loss(
        self, outputs: Outputs, batch: Batch, auxiliary: Sequence[Array] = ()
    ) -> Float[Array, ""]:
        """Returns the mean cross entropy over the images that have a class.

        Targets and auxiliary heads are treated as in `Classification.loss`.
        """
        labels, counted = _classes(batch)
        losses = self._losses(outputs["logits"], labels, auxiliary)
        return jnp.where(counted, losses, 0).sum() / jnp.maximum(counted.sum(), 1)

    @property
    def collected(self) -> tuple[str, ...]:
        """The entries that the scores of boxes and of `Classification` need."""
        return (*super().collected, "label", "class", "maps")

    def metrics(self, outputs: Outputs, batch: Batch) -> Pairs:
        """Returns `Classification.metrics` over the images that have a class."""
        labels, counted = _classes(batch)
        mask = counted * batch.get("mask", 1.0)
        return self._pairs(outputs["logits"], labels, mask, evaluating="mask" in batch)

    def scores(self, totals: Totals, rows: Rows = ()) -> dict[str, float]:
        """Returns the scores of `Classification` and the localization errors.

        A box is right if its intersection over union with an object of the image's
        class is at least 1/2. `localization_error` is the share of images with a wrong
        box. `top_1_localization_error` is the share of images with a wrong box or a
        wrong predicted class (Russakovsky et al. 2015, section 4.2).
        """
        rows = [row for row in rows if _class(row) >= 0]
        found = super().scores(totals, _labeled(rows))
        if rows:
            labels = np.stack([row["label"] for row in rows])
            classes = np.array([_class(row) for row in rows])
            made = [activation_maps.box(row["maps"][0], self.box_share) for row in rows]
            tiled = np.repeat(np.array(made, np.float32)[:, None], labels.shape[1], 1)
            overlaps = boxes.iou(jnp.asarray(tiled), jnp.asarray(labels[..., 1:]))
            own = labels[..., 0] == classes[:, None]
            right = ((np.asarray(overlaps) >= 0.5) & own).any(-1)
            known = np.array([row["class"] for row in rows]) == classes
            found["localization_error"] = float(1 - right.mean())
            found["top_1_localization_error"] = float(1 - (right & known).mean())
        return found

    def predictions(self, outputs: Outputs, batch: Batch) -> dict[str, Array]:
        """Returns `Classification.predictions`, and two class activation `maps`.

        The loss of an image without a class is NaN.

        The first map belongs to the labeled class of the image, and the second map to
        the predicted class. Both maps are resized to the size of the image.
        """
        labels, counted = _classes(batch)
        found = super().predictions(outputs["logits"], {"label": labels})
        found["error"] *= counted
        found["loss"] = jnp.where(counted, found["loss"], jnp.nan)
        wanted = jnp.stack([labels, found["class"]], axis=-1)
        maps = jnp.take_along_axis(outputs["maps"], wanted[:, None, None], axis=-1)
        large = resize_bilinear(maps, size=batch["image"].shape[1:3])
        return found | {"maps": jnp.moveaxis(large, -1, 1)}

    def records(self, rows: Rows) -> dict[str, np.ndarray]:
        """Returns `Classification.records`; the label of an image without a class is
        -1."""
        return super().records(_labeled(rows))

    def summaries(
        self, totals: Totals, worst: Rows, rows: Rows = ()
    ) -> dict[str, np.ndarray]:
        """Returns the pictures of `Classification.summaries`, and "maps".

        "maps" shows each image with the greatest error twice: blended with the class
        activation map of the labeled class, and with the map of the predicted class.
        """
        named = [{**row, "class": int(row["class"])} for row in _labeled(worst)]
        rows = [row for row in _labeled(rows) if row["label"] >= 0]
        result = super().summaries(totals, named, rows)
        if worst:
            result["maps"] = pictures.labeled_grid(
                [
                    np.stack(
                        [
                            activation_maps.overlay(row["image"], heat)
                            for heat in row["maps"]
                        ]
                    )
                    for row in worst
                ],
                [
                    f"{self.classes[row['label']]}, {self.class_name(row['class'])}"
                    for row in named
                ],
            )
        return result

    def answers(
        self,
        pictures: Sequence[np.ndarray],
        outputs: Outputs,
        k: int | None,
    ) -> Answers:
        """Returns the answers of `Classification.answers`."""
        return super().answers(pictures, outputs["logits"], k)

    def drawn(
        self,
        image: UInt8[np.ndarray, "height width channels"],
        outputs: Outputs,
    ) -> np.ndarray:
        """Returns the image, blended with the map of its most probable class.

        The box made from the map is drawn on the image.
        """
        index = int(outputs["logits"].argmax())
        maps = jnp.asarray(outputs["maps"])[None, ..., index : index + 1]
        heat = np.asarray(resize_bilinear(maps, size=image.shape[:2]))[0, ..., 0]
        probability = float(jax.nn.softmax(outputs["logits"])[index])
        row = np.array(
            [[0, *activation_maps.box(heat, self.box_share), probability]], np.float32
        )
        return pictures.with_boxes(
            activation_maps.overlay(image, heat), row, [self.class_name(index)]
        )


def _classes(batch: Batch) -> tuple[Int[Array, " batch"], Bool[Array, " batch"]]:
    """Returns the class of each image, and whether the image has a class.

    The class is the first class of a labeled box that is not negative. An image without
    such a box gets the class 0 and False.
    """
    kinds = batch["label"][..., 0].astype(jnp.int32)
    first = jnp.argmax(kinds >= 0, axis=-1)
    label = jnp.take_along_axis(kinds, first[:, None], axis=-1)[:, 0]
    return jnp.maximum(label, 0), label >= 0


def _class(row: Row) -> int:
    """Returns the class of an image: its first label class that is not negative.

    The result is -1 if the image has no such class.
    """
    kinds = row["label"][:, 0]
    return int(next((kind for kind in kinds if kind >= 0), -1))


def _labeled(rows: Rows) -> list[dict[str, Any]]:
    """Returns the rows with the class of the image as "label", instead of boxes."""
    return [{**row, "label": _class(row)} for row in rows]
