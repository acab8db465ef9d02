"""Style transfer: the content of one picture in the style of another."""

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from cnn_jax import layers
from cnn_jax.core.errors import UserError, unknown
from cnn_jax.core.fit import AllBut, Need
from cnn_jax.core.ranges import NotNegative
from cnn_jax.tasks import pictures
from cnn_jax.tasks.metrics import Pairs, Rows, Totals, means, weighted
from cnn_jax.tasks.resizing import UNCHANGED, Resizing
from cnn_jax.tasks.task import Answers, Batch, Task

Map = Float[Array, "batch height width channels"]
Statistics = Float[Array, "batch rows channels"]
Losses = Float[Array, " batch"]


def gram_matrix(x: Map) -> Float[Array, "batch channels channels"]:
    """Returns the Gram matrix of the channels of a feature map.

        G[c, d] = sum over positions of x[c] x[d] / (height width channels)

    G[c, d] is large if the channels c and d are large at the same positions (Johnson et
    al. 2016, equation 3). The matrix does not depend on the order of the positions.
    """
    _, height, width, channels = x.shape
    flat = x.reshape(len(x), -1, channels)
    products = jnp.einsum("npc,npd->ncd", flat, flat)
    return products / (height * width * channels)


def moments(x: Map) -> Float[Array, "batch 2 channels"]:
    """Returns the mean and the standard deviation of each channel (Huang and Belongie
    2017, equation 13)."""
    return jnp.concatenate(layers.channel_moments(x), axis=1)[:, :, 0]


def total_variation(picture: Map) -> Losses:
    """Returns the mean squared difference of neighboring pixels, for each picture.

    The result is the mean over vertical neighbors plus the mean over horizontal
    neighbors. Noise makes the result large.
    """
    down, right = jnp.diff(picture, axis=1), jnp.diff(picture, axis=2)
    return jnp.square(down).mean((1, 2, 3)) + jnp.square(right).mean((1, 2, 3))


# The statistics of a feature map that describe its style.
STATISTICS: dict[str, Callable[[Map], Statistics]] = {
    "gram": gram_matrix,
    "moments": moments,
}


