"""The base classes of augmentations.

An augmentation is a pure function of a random key.
"""

import dataclasses
import re
import zlib
from collections.abc import Mapping
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32, Key, Shaped, UInt8

from cnn_jax.core.fit import Need, Part
from cnn_jax.data.labels.kind import LabelKind, Move

# Gray levels from 0 (black) to 255 (white), uint8 or float32; see `data.bands`.
Image = (
    UInt8[Array, "*depth height width channels"]
    | Float[Array, "*depth height width channels"]
)


def example_key(
    key: Key[Array, ""], index: Int32[Array, ""], epoch: Int32[Array, ""]
) -> Key[Array, ""]:
    """Returns the random key of one example in one epoch, given the run's key."""
    return jax.random.fold_in(jax.random.fold_in(key, epoch), index)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """A random change of the training images, inside the compiled step.

    A subclass is a frozen dataclass. Its keyword-only fields are the options of its
    entry in `data.augmentations`. The type hint of a field states the range of its
    values:

        @dataclass(frozen=True, kw_only=True)
        class Invert(Augmentation):
            probability: Share = 0.5

            def image(self, key, image):
                inverted = jax.random.bernoulli(key, self.probability)
                return jnp.where(inverted, 255 - image, image)

    The change of an example does not depend on the position of the example in the
    batch, nor on the device or host; only mixtures depend on the neighbor. All frames
    of a clip, or all slices of a volume, get the same change.

    Attributes:
      mixes: whether the augmentation mixes the examples of a batch.
      takes_floats: whether the augmentation also takes float32 images, whose values may
        have fractions and lie outside of 0..255.
    """

    mixes: ClassVar[bool] = False
    takes_floats: ClassVar[bool] = False

    def drawn(
        self, key: Key[Array, ""], index: Int32[Array, ""], epoch: Int32[Array, ""]
    ) -> Key[Array, ""]:
        """Returns the augmentation's own key for an example in an epoch.

        Args:
          key: the run's key.
          index: the index of the example in its split.
          epoch: the number of the epoch.
        """
        return self.key(example_key(key, index, epoch))

    def key(self, example: Key[Array, ""]) -> Key[Array, ""]:
        """Returns the augmentation's own key, derived from the key of an example."""
        return jax.random.fold_in(example, zlib.crc32(self.name().encode()))

    def image(self, key: Key[Array, ""], image: Image) -> Image:
        """Returns the changed image. It has the shape and the type of the given one."""
        raise NotImplementedError

    def applied(
        self, keys: Key[Array, " batch"], batch: Mapping[str, Array]
    ) -> dict[str, Array]:
        """Returns a batch with changed images; `moves` changes the labels.

        Args:
          keys: the augmentation's key for each example; see `key`.
          batch: the batch.
        """
        return {**batch, "image": jax.vmap(self.image)(keys, batch["image"])}

    def moves(self, key: Key[Array, ""], size: tuple[int, int]) -> tuple[Move, ...]:
        """Returns the movements of pixels that the augmentation applies to an image.

        The base class returns none: an augmentation of pixel values moves no pixels.

        Args:
          key: the augmentation's key for the example; see `key`.
          size: (height, width) of the image.
        """
        del key, size
        return ()

    def takes(self, labels: LabelKind) -> bool:
        """Returns whether the augmentation may change images with labels of a kind."""
        return labels.recolorable

    def needs(self, labels: LabelKind) -> tuple[Need, ...]:
        """Returns the requirements of the augmentation on the data; see `core.fit`.

        Args:
          labels: the label kind of the data set.
        """
        needs = []
        if not self.takes(labels):
            words = "changes images but not their labels"
            needs.append(Need("label kind", (), words, self.remedy))
        if not self.takes_floats:
            words = "takes images of 256 gray levels"
            needs.append(Need("image type", {"uint8"}, words, self.remedy))
        return tuple(needs)

    def part(self, labels: LabelKind) -> Part:
        """Returns the `core.fit.Part` of the augmentation, for the check of a run.

        Args:
          labels: the label kind of the data set.
        """
        return Part(f"augmentation '{self.name()}'", takes=self.needs(labels))

    @classmethod
    def name(cls) -> str:
        """Returns the name of the augmentation in `data.augmentations`.

        The name of a built-in augmentation is that of its class with underscores:
        `random_erasing` for `RandomErasing`. Others have their import paths.
        """
        if cls.__module__.startswith(f"{__package__}."):
            return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()
        return f"{cls.__module__}.{cls.__qualname__}"

    @property
    def remedy(self) -> str:
        """How the user does without the augmentation, for errors."""
        return f"take '{self.name()}' out of config.data.augmentations"


def size_of(picture: Image, factor: int = 1) -> tuple[int, int]:
    """Returns (height, width) of the image of a picture `factor` times as large."""
    return picture.shape[-3] // factor, picture.shape[-2] // factor


def of_type(values: Float[Array, "*shape"], image: Image) -> Shaped[Array, "*shape"]:
    """Returns new pixel values in the type of an image.

    For an uint8 image, the values are rounded (halves up) and clipped.
    """
    if image.dtype != jnp.uint8:
        return values.astype(image.dtype)
    return jnp.clip(values + 0.5, 0, 255).astype(jnp.uint8)


class Movement(Augmentation):
    """An augmentation that moves the pixels of an image.

    Labels with positions in the image, such as boxes or masks, are moved too.
    """

    takes_floats: ClassVar[bool] = True

    def moved(
        self,
        key: Key[Array, ""],
        image: Image,
        *,
        outside: int = 0,
        factor: int = 1,
        nearest: bool = False,
    ) -> Image:
        """Returns the moved image, or the moved label picture of the example.

        Args:
          key: the augmentation's key for the example; see `key`.
          image: the image, or a label picture such as a mask.
          outside: the value of pixels that come from outside of the picture.
          factor: the size of the picture, divided by the size of the image.
          nearest: take the nearest pixel instead of interpolating.
        """
        raise NotImplementedError

    def points(
        self, key: Key[Array, ""], points: Float[Array, "n 2"], *, size: tuple[int, int]
    ) -> Float[Array, "n 2"]:
        """Returns the new positions of points in an image.

        Args:
          key: the augmentation's key for the example; see `key`.
          points: the positions (row, column) before the movement, in pixels from the
            upper left corner of the image.
          size: (height, width) of the image.
        """
        raise NotImplementedError

    def image(self, key: Key[Array, ""], image: Image) -> Image:
        return self.moved(key, image)

    def moves(self, key: Key[Array, ""], size: tuple[int, int]) -> tuple[Move, ...]:
        return (Move(partial(self.moved, key), partial(self.points, key, size=size)),)

    def takes(self, labels: LabelKind) -> bool:
        return labels.movable
