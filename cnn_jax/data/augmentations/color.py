"""Random colors: gray images, and random brightness, contrast, saturation and hue."""

from dataclasses import dataclass
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32, Key

from cnn_jax.core.ranges import NotNegative, Range, Share
from cnn_jax.data.augmentations import lookup
from cnn_jax.data.augmentations.augmentation import Augmentation, Image
from cnn_jax.data.augmentations.blending import blended, luma

Plane = Int32[Array, "*size 1"]  # hue, saturation or value, from 0 to 255


@dataclass(frozen=True, kw_only=True)
class Grayscale(Augmentation):
    """Replaces the three channels of a color image by its luma, at random.

    Images without three channels stay unchanged.

    Attributes:
      probability: the probability that an image is changed.
    """

    probability: Share = 0.1

    def image(self, key: Key[Array, ""], image: Image) -> Image:
        gray = jax.random.bernoulli(key, self.probability)
        return jnp.where(gray, luma(image).astype(jnp.uint8), image)


@dataclass(frozen=True, kw_only=True)
class ColorJitter(Augmentation):
    """Random brightness, contrast, saturation and hue, as in torchvision.

    The changes follow in this order; torchvision's order is random. Images without
    three channels have no saturation and no hue. The factors of brightness, contrast
    and saturation are uniform between 1 - option (at least 0) and 1 + option.

    Attributes:
      brightness: the largest change of the brightness.
      contrast: the largest change of the contrast.
      saturation: the largest change of the saturation.
      hue: the largest turn of the hue, in both directions; 0.5 is half a turn.
    """

    brightness: NotNegative = 0.4
    contrast: NotNegative = 0.4
    saturation: NotNegative = 0.4
    hue: Annotated[float, Range(least=0, most=0.5)] = 0.1

    def image(self, key: Key[Array, ""], image: Image) -> Image:
        draws = jax.random.uniform(key, (4,))
        most = (self.brightness, self.contrast, self.saturation)
        ends = [(max(0.0, 1 - change), 1 + change) for change in most]
        factors = [
            low + (high - low) * draw
            for draw, (low, high) in zip(draws[:3], ends, strict=True)
        ]
        if self.brightness:
            image = lookup.looked_up(image, lookup.brightened(factors[0]))
        if self.contrast:
            mean = lookup.mean_luma(image)
            image = lookup.looked_up(image, lookup.contrasted(mean, factors[1]))
        if image.shape[-1] != 3:
            return image
        if self.saturation:
            values = image.astype(jnp.int32)
            image = blended(luma(image), values, factors[2]).astype(jnp.uint8)
        return turned(image, self.hue * (2 * draws[3] - 1)) if self.hue else image


def turned(image: Image, turn: Float[Array, ""] | float) -> Image:
    """Returns an RGB image with another hue, through HSV, as in torchvision.

    The hue turns by whole units of 1/256, and hue, saturation and value are rounded to
    8 bits, as by torchvision for Pillow's images.

    Args:
      turn: the turn of the hue; 1 is a whole turn.
    """
    hue, saturation, value = hsv(image)
    steps = jnp.trunc(turn * 255).astype(jnp.int32)
    return rgb((hue + steps) % 256, saturation, value)


def hsv(image: Image) -> tuple[Plane, Plane, Plane]:
    """Returns hue, saturation and value of an RGB image, as by Pillow's `convert`."""
    red, green, blue = jnp.split(image.astype(jnp.int32), 3, axis=-1)
    value = jnp.maximum(jnp.maximum(red, green), blue)
    spread = value - jnp.minimum(jnp.minimum(red, green), blue)
    from_red, from_green = red == value, green == value
    rest = jnp.where(from_green, blue - red, red - green)
    rest = jnp.where(from_red, green - blue, rest)
    # Sixths of a turn: from red, from green, or from blue.
    sixths = jnp.where(from_red, 0, jnp.where(from_green, 2, 4))
    sixths = sixths + rest / jnp.maximum(spread, 1).astype(jnp.float32)
    hue = ((sixths / 6 + 1) % 1 * 255).astype(jnp.int32)
    share = spread / jnp.maximum(value, 1).astype(jnp.float32)
    return hue * (spread > 0), (share * 255).astype(jnp.int32), value


def rgb(hue: Plane, saturation: Plane, value: Plane) -> Image:
    """Returns an RGB image, as by Pillow's `convert` from HSV."""
    place = (hue.astype(jnp.float32) * 6 / 255 + np.array([5, 3, 1], np.float32)) % 6
    # The part of the saturation that each channel loses.
    part = jnp.clip(jnp.minimum(place, 4 - place), 0, 1)
    channels = value * (1 - part * (saturation / jnp.float32(255)))
    return jnp.floor(channels + 0.5).astype(jnp.uint8)
