"""A random rotation about the center of the image."""

from dataclasses import dataclass
from typing import Annotated

import jax
from jaxtyping import Array, Float, Key

from cnn_jax.core.ranges import Range
from cnn_jax.data.augmentations.warp import Matrix, Warp, affine


@dataclass(frozen=True, kw_only=True)
class Rotation(Warp):
    """A rotation in the image plane by a random angle, clockwise or counterclockwise.

    The angle is drawn uniformly. Images are resampled bilinearly, and pixels from
    outside of the image are black. Labels of pixels are resampled with the nearest
    pixel.

    Attributes:
      degrees: the largest angle in degrees, in both directions.
    """

    degrees: Annotated[float, Range(least=0, most=180)]

    def angle(self, key: Key[Array, ""]) -> Float[Array, ""]:
        """Returns the random angle in degrees; positive angles are clockwise."""
        return jax.random.uniform(key, (), None, -self.degrees, self.degrees)

    def matrix(self, key: Key[Array, ""], size: tuple[int, int]) -> Matrix:
        return affine(size, angle=self.angle(key))