@dataclass(frozen=True)
class StyleTransfer(Task):
    """Style transfer: the output has the content of one picture, the style of another.

    The loss is a weighted sum of the content loss, the style loss and the total
    variation of the output picture. The content loss compares feature maps of a
    pretrained network for the output picture and the content picture. The style loss
    compares statistics of the feature maps for the output picture and the style
    picture.

    Attributes:
      classes: empty.
      content_weight: the weight of the content loss: the mean squared differences of
        the feature maps, summed over the content layers.
      style_weight: the weight of the style loss: the squared distances of the
        statistics of the feature maps, summed over the style layers.
      layer_weights: the weight of each style layer in the style loss, or one weight for
        all style layers.
      variation_weight: the weight of the total variation (`total_variation`).
      statistics: the statistics that describe the style: "gram" (`gram_matrix`) or
        "moments" (`moments`).
      relative: whether each squared distance is divided by the squared norm of its
        target. Then all layers have a similar influence, and the same weights suit any
        network. If false, distances are as in Johnson et al. 2016.
    """

    best_metric: ClassVar[str] = "improvement"
    label_kind: ClassVar[str] = "style"
    output_kind: ClassVar[str] = "stylized"
    resizing: ClassVar[Resizing] = UNCHANGED

    _: KW_ONLY
    content_weight: NotNegative = 1.0
    style_weight: NotNegative = 20.0
    layer_weights: tuple[NotNegative, ...] = (1.0,)
    variation_weight: NotNegative = 50.0
    statistics: str = "gram"
    relative: bool = True

    def __post_init__(self):
        if self.statistics not in STATISTICS:
            raise unknown("config.task.statistics", self.statistics, STATISTICS)
        style = self.style_weight * sum(self.layer_weights)
        if not self.content_weight + style + self.variation_weight > 0:
            raise UserError(
                "config.task.content_weight, .style_weight, .layer_weights and "
                ".variation_weight are all zero, so there is no loss: set a weight "
                "above 0."
            )

    @property
    def takes(self) -> tuple[Need, ...]:
        """The needs of every task, and as many style layers as layer weights.

        A single layer weight fits any number of style layers.
        """
        count = len(self.layer_weights)
        one_each = Need(
            "style layers",
            AllBut(()) if count == 1 else {count},
            f"has config.task.layer_weights={self.layer_weights}",
            "set one weight, or one for each of config.model.style_layers",
        )
        return (*super().takes, one_each)

    def loss(
        self, outputs: dict, batch: Batch, auxiliary: Sequence[Array] = ()
    ) -> Float[Array, ""]:
        """Returns the mean loss over all pictures."""
        del batch, auxiliary
        return self._losses(outputs)["loss"].mean()

    def metrics(self, outputs: dict, batch: Batch) -> Pairs:
        """Returns the loss, its parts, and the losses of the unchanged content picture.

        The parts, without their weights, are `content_loss`, `style_loss` and
        `variation`. `input_loss` and `input_style_loss` are the loss and the style loss
        that the content picture would have as the output.
        """
        mask = batch.get("mask", jnp.ones(len(outputs["picture"])))
        losses = self._losses(outputs)
        content = batch["image"][:, 0].astype(jnp.float32) / 255
        noise = self.variation_weight * total_variation(content)
        losses["input_loss"] = self.style_weight * losses["input_style_loss"] + noise
        return {name: weighted(values, mask) for name, values in losses.items()}

    def scores(self, totals: Totals, rows: Rows = ()) -> dict[str, float]:
        """Returns the means of `metrics`, and `improvement`.

        `improvement` is 1 - loss / input_loss. It is 1 if the loss is 0, and 0 if the
        output picture has the same loss as the unchanged content picture. If
        `input_loss` is 0, `improvement` is 0.
        """
        del rows
        found = means(totals)
        own = found["input_loss"]
        found["improvement"] = 1 - found["loss"] / own if own else 0.0
        return found

    def predictions(self, outputs: dict, batch: Batch) -> dict[str, Array]:
        """Returns each `output` picture in 8 bits, and its loss as `error`."""
        del batch
        rounded = jnp.round(jnp.clip(outputs["picture"], 0, 1) * 255)
        return {
            "output": rounded.astype(jnp.uint8),
            "error": self._losses(outputs)["loss"],
        }

    def summaries(
        self, totals: Totals, worst: Rows, rows: Rows = ()
    ) -> dict[str, np.ndarray]:
        """Returns a picture of the examples with the greatest losses, as "stylized".

        Content picture, style picture and output of each example are side by side.
        """
        del totals, rows
        if not worst:
            return {}
        panels = [np.concatenate([row["image"], row["output"][None]]) for row in worst]
        labels = [f"loss {row['error']:.4f}" for row in worst]
        return {"stylized": pictures.labeled_grid(panels, labels)}

    def answers(
        self,
        pictures: Sequence[np.ndarray],
        outputs: Float[np.ndarray, "batch height width 3"],
        k: int | None,
    ) -> Answers:
        """Returns the width and the height of each output picture."""
        del pictures, k
        return [[{"width": o.shape[1], "height": o.shape[0]}] for o in outputs]

    def drawn(
        self,
        image: UInt8[np.ndarray, "height width *channels"],
        output: Float[np.ndarray, "out_height out_width 3"],
    ) -> np.ndarray:
        """Returns the output picture."""
        del image
        return np.rint(output.clip(0, 1) * 255).astype(np.uint8)

    def _losses(self, outputs: dict[str, Any]) -> dict[str, Losses]:
        """Returns the loss of each example, its unweighted parts, and
        `input_style_loss` (see `metrics`)."""
        statistics, weights = STATISTICS[self.statistics], self.layer_weights
        maps = outputs["style"]
        if len(weights) == 1:
            weights *= len(maps)
        zeros = jnp.zeros(len(outputs["picture"]))
        style = own = zeros
        for weight, (seen, content, wanted) in zip(weights, maps, strict=True):
            wanted = statistics(wanted)
            style += weight * self._distance(statistics(seen), wanted)
            own += weight * self._distance(statistics(content), wanted)
        found = {
            "content_loss": sum(
                (
                    self._distance(seen, wanted, jnp.mean)
                    for seen, wanted in outputs["content"]
                ),
                zeros,
            ),
            "style_loss": style,
            "variation": total_variation(outputs["picture"]),
            "input_style_loss": own,
        }
        loss = (
            self.content_weight * found["content_loss"]
            + self.style_weight * style
            + self.variation_weight * found["variation"]
        )
        return found | {"loss": loss}

    def _distance(
        self, seen: Array, wanted: Array, over: Callable[..., Array] = jnp.sum
    ) -> Losses:
        """Returns the squared distance of two arrays for each example.

        Args:
          seen: the feature maps, or their statistics, of the output picture.
          wanted: the target of `seen`.
          over: the sum or the mean, which reduces the squared differences.
        """
        axes = tuple(range(1, seen.ndim))
        distance = over(jnp.square(seen - wanted), axes)
        if not self.relative:
            return distance
        return distance / (over(jnp.square(wanted), axes) + 1e-12)
