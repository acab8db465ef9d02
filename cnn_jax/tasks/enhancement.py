"""Enhancement: the network improves an image (super-resolution, denoising)."""

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
    """Enhancement, trained with a pixel loss and measured by PSNR and SSIM.

    The loss compares the output with the target picture, in values from 0 to 1.

    Attributes:
      classes: empty.
      loss_name: "l1", the mean absolute difference (Lim et al. 2017), or "l2", the mean
        squared difference (Dong et al. 2014).
      border: the number of pixels that PSNR and SSIM leave out on each side of the
        picture; None: the factor by which the network enlarges images, or 0 if the
        output is as large as the image.
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
            "takes images with values from 0 to 1, like the target pictures",
            "set config.data.normalization=data",
        )
        return (*super().takes, unchanged)

    def loss(
        self, outputs: Outputs, batch: Batch, auxiliary: Sequence[Array] = ()
    ) -> Float[Array, ""]:
        """Returns the mean loss over all values of all pictures."""
        del auxiliary
        return self._distances(outputs, batch).mean()

    def metrics(self, outputs: Outputs, batch: Batch) -> Pairs:
        """Returns the loss; `scores` computes PSNR and SSIM."""
        mask = batch.get("mask", jnp.ones(len(outputs)))
        distances = self._distances(outputs, batch).mean((1, 2, 3))
        return {"loss": weighted(distances, mask)}

    def scores(self, totals: Totals, rows: Rows = ()) -> dict[str, float]:
        """Returns the loss and, in evaluation, the mean `psnr` (dB) and `ssim` on luma.

        `input_psnr` and `input_ssim` compare the input images with the targets. Input
        images that are smaller than the target are enlarged by bicubic interpolation.

        A mean leaves out pictures that are too small for the measure, and pictures with
        an infinite PSNR (the picture equals its target). If a mean leaves out some
        pictures, `psnr_pictures`, `ssim_pictures` and so on are the numbers of pictures
        in the means.
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
        """Returns each `output` picture in 8 bits, and its mean squared `error`."""
        error = jnp.square(outputs - batch["label"] / 255).mean((1, 2, 3))
        rounded = jnp.round(jnp.clip(outputs, 0, 1) * 255).astype(jnp.uint8)
        return {"output": rounded, "error": error}

    def summaries(
        self, totals: Totals, worst: Rows, rows: Rows = ()
    ) -> dict[str, np.ndarray]:
        """Returns a picture of the examples with the greatest errors, as "enhanced".

        Input, output and target of each example are side by side.
        """
        del totals, rows
        if not worst:
            return {}
        labels = [
            "{:.2f} dB; input {:.2f} dB".format(
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
        """Returns the width and the height of each output picture."""
        del pictures, k
        return [[{"width": o.shape[1], "height": o.shape[0]}] for o in outputs]

    def drawn(
        self,
        image: UInt8[np.ndarray, "height width *channels"],
        output: Float[np.ndarray, "out_height out_width out_channels"],
    ) -> np.ndarray:
        """Returns the output picture, in RGB.

        If the network outputs only luma and the image has colors, the colors of the
        image are enlarged and combined with the luma.
        """
        made = np.rint(output.clip(0, 1) * 255).astype(np.uint8)
        if made.shape[-1] == 3:
            return made
        if image.ndim == 2:
            return made.repeat(3, -1)
        enlarged = bicubic.resize(colors.ycbcr(image), made.shape[:2])
        return colors.rgb(np.concatenate([made, enlarged[..., 1:]], axis=-1))

    def _distances(self, outputs: Outputs, batch: Batch) -> Outputs:
        """Returns the loss of each output value, before the mean."""
        return LOSSES[self.loss_name](outputs - batch["label"] / 255)

    def _measured(
        self, row: Row, of: Callable[[Row], np.ndarray], measure: Measure, least: int
    ) -> float:
        """Returns PSNR or SSIM between the luma of a picture and of its target.

        Args:
          row: the collected entries of one example.
          of: a function of `row` that returns the picture.
          measure: `image_quality.psnr` or `image_quality.ssim`.
          least: the smallest side of a picture, without its border, that `measure`
            accepts. The result is NaN for a smaller picture.
        """
        if self._inside(row) < least:
            return math.nan
        luma = colors.luma(of(row)), colors.luma(row["label"])
        return measure(*luma, self._border(row))

    def _border(self, row: Row) -> int:
        """Returns the width of the border that PSNR and SSIM leave out, in pixels."""
        if self.border is not None:
            return self.border
        factor = len(row["label"]) // len(row["image"])
        return factor if factor > 1 else 0

    def _inside(self, row: Row) -> int:
        """Returns the shorter side of the picture without the border, in pixels."""
        return min(row["label"].shape[:2]) - 2 * self._border(row)


def _output(row: Row) -> np.ndarray:
    return row["output"]


def _input(row: Row) -> np.ndarray:
    """Returns the input image, resized to the size of the target."""
    size = row["label"].shape[:2]
    image = row["image"]
    return image if image.shape[:2] == size else bicubic.resize(image, size)
