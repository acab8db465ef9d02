"""Noisy pictures as images, and the clean pictures as labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from cnn_jax.core.paths import Place
from cnn_jax.core.ranges import Channels, Count, Range, Side
from cnn_jax.data import digits, images, restoration
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.restoration import ALL, First, Picture
from cnn_jax.data.source import Source
from cnn_jax.data.splits import Patches


def load(
    subset: First = ALL,
    *,
    dir: Place = "",
    test_dir: Place = "",
    noise: Annotated[float, Range(above=0, most=255)] = 25.0,
    channels: Channels = 1,
    image_size: Side = 40,
    patches: Count = 16,
) -> Dataset:
    """Returns pictures with Gaussian noise, and the clean pictures as labels.

    Noisy pictures are rounded to 8 bits. In training, a patch gets new noise in every
    epoch. In evaluation, the noise of a picture is always the same.

    Args:
      subset, dir, test_dir, channels, patches: see `super_resolution.load`.
      noise: the standard deviation of the noise, in gray levels (0 to 255).
      image_size: the side of the training patches in pixels.

    Raises:
      UserError: see `super_resolution.load`.
    """
    images.check_shape(image_size, channels)
    if not dir:
        image_size, patches = digits.SIDE, 1
    parts = restoration.pictures(dir, test_dir, channels, subset)

    def noisy(**given) -> NoisyPatches:
        return NoisyPatches(**given, noise=noise)

    split = restoration.patches(
        [(p, p) for p in parts.pop("train")], image_size, patches, noisy
    )
    evaluated = {
        role: [
            (add_noise(picture, noise, np.random.default_rng([number])), picture)
            for number, picture in enumerate(part)
        ]
        for role, part in parts.items()
    }
    return restoration.dataset(split, evaluated)


SOURCE = Source("denoising", load, takes=First, embedded=digits.SIDE)


@dataclass(frozen=True)
class NoisyPatches(Patches):
    """Patches of pictures with Gaussian noise; the labels are the clean patches.

    Attributes:
      noise: the standard deviation of the noise, in gray levels (0 to 255).
    """

    noise: float = 0.0

    def examples(
        self,
        indices: Sequence[int] | np.ndarray,
        rngs: Sequence[np.random.Generator | None],
    ):
        """Yields the examples of `Patches.examples`, with noise added to the images.

        If an example has no random generator, its noise depends only on its index.
        """
        examples = super().examples(indices, rngs)
        for index, example, rng in zip(indices, examples, rngs, strict=True):
            rng = rng or np.random.default_rng([int(index)])
            example["image"] = add_noise(example["image"], self.noise, rng)
            yield example


def add_noise(picture: Picture, noise: float, rng: np.random.Generator) -> Picture:
    """Returns a picture with Gaussian noise, rounded and clipped to 0..255.

    Args:
      noise: the standard deviation of the noise, in gray levels (0 to 255).
      rng: the random generator that draws the noise.
    """
    values = picture + rng.normal(0, noise, picture.shape)
    return np.rint(values.clip(0, 255)).astype(np.uint8)
