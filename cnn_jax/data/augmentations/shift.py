"""A random translation by whole pixels."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32, Key

from cnn_jax.core.errors import unknown
from cnn_jax.core.fit import Need
from cnn_jax.core.ranges import Edge, Range
from cnn_jax.data.augmentations.augmentation import Image, Movement
from cnn_jax.data.labels.kind import LabelKind

MODES = ("reflect", "zero")


@dataclass(frozen=True, kw_only=True)
class Shift(Movement):
    """A random translation by whole pixels, up to a number of pixels in each direction.

    The translation equals a crop at a random place of the padded image.

    Attributes:
      pixels: the largest translation.
      mode: the content of the empty part. "reflect": the mirror image of the part
        beside it, without the pixels at the edge, as in `numpy.pad`; labels of pixels
        are mirrored too. "zero": black pixels, without labels.
    """

    pixels: Edge = 4
    mode: str = "reflect"

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise unknown("mode", self.mode, MODES)

    def shift(self, key: Key[Array, ""]) -> Int32[Array, "2"]:
        """Returns the random translation (down, to the right) in pixels."""
        return jax.random.randint(key, (2,), -self.pixels, self.pixels + 1)

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
        for axis, shift in zip((-3, -2), self.shift(key), strict=True):
            count = image.shape[axis]
            places = jnp.arange(count) - shift * factor
            inside = (places >= 0) & (places < count)
            # Mirrored about the center of the first or last pixel of the image.
            mirrored = (
                jnp.where(places < 0, factor - 1, 2 * count - factor - 1) - places
            )
            places = jnp.clip(jnp.where(inside, places, mirrored), 0, count - 1)
            image = jnp.take(image, places, axis)
            if self.mode == "zero":
                inside = inside.reshape(-1, *(1,) * (-axis - 1))
                image = jnp.where(inside, image, jnp.uint8(outside))
        return image

    def points(
        self, key: Key[Array, ""], points: Float[Array, "n 2"], *, size: tuple[int, int]
    ) -> Float[Array, "n 2"]:
        del size
        return points + self.shift(key).astype(jnp.float32)

    def needs(self, labels: LabelKind) -> tuple[Need, ...]:
        size = f"needs images with more than {self.pixels} pixels on a side"
        larger = Range(above=self.pixels)
        need = Need("shorter side", larger, size, "set fewer pixels")
        return (*super().needs(labels), need)
