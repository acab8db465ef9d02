"""The erasure of a random rectangle of the image."""

import math
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, UInt8

from cnn_jax.core.errors import unknown
from cnn_jax.core.ranges import Positive, Share, Side
from cnn_jax.data.augmentations.augmentation import Augmentation, Image, size_of
from cnn_jax.data.augmentations.checks import check_pair

CANDIDATES = 10  # the attempts to draw a rectangle that fits into the image
FILLS = ("zero", "noise")


@dataclass(frozen=True, kw_only=True)
class RandomErasing(Augmentation):
    """Random erasing (Zhong et al. 2017), as in timm and torchvision.

    The rectangle lies inside of the image, and its sides are shorter than the sides of
    the image. timm erases normalized images, in which 0 is the mean color, and its
    noise is normally distributed. Here, the fill "zero" is black, and "noise" is
    uniform from 0 to 255, as in the paper. Labels stay unchanged.

    Attributes:
      probability: the probability that a rectangle is erased.
      area: the smallest and the largest area of the rectangle, as a share of the area
        of the image.
      aspect: the smallest and the largest ratio of its height to its width.
      fill: "zero" or "noise".
    """

    takes_floats: ClassVar[bool] = True

    probability: Share = 0.5
    area: tuple[Share, ...] = (0.02, 1 / 3)
    aspect: tuple[Positive, ...] = (0.3, 1 / 0.3)
    fill: str = "zero"

    def __post_init__(self) -> None:
        check_pair("area", self.area)
        check_pair("aspect", self.aspect)
        if self.fill not in FILLS:
            raise unknown("fill", self.fill, FILLS)

    def image(self, key: Key[Array, ""], image: Image) -> Image:
        place, noise = jax.random.split(key)
        erased = self.rectangle(place, size_of(image))
        fill = jnp.uint8(0)
        if self.fill == "noise":
            fill = _noise(noise, image.shape[-3:])
        return jnp.where(erased[..., None], fill, image)

    def rectangle(
        self, key: Key[Array, ""], size: tuple[int, int]
    ) -> Bool[Array, "height width"]:
        """Returns whether each pixel of an image is erased.

        The first of 10 random rectangles that fit into the image is taken. If none
        fits, nothing is erased.

        Args:
          key: the key of the rectangle.
          size: (height, width) of the image.
        """
        drawn, place, area, aspect = jnp.split(
            jax.random.uniform(key, (2 * CANDIDATES + 3,)), (1, 3, CANDIDATES + 3)
        )
        area = size[0] * size[1] * _between(area, self.area)
        low, high = jnp.log(jnp.array(self.aspect))
        aspect = jnp.exp(low + (high - low) * aspect)
        sides = jnp.round(jnp.sqrt(area * jnp.stack([aspect, 1 / aspect])))
        fits = (sides < jnp.array(size)[:, None]).all(0)
        sides = sides[:, jnp.argmax(fits)]
        start = jnp.floor(place * (jnp.array(size) - sides + 1))
        found = fits.any() & (drawn < self.probability)
        return found & _inside(size, start, start + sides)


@dataclass(frozen=True, kw_only=True)
class Cutout(Augmentation):
    """Cutout (DeVries and Taylor 2017): a black square at a random place.

    The center of the square is a random pixel, so that a part of the square may lie
    outside of the image. The paper blackens normalized images, in which 0 is the mean
    color. Labels stay unchanged.

    Attributes:
      size: the side of the square in pixels (16 for CIFAR-10, 8 for CIFAR-100).
    """

    takes_floats: ClassVar[bool] = True

    size: Side = 16

    def image(self, key: Key[Array, ""], image: Image) -> Image:
        size = size_of(image)
        center = jnp.floor(jax.random.uniform(key, (2,)) * jnp.array(size))
        start = center - self.size // 2
        erased = _inside(size, start, start + self.size)
        return jnp.where(erased[..., None], jnp.uint8(0), image)


def _noise(key: Key[Array, ""], shape: tuple[int, ...]) -> UInt8[Array, "..."]:
    """Returns uniform random bytes.

    They are parts of 32-bit numbers, because `jax.random.bits` for bytes takes 6 times
    as long on the CPU.
    """
    count = math.prod(shape)
    words = jax.random.bits(key, (-(-count // 4),), jnp.uint32)
    parts = jax.lax.bitcast_convert_type(words, jnp.uint8)
    return parts.reshape(-1)[:count].reshape(shape)


def _between(
    share: Float[Array, "*shape"], ends: tuple[float, ...]
) -> Float[Array, "*shape"]:
    """Returns numbers from 0 to 1, mapped to the numbers between two ends."""
    low, high = ends
    return low + (high - low) * share


def _inside(
    size: tuple[int, int], start: Float[Array, "2"], end: Float[Array, "2"]
) -> Bool[Array, "height width"]:
    """Returns whether each pixel of an image lies in a rectangle."""
    row, column = jnp.arange(size[0])[:, None], jnp.arange(size[1])
    rows = (row >= start[0]) & (row < end[0])
    return rows & (column >= start[1]) & (column < end[1])
