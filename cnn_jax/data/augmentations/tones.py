"""Random changes of the pixel values of each channel."""

from dataclasses import dataclass
from typing import Annotated

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from cnn_jax.core.ranges import Range, Share
from cnn_jax.data.augmentations import lookup
from cnn_jax.data.augmentations.augmentation import Augmentation, Image


@dataclass(frozen=True, kw_only=True)
class Tone(Augmentation):
    """A lookup table of pixel values that is applied with some probability.

    Attributes:
      probability: the probability that an image is changed.
    """

    probability: Share = 0.5

    def table(self, image: Image) -> lookup.Table:
        """Returns the lookup table for an image; see `lookup`."""
        raise NotImplementedError

    def image(self, key: Key[Array, ""], image: Image) -> Image:
        changed = jax.random.bernoulli(key, self.probability)
        table = jnp.where(changed, self.table(image), lookup.LEVELS)
        return lookup.looked_up(image, table)


@dataclass(frozen=True, kw_only=True)
class Posterize(Tone):
    """Keeps the highest bits of pixel values, as in Pillow.

    Attributes:
      bits: the number of bits that are kept.
    """

    bits: Annotated[int, Range(least=1, most=8)] = 4

    def table(self, image: Image) -> lookup.Table:
        del image
        return lookup.posterized(lookup.LEVELS, self.bits)


@dataclass(frozen=True, kw_only=True)
class Solarize(Tone):
    """Inverts the pixel values that reach a threshold, as in Pillow.

    Attributes:
      threshold: the threshold; 256 changes nothing.
    """

    threshold: Annotated[float, Range(least=0, most=256)] = 128.0

    def table(self, image: Image) -> lookup.Table:
        del image
        return lookup.solarized(lookup.LEVELS, self.threshold)


@dataclass(frozen=True, kw_only=True)
class Equalize(Tone):
    """Makes the histogram of each channel flat, as in Pillow."""

    def table(self, image: Image) -> lookup.Table:
        return lookup.equalized(image)


@dataclass(frozen=True, kw_only=True)
class AutoContrast(Tone):
    """Stretches the pixel values of each channel to 0..255, as in Pillow."""

    def table(self, image: Image) -> lookup.Table:
        return lookup.auto_contrasted(image)


@dataclass(frozen=True, kw_only=True)
class Invert(Tone):
    """Inverts all pixel values."""

    def table(self, image: Image) -> lookup.Table:
        del image
        return lookup.solarized(lookup.LEVELS, 0.0)
