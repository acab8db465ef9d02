"""Random crops that are resized to the size of the image, and random zooms."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from cnn_jax.core.errors import unknown
from cnn_jax.core.ranges import Positive, Share
from cnn_jax.data.augmentations import resampling
from cnn_jax.data.augmentations.augmentation import Image, Movement, size_of
from cnn_jax.data.augmentations.checks import check_pair
from cnn_jax.data.augmentations.resampling import Box

CANDIDATES = 10  # the attempts to draw a crop that fits into the image
INTERPOLATIONS = ("bilinear", "bicubic")


class Zoom(Movement):
    """A movement that resizes a random box to the size of the image."""

    cut = True  # interpolate the pixels of the box alone

    @property
    def cubic(self) -> bool:
        """True if images are resampled bicubically."""
        return False

    def box(self, key: Key[Array, ""], size: tuple[int, int]) -> Box:
        """Returns the random box (top, left, height, width) in pixels.

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
        box = self.box(key, size) * factor
        if nearest:
            return resampling.nearest(image, box, outside=outside)
        return resampling.resampled(
            image, box, cubic=self.cubic, outside=outside, cut=self.cut
        )

    def points(
        self, key: Key[Array, ""], points: Float[Array, "n 2"], *, size: tuple[int, int]
    ) -> Float[Array, "n 2"]:
        box = self.box(key, size)
        return (points - box[:2]) * (jnp.array(size) / box[2:])


@dataclass(frozen=True, kw_only=True)
class RandomResizedCrop(Zoom):
    """A random crop, resized to the size of the image, as in torchvision.

    The sides of the crop are drawn 10 times, and the first crop that fits into the
    image is taken. If none fits, the largest crop at the center whose aspect ratio is
    in the range is taken.

    Attributes:
      area: the smallest and the largest area of the crop, as a share of the area of the
        image.
      aspect: the smallest and the largest ratio of its width to its height.
      interpolation: "bilinear" or "bicubic".
    """

    area: tuple[Share, ...] = (0.08, 1.0)
    aspect: tuple[Positive, ...] = (3 / 4, 4 / 3)
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        check_pair("area", self.area)
        check_pair("aspect", self.aspect)
        if self.interpolation not in INTERPOLATIONS:
            raise unknown("interpolation", self.interpolation, INTERPOLATIONS)

    @property
    def cubic(self) -> bool:
        return self.interpolation == "bicubic"

    def box(self, key: Key[Array, ""], size: tuple[int, int]) -> Box:
        place, share, aspect = jnp.split(
            jax.random.uniform(key, (2 * CANDIDATES + 2,)), (2, CANDIDATES + 2)
        )
        area = (
            size[0] * size[1] * (self.area[0] + share * (self.area[1] - self.area[0]))
        )
        low, high = map(math.log, self.aspect)
        aspect = jnp.exp(low + (high - low) * aspect)
        drawn = jnp.round(jnp.sqrt(area * jnp.stack([1 / aspect, aspect])))
        limits = jnp.array(size, jnp.float32)
        fits = ((drawn > 0) & (drawn <= limits[:, None])).all(0)
        drawn = drawn[:, jnp.argmax(fits)]
        start = jnp.floor(place * (limits - drawn + 1))
        largest = self._largest(size)
        central = [(side - of) // 2 for side, of in zip(size, largest, strict=True)]
        found = jnp.concatenate([start, drawn])
        return jnp.where(fits.any(), found, jnp.array([*central, *largest]))

    def _largest(self, size: tuple[int, int]) -> tuple[int, int]:
        """Returns the sides of the largest crop with an aspect ratio in the range."""
        height, width = size
        low, high = self.aspect
        if width < low * height:
            return max(round(width / low), 1), width
        return height, max(min(round(height * high), width), 1)


@dataclass(frozen=True, kw_only=True)
class ScaleCrop(Zoom):
    """A resize by a random factor, and then a crop or padding at a random place.

    The result has the size of the image. Padding is black, and its labels of pixels are
    `pixels.IGNORED`. Such a change is usual for segmentation (Chen et al. 2017:
    0.5 to 2) and detection (Ghiasi et al. 2021: 0.1 to 2).

    Attributes:
      scale: the smallest and the largest factor.
    """

    scale: tuple[Positive, ...] = (0.5, 2.0)
    cut = False

    def __post_init__(self) -> None:
        check_pair("scale", self.scale)

    def box(self, key: Key[Array, ""], size: tuple[int, int]) -> Box:
        draws = jax.random.uniform(key, (3,))
        low, high = self.scale
        sides = jnp.array(size, jnp.float32)
        resized = jnp.maximum(jnp.round(sides * (low + (high - low) * draws[2])), 1)
        more = resized - sides
        start = jnp.sign(more) * jnp.floor(draws[:2] * (jnp.abs(more) + 1))
        return jnp.concatenate([start, sides]) * jnp.tile(sides / resized, 2)
