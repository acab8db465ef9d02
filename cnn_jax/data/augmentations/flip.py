"""Mirror images, with left and right exchanged."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int32, Key

from cnn_jax.core.fit import Need
from cnn_jax.core.ranges import Share
from cnn_jax.data.augmentations.augmentation import Image, Movement, example_key
from cnn_jax.data.labels.kind import LabelKind


class Mirror(Movement):
    """The base class of augmentations that exchange left and right of an image."""

    def mirrored(self, key: Key[Array, ""]) -> Bool[Array, ""]:
        """Returns whether the image of the example with this key is mirrored."""
        raise NotImplementedError

    def needs(self, labels: LabelKind) -> tuple[Need, ...]:
        words, off = "mirrors images", self.remedy
        return (*super().needs(labels), Need("mirrorable", {True}, words, off))

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


@dataclass(frozen=True, kw_only=True)
class Flip(Mirror):
    """Exchanges left and right of an image at random.

    Attributes:
      probability: the share of the images that are mirrored.
    """

    probability: Share = 0.5

    def key(self, example: Key[Array, ""]) -> Key[Array, ""]:
        return jax.random.split(example)[1]

    def mirrored(self, key: Key[Array, ""]) -> Bool[Array, ""]:
        return jax.random.bernoulli(key, self.probability)


@dataclass(frozen=True, kw_only=True)
class AlternatingFlip(Mirror):
    """Exchanges left and right of an image in every other epoch.

    Half of the images are mirrored in the first epoch, and the other half in the second
    epoch, and so on (Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU",
    section 3.6). So two successive epochs show each image both ways.
    """

    def drawn(
        self, key: Key[Array, ""], index: Int32[Array, ""], epoch: Int32[Array, ""]
    ) -> Key[Array, ""]:
        first = self.key(example_key(key, index, jnp.zeros_like(epoch)))
        # The lowest bit of the key says whether the image is mirrored.
        data = jax.random.key_data(first)
        data = data.at[-1].set(data[-1] ^ (epoch & 1).astype(data.dtype))
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(first))

    def mirrored(self, key: Key[Array, ""]) -> Bool[Array, ""]:
        return jax.random.key_data(key)[-1] % 2 == 1
