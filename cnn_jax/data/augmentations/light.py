"""Random brightness, contrast and saturation."""

from dataclasses import dataclass
from typing import Annotated

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from cnn_jax.core.ranges import Range
from cnn_jax.data.augmentations.augmentation import Augmentation, Image


@dataclass(frozen=True, kw_only=True)
class Light(Augmentation):
    """Random brightness, contrast and saturation, as in torchvision's `ColorJitter`.

    Attributes:
      strength: brightness, contrast and, for color images, saturation are multiplied by
        random factors between 1 - strength and 1 + strength (0.4 for ImageNet in many
        recipes).
    """

    strength: Annotated[float, Range(least=0, most=1)]

    def key(self, example: Key[Array, ""]) -> Key[Array, ""]:
        return jax.random.fold_in(example, 2)

    def image(self, key: Key[Array, ""], image: Image) -> Image:
        low, high = max(0.0, 1 - self.strength), 1 + self.strength
        return relit(image, *jax.random.uniform(key, (3,), None, low, high))


def relit(
    image: Image,
    brightness: Float[Array, ""] | float,
    contrast: Float[Array, ""] | float,
    saturation: Float[Array, ""] | float,
) -> Image:
    """Returns an image with another brightness, contrast and saturation.

    A factor of 1 changes nothing. As in Pillow's `ImageEnhance`, the factors are
    applied one after the other. The brightness multiplies all pixel values. The
    contrast multiplies the difference of each pixel value from the mean luma of the
    image. For color images, the saturation multiplies the difference of each pixel
    value from the luma of the pixel.
    """
    x = jnp.clip(image.astype(jnp.float32) * brightness, 0, 255)
    mean = _luma(x).mean()
    x = jnp.clip(mean + contrast * (x - mean), 0, 255)
    if image.shape[-1] == 3:
        gray = _luma(x)
        x = jnp.clip(gray + saturation * (x - gray), 0, 255)
    return jnp.round(x).astype(jnp.uint8)


def _luma(x: Float[Array, "*size channels"]) -> Float[Array, "*size 1"]:
    """Returns the luma (ITU-R BT.601) of an RGB image, or a gray image unchanged."""
    if x.shape[-1] != 3:
        return x
    return (x * jnp.array([0.299, 0.587, 0.114])).sum(-1, keepdims=True)
