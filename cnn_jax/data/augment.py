"""Augmentation and normalisation on the device, inside the compiled step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int32, Key, UInt8

from cnn_jax.data.dataset import IGNORED


@dataclass(frozen=True)
class Augment:
    """Random shift and horizontal flip, a pure function of (key, epoch, index).

    crop_padding: pixels of black added on each side before a crop of the original
      size is taken at random (4 for CIFAR in He et al. 2016); 0: no crop.
    flip: mirror left and right with probability 1/2.

    An example gets the same treatment wherever in a batch, on whichever device or
    host it lies. Labels of pixels are treated as the image is; what comes from outside
    of it is `IGNORED`.
    """

    crop_padding: int = 0
    flip: bool = False

    @property
    def changes(self) -> bool:
        """Whether it does anything."""
        return bool(self.crop_padding or self.flip)

    def __call__(
        self, key: Key[Array, ""], batch: Mapping[str, Array]
    ) -> dict[str, Array]:
        """The batch with its "image", and a "label" of every pixel, augmented.

        `key` belongs to the run; "index" and "epoch" are those of the batch.
        """
        batch = dict(batch)
        if not self.changes:
            return batch
        keys = jax.vmap(self.example_key, (None, 0, 0))(
            key, batch["index"], batch["epoch"]
        )
        if batch["label"].ndim == 1:
            batch["image"] = jax.vmap(self._one)(keys, batch["image"])
        else:
            batch["image"], batch["label"] = jax.vmap(self._both)(
                keys, batch["image"], batch["label"]
            )
        return batch

    @staticmethod
    def example_key(
        key: Key[Array, ""], index: Int32[Array, ""], epoch: Int32[Array, ""]
    ) -> Key[Array, ""]:
        """The key of one example in one epoch."""
        return jax.random.fold_in(jax.random.fold_in(key, epoch), index)

    def _both(
        self,
        key: Key[Array, ""],
        image: UInt8[Array, "height width channels"],
        label: UInt8[Array, "height width"],
    ) -> tuple[UInt8[Array, "height width channels"], UInt8[Array, "height width"]]:
        label = self._one(key, label[..., None], outside=IGNORED)
        return self._one(key, image), label[..., 0]

    def _one(
        self,
        key: Key[Array, ""],
        image: UInt8[Array, "height width channels"],
        outside: int = 0,
    ) -> UInt8[Array, "height width channels"]:
        crop_key, flip_key = jax.random.split(key)
        if self.crop_padding:
            p = self.crop_padding
            pad = ((p, p), (p, p), (0, 0))
            padded = jnp.pad(image, pad, constant_values=outside)
            top, left = jax.random.randint(crop_key, (2,), 0, 2 * p + 1)
            image = jax.lax.dynamic_slice(padded, (top, left, 0), image.shape)
        if self.flip:
            mirrored = jax.random.bernoulli(flip_key)
            image = jnp.where(mirrored, image[:, ::-1], image)
        return image


def normalize(
    images: UInt8[Array, "batch *space channels"],
    mean: Sequence[float],
    std: Sequence[float],
    dtype: DTypeLike = jnp.float32,
) -> Float[Array, "batch *space channels"]:
    """(images / 255 - mean) / std per channel, computed in float32, as `dtype`."""
    mean, std = jnp.asarray(mean, jnp.float32), jnp.asarray(std, jnp.float32)
    return ((images.astype(jnp.float32) / 255 - mean) / std).astype(dtype)
