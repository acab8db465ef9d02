"""A random rotation about the center of the image."""

from dataclasses import dataclass
from typing import Annotated

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float, Key

from cnn_jax.core.ranges import Range
from cnn_jax.data.augmentations.augmentation import Image, Movement


@dataclass(frozen=True, kw_only=True)
class Rotation(Movement):
    """A rotation in the image plane by a random angle, clockwise or counterclockwise.

    The angle is drawn uniformly. Images are resampled bilinearly, and pixels from
    outside of the image are black. Labels of pixels are resampled with the nearest
    pixel.

    Attributes:
      degrees: the largest angle in degrees, in both directions.
    """

    degrees: Annotated[float, Range(least=0, most=180)]

    def angle(self, key: Key[Array, ""]) -> Float[Array, ""]:
        """Returns the random angle in degrees."""
        return jax.random.uniform(key, (), None, -self.degrees, self.degrees)

    def moved(
        self,
        key: Key[Array, ""],
        image: Image,
        *,
        outside: int = 0,
        factor: int = 1,
        nearest: bool = False,
    ) -> Image:
        del factor  # an angle is the same at any scale
        return rotated(image, self.angle(key), outside=outside, nearest=nearest)

    def points(
        self, key: Key[Array, ""], points: Float[Array, "n 2"], *, size: tuple[int, int]
    ) -> Float[Array, "n 2"]:
        middle = jnp.array(size, jnp.float32) / 2
        return (points - middle) @ _matrix(self.angle(key)) + middle


def rotated(
    image: Image,
    angle: Float[Array, ""] | float,
    *,
    outside: int = 0,
    nearest: bool = False,
) -> Image:
    """Returns the image rotated about its center, as by `scipy.ndimage.rotate`.

    Args:
      angle: the angle in degrees.
      outside: the value of pixels that come from outside of the image.
      nearest: take the nearest pixel instead of bilinear interpolation.
    """
    *_, height, width, channels = image.shape
    middle = (jnp.array([height, width], jnp.float32) - 1) / 2
    grid = jnp.stack(jnp.meshgrid(*map(jnp.arange, (height, width)), indexing="ij"), -1)
    # The place in the image that each pixel comes from.
    places = jnp.moveaxis((grid - middle) @ _matrix(angle).T + middle, -1, 0)

    def plane(values: Float[Array, "height width"]) -> Float[Array, "height width"]:
        order = 0 if nearest else 1
        return map_coordinates(values, list(places), order, "constant", outside)

    planes = jnp.moveaxis(image.reshape(-1, height, width, channels), -1, 1)
    planes = planes.reshape(-1, height, width).astype(jnp.float32)
    found = jnp.round(jax.vmap(plane)(planes)).astype(jnp.uint8)
    found = found.reshape(-1, channels, height, width)
    return jnp.moveaxis(found, 1, -1).reshape(image.shape)


def _matrix(angle: Float[Array, ""] | float) -> Float[Array, "2 2"]:
    """Returns the matrix from positions in the rotated image to the original image.

    Positions are (row, column), relative to the center of the image.

    Args:
      angle: the angle in degrees.
    """
    radians = jnp.deg2rad(angle)
    cos, sin = jnp.cos(radians), jnp.sin(radians)
    return jnp.array([[cos, sin], [-sin, cos]])
