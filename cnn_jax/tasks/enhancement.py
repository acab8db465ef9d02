"""Enhancement: an image in, a better one out, as super-resolution and denoising do."""

import math
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from cnn_jax.core import extras
from cnn_jax.core.errors import unknown
from cnn_jax.core.fit import Need
from cnn_jax.core.ranges import Edge
from cnn_jax.data import bicubic, colors
from cnn_jax.tasks import image_quality, pictures
from cnn_jax.tasks.metrics import (
    Pairs,
    Row,
    Rows,
    Totals,
    mean_of_defined,
    means,
    weighted,
)
from cnn_jax.tasks.resizing import UNCHANGED, Resizing
from cnn_jax.tasks.task import Answers, Batch, Task

Outputs = Float[Array, "batch height width channels"]
Measure = Callable[[np.ndarray, np.ndarray, int], float]

LOSSES = {"l1": jnp.abs, "l2": jnp.square}


@dataclass(frozen=True)
class Enhancement(Task):
    """The distance to the picture that the image was, in values from 0 to 1.

    Attributes:
      classes: none.
      loss_name: "l1", the mean absolute difference (Lim et al. 2017), or "l2", the mean
        squared one (Dong et al. 2014).
      border: pixels that PSNR and SSIM leave out on each side; None: as many as the
        picture is times as large as the image, and none where they are as large.
    """

    best_metric: ClassVar[str] = "psnr"
    label_kind: ClassVar[str] = "picture"
    output_kind: ClassVar[str] = "picture"
    collected: ClassVar[tuple[str, ...]] = ("image", "label", "output")
    resizing: ClassVar[Resizing] = UNCHANGED

    _: KW_ONLY
    loss_name: str = "l1"
    border: Edge | None = None

    def __post_init__(self):
        extras.check("skimage", "enhancement", "config.task.name=enhancement")
        if self.loss_name not in LOSSES:
            raise unknown("config.task.loss_name", self.loss_name, LOSSES)

    @property
    def takes(self) -> tuple[Need, ...]:
        """The needs of every task, and images with values from 0 to 1."""
        unchanged = Need(
            "normalized",
            {False},
            "takes images with values from 0 to 1, as its pictures have them",
            "set config.data.normalization=data",
        )
        return (*super().takes, unchanged)

    def loss(
        self, outputs: Outputs, batch: Batch, auxiliary: Sequence[Array] = ()
    ) -> Float[Array, ""]:
        """The mean over all values of all pictures."""
        del auxiliary
        return self._distances(outputs, batch).mean()

    def metrics(self, outputs: Outputs, batch: Batch) -> Pairs:
        """The loss; what the figures of papers are, `scores` computes."""
        mask = batch.get("mask", jnp.ones(len(outputs)))
        distances = self._distances(outputs, batch).mean((1, 2, 3))
        return {"loss": weighted(distances, mask)}

    def scores(self, totals: Totals, rows: Rows = ()) -> dict[str, float]:
        """The loss and, of an evaluation, the means over its pictures of `psnr` (dB)
        and `ssim` on luma, beside `input_psnr` and `input_ssim` of the images
        themselves, enlarged by bicubic interpolation where they are smaller.

        A picture that is too small has neither, and one that equals its target has no
        PSNR, which would be infinite: `psnr_pictures` and so on say how many have one,
        where not all do.
        """
        found = means(totals)
        measures = {
            "psnr": (image_quality.psnr, 1),
            "ssim": (image_quality.ssim, image_quality.WINDOW),
        }
        for prefix, of in (("", _output), ("input_", _input)) if rows else ():
            for name, (measure, least) in measures.items():
                values = [self._measured(row, of, measure, least) for row in rows]
                found |= mean_of_defined(prefix + name, values, "pictures")
        return found

    def predictions(self, outputs: Outputs, batch: Batch) -> dict[str, Array]:
        """For each example the picture, 8 bits, and its mean squared error."""
        error = jnp.square(outputs - batch["label"] / 255).mean((1, 2, 3))
        rounded = jnp.round(jnp.clip(outputs, 0, 1) * 255).astype(jnp.uint8)
        return {"output": rounded, "error": error}

    def summaries(
        self, totals: Totals, worst: Rows, rows: Rows = ()
    ) -> dict[str, np.ndarray]:
        """Side by side the image, what the network made of it and the picture that it
        was, of the examples of greatest error."""
        del totals, rows
        if not worst:
            return {}
        labels = [
            "{:.2f} dB, of the image {:.2f}".format(
                *(
                    self._measured(row, of, image_quality.psnr, 1)
                    for of in (_output, _input)
                )
            )
            for row in worst
        ]
        panels = [np.stack([_input(row), row["output"], row["label"]]) for row in worst]
        return {"enhanced": pictures.labeled_grid(panels, labels)}

    def answers(
        self,
        pictures: Sequence[np.ndarray],
        outputs: Float[np.ndarray, "batch height width channels"],
        k: int | None,
    ) -> Answers:
        """The size of each picture."""
        del pictures, k
        return [[{"width": o.shape[1], "height": o.shape[0]}] for o in outputs]

    def drawn(
        self,
        image: UInt8[np.ndarray, "height width *channels"],
        output: Float[np.ndarray, "out_height out_width out_channels"],
    ) -> np.ndarray:
        """The picture that the network made. Where it made luma alone of a colored
        image, its colors are the image's, enlarged."""
        made = np.rint(output.clip(0, 1) * 255).astype(np.uint8)
        if made.shape[-1] == 3:
            return made
        if image.ndim == 2:
            return made.repeat(3, -1)
        enlarged = bicubic.resize(colors.ycbcr(image), made.shape[:2])
        return colors.rgb(np.concatenate([made, enlarged[..., 1:]], axis=-1))

    def _distances(self, outputs: Outputs, batch: Batch) -> Outputs:
        return LOSSES[self.loss_name](outputs - batch["label"] / 255)

    def _measured(
        self, row: Row, of: Callable[[Row], np.ndarray], measure: Measure, least: int
    ) -> float:
        """A measure of the luma of a picture; NaN if fewer than `least` pixels a side
        are inside of the border."""
        if self._inside(row) < least:
            return math.nan
        luma = colors.luma(of(row)), colors.luma(row["label"])
        return measure(*luma, self._border(row))

    def _border(self, row: Row) -> int:
        if self.border is not None:
            return self.border
        factor = len(row["label"]) // len(row["image"])
        return factor if factor > 1 else 0

    def _inside(self, row: Row) -> int:
        """The pixels on a picture's shorter side that count."""
        return min(row["label"].shape[:2]) - 2 * self._border(row)


def _output(row: Row) -> np.ndarray:
    return row["output"]


def _input(row: Row) -> np.ndarray:
    """The image, as large as the picture."""
    size = row["label"].shape[:2]
    image = row["image"]
    return image if image.shape[:2] == size else bicubic.resize(image, size)
