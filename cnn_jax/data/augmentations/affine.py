"""A random rotation, translation, scale and shear."""

from dataclasses import dataclass
from typing import Annotated

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from cnn_jax.core.ranges import Positive, Range, Rate
from cnn_jax.data.augmentations.checks import check_pair
from cnn_jax.data.augmentations.warp import Matrix, Warp, affine


@dataclass(frozen=True, kw_only=True)
class Affine(Warp):
    """A random affine map about the center of the image, as in torchvision.

    All numbers are drawn uniformly. Images are resampled bilinearly, and pixels from
    outside of the image are black. Labels of pixels are resampled with the nearest
    pixel.

    Attributes:
      degrees: the largest angle of the rotation, in both directions.
      translate: the largest translation in both directions, as a share of the sides of
        the image. Translations are by whole pixels.
      scale: the smallest and the largest factor by which the content grows.
      shear: the largest angle of the shear parallel to the rows, in degrees.
    """

    degrees: Annotated[float, Range(least=0, most=180)] = 10.0
    translate: Rate = 0.0
    scale: tuple[Positive, ...] = (1.0, 1.0)
    shear: Annotated[float, Range(least=0, below=90)] = 0.0

    def __post_init__(self) -> None:
        check_pair("scale", self.scale)

    def matrix(self, key: Key[Array, ""], size: tuple[int, int]) -> Matrix:
        draws = jax.random.uniform(key, (5,), None, -1, 1)
        most = self.translate * jnp.array(size, jnp.float32)
        low, high = self.scale
        return affine(
            size,
            angle=self.degrees * draws[0],
            shear=(0.0, self.shear * draws[1]),
            scale=low + (high - low) * (draws[2] + 1) / 2,
            shift=tuple(jnp.round(most * draws[3:])),
        )
