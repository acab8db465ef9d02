"""Localization without boxes to learn from: where the map of an image's class is high
(Zhou et al. 2016, "Learning Deep Features for Discriminative Localization")."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from cnn_jax.core.ranges import Rate
from cnn_jax.layers import resize_bilinear
from cnn_jax.tasks import activation_maps, boxes, pictures
from cnn_jax.tasks.classification import Classification
from cnn_jax.tasks.metrics import Pairs, Rows, Totals
from cnn_jax.tasks.resizing import STRETCHED, Resizing

Outputs = dict[str, Float[Array, "batch *_ classes"]]


@dataclass(frozen=True)
class Localization(Classification):
    """Classification by the class of an image's first box that counts; no box is
    learned from, and no image without one.

    Attributes, beside those of `Classification`:
      box_share: a box is around the values above this share of the map's largest; in
        photos 0.2 (section 3.2).
    """

    label_kind: ClassVar[str] = "boxes"
    output_kind: ClassVar[str] = "class_maps"
    collected: ClassVar[tuple[str, ...]] = ("label", "class", "maps")
    resizing: ClassVar[Resizing] = STRETCHED

    _: KW_ONLY
    box_share: Rate = 0.2

    def loss(
        self, outputs: Outputs, batch: dict, auxiliary: Sequence[Array] = ()
    ) -> Float[Array, ""]:
        """The mean cross entropy, as `Classification.loss`."""
        labels, counted = _classes(batch)
        losses = self._losses(outputs["logits"], labels, auxiliary)
        return jnp.where(counted, losses, 0).sum() / jnp.maximum(counted.sum(), 1)

    def metrics(self, outputs: Outputs, batch: dict) -> Pairs:
        """As `Classification.metrics`."""
        labels, counted = _classes(batch)
        mask = counted * batch.get("mask", 1.0)
        pairs = super().metrics(outputs["logits"], {"label": labels, "mask": mask})
        if "mask" not in batch:
            pairs.pop("confusion", None)
        return pairs

    def scores(self, totals: Totals, rows: Rows = ()) -> dict[str, float]:
        """The means and, of an evaluation, `localization_error`: the share of images
        whose box has an intersection over union below 1/2 with every object of their
        class. In `top_1_localization_error` the predicted class must be right too
        (Russakovsky et al. 2015, section 4.2)."""
        found = super().scores(totals)
        rows = [row for row in rows if (row["label"][:, 0] >= 0).any()]
        if rows:
            labels = np.stack([row["label"] for row in rows])
            classes = np.array([_class(row) for row in rows])
            made = [activation_maps.box(row["maps"][0], self.box_share) for row in rows]
            made = np.repeat(np.array(made, np.float32)[:, None], labels.shape[1], 1)
            overlaps = boxes.iou(jnp.asarray(made), jnp.asarray(labels[..., 1:]))
            own = labels[..., 0] == classes[:, None]
            right = ((np.asarray(overlaps) >= 0.5) & own).any(-1)
            known = np.array([row["class"] for row in rows]) == classes
            found["localization_error"] = float(1 - right.mean())
            found["top_1_localization_error"] = float(1 - (right & known).mean())
        return found

    def predictions(self, outputs: Outputs, batch: dict) -> dict[str, Array]:
        """As `Classification.predictions`, and the `maps` of the image's own class and
        of the predicted one, as large as the image."""
        labels, counted = _classes(batch)
        found = super().predictions(outputs["logits"], {"label": labels})
        found["error"] *= counted
        wanted = jnp.stack([labels, found["class"]], axis=-1)
        maps = jnp.take_along_axis(outputs["maps"], wanted[:, None, None], axis=-1)
        large = resize_bilinear(maps, size=batch["image"].shape[1:3])
        return found | {"maps": jnp.moveaxis(large, -1, 1)}

    def summaries(
        self, totals: Totals, worst: Rows, rows: Rows = ()
    ) -> dict[str, np.ndarray]:
        """As those of `Classification`, and over the first of the wrong images the maps
        of their own class and of the predicted one."""
        named = [
            row | {"label": _class(row), "class": int(row["class"])} for row in worst
        ]
        result = super().summaries(totals, named)
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
        outputs: dict[str, np.ndarray],
        k: int,
    ) -> list[list[dict[str, object]]]:
        """As those of `Classification`."""
        return super().answers(pictures, outputs["logits"], k)

    def drawn(
        self,
        image: UInt8[np.ndarray, "height width channels"],
        outputs: dict[str, np.ndarray],
    ) -> np.ndarray:
        """The map of the most probable class over the image, and the box that it
        makes."""
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


def _classes(batch: dict) -> tuple[Int[Array, " batch"], Bool[Array, " batch"]]:
    """The class of each image's first box that counts, and whether there is one."""
    kinds = batch["label"][..., 0].astype(jnp.int32)
    first = jnp.argmax(kinds >= 0, axis=-1)
    label = jnp.take_along_axis(kinds, first[:, None], axis=-1)[:, 0]
    return jnp.maximum(label, 0), label >= 0


def _class(row: dict[str, np.ndarray]) -> int:
    """The same of one image that has such a box."""
    kinds = row["label"][:, 0]
    return int(kinds[kinds >= 0][0])
