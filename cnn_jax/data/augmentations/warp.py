"""Affine resampling of images.

Positions are (row, column) in pixels from the upper left corner of the image, so the
center of the first pixel is (0.5, 0.5). A matrix [2, 3] maps positions in the new image
to positions in the old image: its last column is added.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from cnn_jax.data.augmentations.augmentation import Image, Movement, of_type, size_of

Matrix = Float[Array, "2 3"]
Scalar = Float[Array, ""] | float


def warped(
    image: Image, matrix: Matrix, *, outside: int = 0, nearest: bool = False
) -> Image:
    """Returns an image resampled as in Pillow's `Image.transform`.

    Bilinear interpolation repeats the pixels at the edges of the image. Unlike Pillow,
    the function rounds interpolated values to the nearest integer.

    Args:
      matrix: the matrix from positions in the new image to positions in the old image.
      outside: the value of pixels whose centers come from outside of the old image.
      nearest: take the nearest pixel instead of bilinear interpolation.
    """
    *_, height, width, channels = image.shape
    flat = image.reshape(-1, height * width, channels)
    row = jnp.arange(height, dtype=jnp.float32)[:, None] + 0.5
    column = jnp.arange(width, dtype=jnp.float32) + 0.5
    (down, across), offset = matrix[:, :2].T, matrix[:, 2]
    y, x = (down[i] * row + across[i] * column + offset[i] for i in range(2))
    inside = ((y >= 0) & (y < height) & (x >= 0) & (x < width)).reshape(-1, 1)

    def pixels(i: Array, j: Array) -> Array:
        """Returns the indices of pixels in `flat`."""
        i, j = jnp.clip(i, 0, height - 1), jnp.clip(j, 0, width - 1)
        return (i * width + j).astype(jnp.int32).reshape(-1)

    def gathered(index: Array) -> Array:
        return flat.at[:, index].get(mode="promise_in_bounds")

    if nearest:
        found = gathered(pixels(jnp.floor(y), jnp.floor(x)))
    else:
        top, left = jnp.floor(y - 0.5), jnp.floor(x - 0.5)
        low, right = y - 0.5 - top, x - 0.5 - left
        corners = [(i, j) for i in range(2) for j in range(2)]
        indices = [pixels(top + i, left + j) for i, j in corners]
        weights = [
            ((low if i else 1 - low) * (right if j else 1 - right)).reshape(-1, 1)
            for i, j in corners
        ]
        found = sum(map(lambda i, w: gathered(i) * w, indices, weights))
        found = of_type(found, image)
    return jnp.where(inside, found, jnp.uint8(outside)).reshape(image.shape)


def affine(
    size: tuple[int, int],
    *,
    angle: Scalar = 0.0,
    shift: tuple[Scalar, Scalar] = (0.0, 0.0),
    scale: Scalar = 1.0,
    shear: tuple[Scalar, Scalar] = (0.0, 0.0),
) -> Matrix:
    """Returns the matrix of torchvision's `affine`, about the center of the image.

    Args:
      size: (height, width) of the image.
      angle: the clockwise rotation in degrees.
      shift: the movement (down, to the right) in pixels.
      scale: the factor by which the content of the image grows.
      shear: the angles of the shears parallel to the columns and parallel to the rows,
        in degrees.
    """
    rotation, down, across = map(jnp.deg2rad, (angle, *shear))
    cos = jnp.cos(rotation - down) / jnp.cos(down)
    sin = jnp.sin(rotation - down) / jnp.cos(down)
    beside = cos * jnp.tan(across) + jnp.sin(rotation)
    below = jnp.cos(rotation) - sin * jnp.tan(across)
    linear = jnp.array([[cos, -sin], [beside, below]]) / scale
    return about_center(linear, size, shift)


def about_center(
    linear: Float[Array, "2 2"],
    size: tuple[int, int],
    shift: tuple[Scalar, Scalar] = (0.0, 0.0),
) -> Matrix:
    """Returns the matrix of a linear map about the center of an image, after a shift.

    Args:
      linear: the linear map from new to old positions relative to the center.
      size: (height, width) of the image.
      shift: the movement (down, to the right) of the image's content in pixels.
    """
    center = jnp.array(size, jnp.float32) / 2
    # Products and sums, because a matrix product may have a lower precision.
    offset = center - (linear * (center + jnp.array(shift, jnp.float32))).sum(-1)
    return jnp.concatenate([linear, offset[:, None]], axis=-1)


def points_moved(points: Float[Array, "n 2"], matrix: Matrix) -> Float[Array, "n 2"]:
    """Returns the new positions of points, for the matrix of `warped`."""
    (a, b, e), (c, d, f) = matrix
    row, column = points[:, 0] - e, points[:, 1] - f
    moved = [d * row - b * column, a * column - c * row]
    return jnp.stack(moved, axis=-1) / (a * d - b * c)


class Warp(Movement):
    """A movement by a random affine map, with bilinear interpolation."""

    def matrix(self, key: Key[Array, ""], size: tuple[int, int]) -> Matrix:
        """Returns the random matrix from new to old positions.

        Args:
          key: the augmentation's key for the example; see `key`.
          size: (height, width) of the image.
        """
        raise NotImplementedError

    def moved(
        self,
        key: Key[Array, ""],
        image: Image,
        *,
        outside: int = 0,
        factor: int = 1,
        nearest: bool = False,
    ) -> Image:
        size = size_of(image, factor)
        matrix = enlarged(self.matrix(key, size), factor)
        return warped(image, matrix, outside=outside, nearest=nearest)

    def points(
        self, key: Key[Array, ""], points: Float[Array, "n 2"], *, size: tuple[int, int]
    ) -> Float[Array, "n 2"]:
        return points_moved(points, self.matrix(key, size))


def enlarged(matrix: Matrix, factor: int) -> Matrix:
    """Returns the matrix for a picture that is `factor` times as large."""
    return matrix * jnp.array([1, 1, factor], jnp.float32)
