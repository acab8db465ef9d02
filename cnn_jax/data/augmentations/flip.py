"""A random mirror image, with left and right exchanged."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from cnn_jax.core.fit import Need
from cnn_jax.core.ranges import Share
from cnn_jax.data.augmentations.augmentation import Image, Movement
from cnn_jax.data.labels.kind import LabelKind


@dataclass(frozen=True, kw_only=True)
class Flip(Movement):
    """Exchanges left and right of an image at random.

    Attributes:
      probability: the share of the images that are mirrored.
    """

    probability: Share = 0.5

    def needs(self, labels: LabelKind) -> tuple[Need, ...]:
        words, off = "mirrors images", self.remedy
        return (*super().needs(labels), Need("mirrorable", {True}, words, off))

    def key(self, example: Key[Array, ""]) -> Key[Array, ""]:
        return jax.random.split(example)[1]

    def mirrored(self, key: Key[Array, ""]) -> Bool[Array, ""]:
        """Returns whether the image of the example with this key is mirrored."""
        return jax.random.bernoulli(key, self.probability)

    def moved(
        self,
        key: Key[Array, ""],
        image: Image,
        *,
        outside: int = 0,
        factor: int = 1,
        nearest: bool = False,
    ) -> Image:
        del outside, factor, nearest  # pixels only change their order
        return jnp.where(self.mirrored(key), image[..., ::-1, :], image)

    def points(
        self, key: Key[Array, ""], points: Float[Array, "n 2"], *, size: tuple[int, int]
    ) -> Float[Array, "n 2"]:
        rows, columns = points.T
        columns = jnp.where(self.mirrored(key), size[1] - columns, columns)
        return jnp.stack([rows, columns], axis=-1)
