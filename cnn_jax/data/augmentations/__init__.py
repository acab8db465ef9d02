"""Augmentations of the training images, one file each."""

from collections.abc import Mapping, Sequence
from typing import Any

from cnn_jax.core import ranges
from cnn_jax.core.keys import Key
from cnn_jax.data.augmentations import entries
from cnn_jax.data.augmentations.affine import Affine
from cnn_jax.data.augmentations.augmentation import Augmentation
from cnn_jax.data.augmentations.augmix import AugMix
from cnn_jax.data.augmentations.auto_augment import AutoAugment
from cnn_jax.data.augmentations.color import ColorJitter, Grayscale
from cnn_jax.data.augmentations.crop import Crop
from cnn_jax.data.augmentations.erasing import Cutout, RandomErasing
from cnn_jax.data.augmentations.filtering import Blur, Sharpness
from cnn_jax.data.augmentations.flip import AlternatingFlip, Flip
from cnn_jax.data.augmentations.mixing import Cutmix, Mixup, MixupOrCutmix
from cnn_jax.data.augmentations.policies import RandAugment, TrivialAugment
from cnn_jax.data.augmentations.resized_crop import RandomResizedCrop, ScaleCrop
from cnn_jax.data.augmentations.rotation import Rotation
from cnn_jax.data.augmentations.shift import Shift
from cnn_jax.data.augmentations.tones import (
    AutoContrast,
    Equalize,
    Invert,
    Posterize,
    Solarize,
)

# The built-in augmentations by name.
AUGMENTATIONS: Mapping[str, type[Augmentation]] = {
    kind.name(): kind
    for kind in (
        *(Crop, Shift, Flip, AlternatingFlip, Rotation, Affine),
        *(RandomResizedCrop, ScaleCrop),
        *(ColorJitter, Grayscale, Invert, Posterize, Solarize, Equalize, AutoContrast),
        *(Sharpness, Blur, RandAugment, TrivialAugment, AutoAugment, AugMix),
        *(RandomErasing, Cutout, Mixup, Cutmix, MixupOrCutmix),
    )
}
# The config key `data.augmentations`, in a resolved config.
OPTIONS = {"augmentations": Key(tuple[str, ...], ())}


def resolved(given: Any, check: entries.Check = ranges.check) -> tuple[str, ...]:
    """Returns the value of `data.augmentations` in a resolved config.

    See `entries.resolved`.
    """
    return entries.resolved(given, AUGMENTATIONS, check)


def find(name: str) -> type[Augmentation]:
    """Returns a built-in augmentation by its name, or another by its import path."""
    return entries.find(name, AUGMENTATIONS)


def made(texts: Sequence[str]) -> tuple[Augmentation, ...]:
    """Returns the augmentations of `data.augmentations` in a resolved config."""
    return entries.made(texts, AUGMENTATIONS)
