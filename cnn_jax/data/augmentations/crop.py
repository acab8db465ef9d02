"""A crop at a random position of the image, after padding with black pixels."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32, Key

from cnn_jax.core.fit import Need
from cnn_jax.core.ranges import Edge, Range
from cnn_jax.data.augmentations.augmentation import Image, Movement
from cnn_jax.data.labels.kind import LabelKind


@dataclass(frozen=True, kw_only=True)
class Crop(Movement):
    """A crop at a random position of the padded image.

    The crop has the size of the image before the padding.

    Attributes:
      padding: the number of black pixels that are added on each side before the crop
        (4 for CIFAR in He et al. 2016).
    """

    padding: Edge = 4

    def key(self, example: Key[Array, ""]) -> Key[Array, ""]:
        return jax.random.split(example)[0]

    def start(self, key: Key[Array, ""]) -> Int32[Array, "2"]:
        """Returns the crop's upper left corner (row, column) in the padded image."""
        return jax.random.randint(key, (2,), 0, 2 * self.padding + 1)

    def moved(
        self,
        key: Key[Array, ""],
        image: Image,
        *,
        outside: int = 0,
        factor: int = 1,
        nearest: bool = False,
    ) -> Image:
        del nearest  # pixels are not interpolated
        p = self.padding * factor
        whole = ((0, 0),) * (image.ndim - 3)
        padding = (*whole, (p, p), (p, p), (0, 0))
        padded = jnp.pad(image, padding, constant_values=outside)
        place = (*(0 for _ in whole), *(self.start(key) * factor), 0)
        return jax.lax.dynamic_slice(padded, place, image.shape)

    def points(
        self, key: Key[Array, ""], points: Float[Array, "n 2"], *, size: tuple[int, int]
    ) -> Float[Array, "n 2"]:
        del size
        return points + (self.padding - self.start(key)).astype(jnp.float32)

    def needs(self, labels: LabelKind) -> tuple[Need, ...]:
        size = f"needs images with more than {self.padding} pixels on a side"
        larger = Range(above=self.padding)
        lower = "set a smaller padding"
        return (*super().needs(labels), Need("shorter side", larger, size, lower))
