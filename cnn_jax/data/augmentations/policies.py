"""RandAugment and TrivialAugment: policies of randomly drawn operations."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32, Key

from cnn_jax.core.errors import unknown
from cnn_jax.core.ranges import Layers, Range
from cnn_jax.data.augmentations.augmentation import Image, Movement, size_of
from cnn_jax.data.augmentations.operations import NUMBERS, OPERATIONS, SIGNED, Change
from cnn_jax.data.augmentations.warp import enlarged, points_moved, warped
from cnn_jax.data.labels.kind import LabelKind

Scalar = Float[Array, ""] | float

INTERPOLATIONS = ("nearest", "bilinear")
BINS = 30  # the largest magnitude of RandAugment and TrivialAugment
# The share of the image's side by which AutoAugment translates at most.
TRANSLATION = 150 / 331


@dataclass(frozen=True)
class Space:
    """The operations of a policy, and their largest magnitudes.

    Attributes:
      operations: the names of the operations that are drawn.
      shear: the slope of shears.
      translation: the length of translations, in pixels or as a share of the image's
        side.
      relative: whether `translation` is a share.
      degrees: the angle of rotations.
      strength: the magnitude of brightness, color, contrast and sharpness.
      bits: the bits that posterize keeps at the smallest and the largest magnitude.
    """

    operations: tuple[str, ...] = OPERATIONS[:-1]  # all but "invert"
    shear: float = 0.3
    translation: float = TRANSLATION
    relative: bool = True
    degrees: float = 30.0
    strength: float = 0.9
    bits: tuple[int, int] = (8, 4)

    def change(
        self,
        draws: Float[Array, "2"],
        level: Scalar,
        size: tuple[int, int],
    ) -> Change:
        """Returns a random operation of the policy.

        Args:
          draws: two random numbers from 0 to 1, for the operation and for the sign of
            its magnitude.
          level: the magnitude, from 0 (smallest) to 1 (largest).
          size: (height, width) of the image.
        """
        drawn, sign = draws
        numbers = jnp.array([NUMBERS[name] for name in self.operations])
        place = jnp.floor(drawn * len(numbers)).astype(jnp.int32)
        operation = numbers[jnp.minimum(place, len(numbers) - 1)]
        return self.signed(operation, sign, level, size)

    def signed(
        self,
        operation: Int32[Array, ""],
        sign: Scalar,
        level: Scalar,
        size: tuple[int, int],
    ) -> Change:
        """Returns an operation with a magnitude.

        Args:
          operation: the number of the operation; see `operations.NUMBERS`.
          sign: a random number from 0 to 1. Below 0.5, magnitudes that can be negative
            are negative.
          level: the magnitude, from 0 (smallest) to 1 (largest).
          size: (height, width) of the image.
        """
        height, width = size if self.relative else (1, 1)
        ends = dict.fromkeys(SIGNED, (0, self.strength))
        ends |= dict.fromkeys(("shear_x", "shear_y"), (0, self.shear))
        ends["translate_x"] = (0, self.translation * width)
        ends["translate_y"] = (0, self.translation * height)
        ends |= {"rotate": (0, self.degrees), "solarize": (255, 0)}
        ends["posterize"] = self.bits
        rows = [(*ends.get(name, (0, 0)), name in SIGNED) for name in OPERATIONS]
        first, last, is_signed = jnp.array(rows, jnp.float32)[operation]
        magnitude = first + (last - first) * level
        posterize = operation == NUMBERS["posterize"]
        magnitude = jnp.where(posterize, jnp.round(magnitude), magnitude)
        negative = (is_signed > 0) & (sign < 0.5)
        return Change(operation, jnp.where(negative, -magnitude, magnitude))


RAND_AUGMENT = Space()
WIDE = Space(
    shear=0.99,
    translation=32.0,
    relative=False,
    degrees=135.0,
    strength=0.99,
    bits=(8, 2),
)


@dataclass(frozen=True, kw_only=True)
class Policy(Movement):
    """A sequence of random operations.

    Labels with positions in the image follow the shears, translations and rotations.
    All frames of a clip get the same change: equalize and auto-contrast use the
    histogram of the whole clip.

    Attributes:
      interpolation: the resampling of shears and rotations, "nearest" or "bilinear".
    """

    takes_floats: ClassVar[bool] = False

    interpolation: str = "nearest"

    def __post_init__(self) -> None:
        if self.interpolation not in INTERPOLATIONS:
            raise unknown("interpolation", self.interpolation, INTERPOLATIONS)

    def changes(self, key: Key[Array, ""], size: tuple[int, int]) -> Change:
        """Returns the random operations for an example, along a new first axis.

        Args:
          key: the augmentation's key for the example; see `key`.
          size: (height, width) of the image.
        """
        raise NotImplementedError

    def image(self, key: Key[Array, ""], image: Image) -> Image:
        nearest = self.interpolation == "nearest"

        def change(image: Image, change: Change) -> tuple[Image, None]:
            return change.applied(image, nearest=nearest), None

        return jax.lax.scan(change, image, self.changes(key, size_of(image)))[0]

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
        nearest = nearest or self.interpolation == "nearest"

        def move(image: Image, change: Change) -> tuple[Image, None]:
            matrix = enlarged(change.matrix(size), factor)
            return warped(image, matrix, outside=outside, nearest=nearest), None

        return jax.lax.scan(move, image, self.changes(key, size))[0]

    def points(
        self, key: Key[Array, ""], points: Float[Array, "n 2"], *, size: tuple[int, int]
    ) -> Float[Array, "n 2"]:
        def move(points: Array, change: Change) -> tuple[Array, None]:
            return points_moved(points, change.matrix(size)), None

        return jax.lax.scan(move, points, self.changes(key, size))[0]

    def takes(self, labels: LabelKind) -> bool:
        return labels.movable and labels.recolorable


@dataclass(frozen=True, kw_only=True)
class RandAugment(Policy):
    """RandAugment (Cubuk et al. 2019), with the operations of torchvision.

    Each layer draws one of 14 operations, with a random sign of its magnitude.

    Attributes:
      layers: the number of operations for each image.
      magnitude: the magnitude of the operations, from 0 to 30.
      magnitude_std: the standard deviation of the magnitude in a layer, as in timm. The
        magnitude is clipped to 0..30. 0: all layers have the same magnitude.
    """

    layers: Layers = 2
    magnitude: Annotated[float, Range(least=0, most=BINS)] = 9.0
    magnitude_std: Annotated[float, Range(least=0, most=BINS)] = 0.0

    def changes(self, key: Key[Array, ""], size: tuple[int, int]) -> Change:
        draws = jax.random.uniform(key, (self.layers, 2))
        levels = jnp.full(self.layers, self.magnitude / BINS, jnp.float32)
        if self.magnitude_std:
            noise = jax.random.normal(jax.random.fold_in(key, 1), levels.shape)
            levels = jnp.clip(levels + self.magnitude_std / BINS * noise, 0, 1)
        return jax.vmap(RAND_AUGMENT.change, (0, 0, None))(draws, levels, size)


@dataclass(frozen=True, kw_only=True)
class TrivialAugment(Policy):
    """TrivialAugment (Müller and Hutter 2021), as torchvision's `TrivialAugmentWide`.

    Each image gets one of 14 operations, with one of 31 magnitudes.
    """

    def changes(self, key: Key[Array, ""], size: tuple[int, int]) -> Change:
        draws = jax.random.uniform(key, (3,))
        level = jnp.floor(draws[2] * (BINS + 1)) / BINS
        change = WIDE.change(draws[:2], level, size)
        return jax.tree.map(lambda leaf: leaf[None], change)
