"""Style transfer: what a picture shows, as another is painted."""

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
    """How often channels are large at the same places, wherever these are.

        G[c, d] = sum over places of x[c] x[d] / (height width channels)

    Johnson et al. 2016, equation 3.
    """
    _, height, width, channels = x.shape
    flat = x.reshape(len(x), -1, channels)
    products = jnp.einsum("npc,npd->ncd", flat, flat)
    return products / (height * width * channels)


def moments(x: Map) -> Float[Array, "batch 2 channels"]:
    """Mean and standard deviation of each channel (Huang and Belongie 2017, equation
    13)."""
    return jnp.concatenate(layers.channel_moments(x), axis=1)[:, :, 0]


def total_variation(picture: Map) -> Losses:
    """The mean squared difference of neighbors, side by side and one below the other:
    what noise has much of."""
    down, right = jnp.diff(picture, axis=1), jnp.diff(picture, axis=2)
    return jnp.square(down).mean((1, 2, 3)) + jnp.square(right).mean((1, 2, 3))


# What of a map is its style.
STATISTICS: dict[str, Callable[[Map], Statistics]] = {
    "gram": gram_matrix,
    "moments": moments,
}


@dataclass(frozen=True)
class StyleTransfer(Task):
    """The distance of a picture to the content of one and the style of another, in maps
    of a network.

    Attributes:
      classes: none.
      content_weight: of the mean squared differences of maps, summed over layers.
      style_weight: of the squared distances of the statistics of maps, summed over
        layers.
      layer_weights: of each style layer in that sum, or one for all.
      variation_weight: of `total_variation`.
      statistics: "gram", `gram_matrix`, or "moments".
      relative: these distances are divided by what they would be to nothing but zeros,
        so that layers count alike, and weights hold for any network; else they are
        those of Johnson et al. 2016.
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
                ".variation_weight leave no loss to learn from: set one above 0."
            )

    @property
    def takes(self) -> tuple[Need, ...]:
        """The needs of every task, and as many style layers as there are weights."""
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
        """The mean over all pictures."""
        del batch, auxiliary
        return self._losses(outputs)["loss"].mean()

    def metrics(self, outputs: dict, batch: Batch) -> Pairs:
        """The loss and its parts, before they are weighted: `content_loss`,
        `style_loss`, `variation`. `input_loss` and `input_style_loss` are those of the
        content itself."""
        mask = batch.get("mask", jnp.ones(len(outputs["picture"])))
        losses = self._losses(outputs)
        content = batch["image"][:, 0].astype(jnp.float32) / 255
        noise = self.variation_weight * total_variation(content)
        losses["input_loss"] = self.style_weight * losses["input_style_loss"] + noise
        return {name: weighted(values, mask) for name, values in losses.items()}

    def scores(self, totals: Totals, rows: Rows = ()) -> dict[str, float]:
        """The means of `metrics`, and `improvement`, how much of the content's own loss
        the picture has not: 1 is all, and nothing done is 0, as where the content has
        no loss."""
        del rows
        found = means(totals)
        own = found["input_loss"]
        found["improvement"] = 1 - found["loss"] / own if own else 0.0
        return found

    def predictions(self, outputs: dict, batch: Batch) -> dict[str, Array]:
        """For each example the picture, 8 bits, and its loss."""
        del batch
        rounded = jnp.round(jnp.clip(outputs["picture"], 0, 1) * 255)
        return {
            "output": rounded.astype(jnp.uint8),
            "error": self._losses(outputs)["loss"],
        }

    def summaries(
        self, totals: Totals, worst: Rows, rows: Rows = ()
    ) -> dict[str, np.ndarray]:
        """Side by side the content, the style and the picture, of those of greatest
        loss."""
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
        """The size of each picture."""
        del pictures, k
        return [[{"width": o.shape[1], "height": o.shape[0]}] for o in outputs]

    def drawn(
        self,
        image: UInt8[np.ndarray, "height width *channels"],
        output: Float[np.ndarray, "out_height out_width 3"],
    ) -> np.ndarray:
        """The picture that the network made."""
        del image
        return np.rint(output.clip(0, 1) * 255).astype(np.uint8)

    def _losses(self, outputs: dict[str, Any]) -> dict[str, Losses]:
        """The loss of each example, and its parts."""
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
        """Of each example."""
        axes = tuple(range(1, seen.ndim))
        distance = over(jnp.square(seen - wanted), axes)
        if not self.relative:
            return distance
        return distance / (over(jnp.square(wanted), axes) + 1e-12)
