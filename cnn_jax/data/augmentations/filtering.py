"""Random sharpness and random blur."""

import math
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from cnn_jax.core.ranges import NotNegative, Positive, Share
from cnn_jax.data.augmentations.augmentation import Augmentation, Image, size_of
from cnn_jax.data.augmentations.blending import blended, smoothed
from cnn_jax.data.augmentations.checks import check_pair
from cnn_jax.data.augmentations.resampling import weighted


@dataclass(frozen=True, kw_only=True)
class Sharpness(Augmentation):
    """Another sharpness, as in Pillow's `ImageEnhance.Sharpness`.

    Attributes:
      factor: 0: smoothed with a 3x3 filter; 1: unchanged; 2: sharpened.
      probability: the probability that an image is changed.
    """

    factor: NotNegative = 2.0
    probability: Share = 0.5

    def image(self, key: Key[Array, ""], image: Image) -> Image:
        changed = jax.random.bernoulli(key, self.probability)
        factor = jnp.where(changed, self.factor, 1.0)
        values = image.astype(jnp.int32)
        return blended(smoothed(image), values, factor).astype(jnp.uint8)


@dataclass(frozen=True, kw_only=True)
class Blur(Augmentation):
    """A Gaussian blur, as torchvision's `GaussianBlur`, with some probability.

    The kernel reaches to 3 times the largest standard deviation. The image continues
    with its mirror image, without the pixels at the edge.

    Attributes:
      sigma: the smallest and the largest standard deviation in pixels.
      probability: the probability that an image is blurred.
    """

    takes_floats: ClassVar[bool] = True

    sigma: tuple[Positive, ...] = (0.1, 2.0)
    probability: Share = 0.5

    def __post_init__(self) -> None:
        check_pair("sigma", self.sigma)

    def image(self, key: Key[Array, ""], image: Image) -> Image:
        drawn, share = jax.random.uniform(key, (2,))
        low, high = self.sigma
        radius = math.ceil(3 * high)
        sigma = low + (high - low) * share
        height, width = size_of(image)
        rows, columns = (gaussian(side, sigma, radius) for side in (height, width))
        blurred = weighted(image, rows, columns)
        return jnp.where(drawn < self.probability, blurred, image)


def gaussian(
    count: int, sigma: Float[Array, ""] | float, radius: int
) -> Float[Array, "new old"]:
    """Returns the weights of pixels in a Gaussian blur along one dimension.

    Args:
      count: the number of pixels.
      sigma: the standard deviation in pixels.
      radius: the number of pixels on each side that have a weight, but at most count -
        1.
    """
    radius = min(radius, count - 1)

    def weight(distance: Array) -> Array:
        near = jnp.abs(distance) <= radius
        return jnp.where(near, jnp.exp(-0.5 * (distance / sigma) ** 2), 0)

    new, old = jnp.arange(count)[:, None], jnp.arange(count)
    last = count - 1
    # The pixels of the image, and their mirror images before and after it.
    weights = weight(new - old)
    weights += jnp.where(old > 0, weight(new + old), 0)
    weights += jnp.where(old < last, weight(2 * last - old - new), 0)
    return weights / weight(jnp.arange(-radius, radius + 1)).sum()
