"""The operations of the augmentation policies, each with a magnitude.

Under `jax.vmap`, a branch computes all of its cases for every example. So an operation
is computed as one affine map, one lookup table and one blend of two images, which all
examples share. The parts that an operation does not have change nothing.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32

from cnn_jax.data.augmentations import lookup
from cnn_jax.data.augmentations.augmentation import Image, size_of
from cnn_jax.data.augmentations.blending import blended, luma, smoothed
from cnn_jax.data.augmentations.warp import Matrix, about_center, warped

SIGNED = (
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "brightness",
    "color",
    "contrast",
    "sharpness",
)
OPERATIONS = (
    "identity",
    *SIGNED,
    "posterize",
    "solarize",
    "auto_contrast",
    "equalize",
    "invert",
)
NUMBERS = {name: number for number, name in enumerate(OPERATIONS)}


class Change(NamedTuple):
    """An operation and its magnitude, as for torchvision's policies.

    Attributes:
      operation: the number of the operation; see `NUMBERS`.
      magnitude: the slope of a shear, the pixels of a translation, the degrees of a
        rotation (counterclockwise), the bits kept by posterize, and the threshold of
        solarize. For brightness, color, contrast and sharpness, the factor is 1 +
        magnitude. Other operations do not use it.
    """

    operation: Int32[Array, ""]
    magnitude: Float[Array, ""]

    def among(self, *names: str) -> Bool[Array, ""]:
        """Returns whether the operation is one of the named operations."""
        return jnp.isin(self.operation, np.array([NUMBERS[name] for name in names]))

    def value(self, *names: str, default: float = 0.0) -> Float[Array, ""]:
        """Returns the magnitude if the operation is a named one, else the default."""
        return jnp.where(self.among(*names), self.magnitude, default)

    def matrix(self, size: tuple[int, int]) -> Matrix:
        """Returns the matrix from new to old positions; see `warp`.

        Shears keep the upper left corner of the image. Translations are by whole
        pixels.

        Args:
          size: (height, width) of the image.
        """
        angle = jnp.deg2rad(self.value("rotate"))
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        rotation = about_center(jnp.array([[cos, sin], [-sin, cos]]), size)
        shear_x, shear_y = self.value("shear_x"), self.value("shear_y")
        down = jnp.trunc(self.value("translate_y"))
        right = jnp.trunc(self.value("translate_x"))
        return rotation + jnp.array([[0, shear_y, -down], [shear_x, 0, -right]])

    def table(self, image: Image) -> lookup.Table:
        """Returns the lookup table of the operation for an image; see `lookup`."""
        mean = jnp.where(self.among("contrast"), lookup.mean_luma(image), 0)
        table = lookup.contrasted(mean, 1 + self.value("brightness", "contrast"))
        bits = self.value("posterize", default=8.0).astype(jnp.int32)
        threshold = self.value("solarize", default=256.0)
        threshold = jnp.where(self.among("invert"), 0.0, threshold)
        table = lookup.solarized(lookup.posterized(table, bits), threshold)
        stretched = lookup.auto_contrasted(image)
        table = jnp.where(self.among("auto_contrast"), stretched, table)
        return jnp.where(self.among("equalize"), lookup.equalized(image), table)

    def applied(self, image: Image, *, nearest: bool = True) -> Image:
        """Returns the image after the operation.

        Images without three channels have no color, so "color" does not change them.

        Args:
          nearest: resample with the nearest pixel instead of bilinear interpolation.
        """
        moved = warped(image, self.matrix(size_of(image)), nearest=nearest)
        values = lookup.looked_up(moved, self.table(image)).astype(jnp.int32)
        gray = jnp.where(self.among("color"), luma(image), smoothed(image))
        factor = 1 + self.value("color", "sharpness")
        return blended(gray, values, factor).astype(jnp.uint8)
