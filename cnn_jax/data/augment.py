"""Augmentation and normalization on the device, inside the compiled step."""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import Annotated

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int32, Key, UInt8

from cnn_jax.core.ranges import Edge, Range
from cnn_jax.data.dataset import IGNORED

Image = UInt8[Array, "*depth height width channels"]
LEAST = 2.0  # pixels: a box that was cut to a side below it has left the image


@dataclass(frozen=True)
class Augment:
    """Random shift, horizontal flip and light, a pure function of (key, epoch, index).

    label_kind: what a label is, one of `dataset.LABELS`.
    crop_padding: pixels of black added on each side before a crop of the original
      size is taken at random (4 for CIFAR in He et al. 2016); 0: no crop.
    flip: mirror left and right with probability 1/2.
    jitter: brightness, contrast and, of colors, saturation are multiplied with factors
      from 1 - jitter to 1 + jitter, as by torchvision's `ColorJitter` (0.4 for ImageNet
      in many recipes).

    An example gets the same treatment wherever in a batch, on whichever device or
    host it lies; all frames of a clip, or slices of a volume, are treated alike. Labels
    that lie in the image are treated as it is: pixels that come from outside of it are
    `IGNORED`, and boxes end where it does.
    """

    label_kind: str = "class"
    _: KW_ONLY
    crop_padding: Edge = 0
    flip: bool = False
    jitter: Annotated[float, Range(least=0, most=1)] = 0.0

    @property
    def changes(self) -> bool:
        """Whether it does anything."""
        return bool(self.crop_padding or self.flip or self.jitter)

    def __call__(
        self, key: Key[Array, ""], batch: Mapping[str, Array]
    ) -> dict[str, Array]:
        """The batch with its "image", and a "label" that lies in it, augmented.

        `key` belongs to the run; "index" and "epoch" are those of the batch.
        """
        batch = dict(batch)
        if not self.changes:
            return batch
        keys = jax.vmap(self.example_key, (None, 0, 0))(
            key, batch["index"], batch["epoch"]
        )
        if self.label_kind in LABELED:
            treat = partial(LABELED[self.label_kind], self)
            size = batch["image"].shape[-3:-1]
            batch["label"] = jax.vmap(partial(treat, size))(keys, batch["label"])
        batch["image"] = jax.vmap(self.picture)(keys, batch["image"])
        if self.jitter:
            batch["image"] = jax.vmap(self.lit)(keys, batch["image"])
        return batch

    @staticmethod
    def example_key(
        key: Key[Array, ""], index: Int32[Array, ""], epoch: Int32[Array, ""]
    ) -> Key[Array, ""]:
        """The key of one example in one epoch."""
        return jax.random.fold_in(jax.random.fold_in(key, epoch), index)

    def draw(self, key: Key[Array, ""]) -> tuple[Int32[Array, "2"], Bool[Array, ""]]:
        """Rows and columns of the padded image above and left of the crop, and whether
        it is mirrored."""
        crop_key, flip_key = jax.random.split(key)
        start = jnp.zeros(2, jnp.int32)
        if self.crop_padding:
            start = jax.random.randint(crop_key, (2,), 0, 2 * self.crop_padding + 1)
        mirrored = jax.random.bernoulli(flip_key) if self.flip else jnp.array(False)
        return start, mirrored

    def picture(
        self, key: Key[Array, ""], image: Image, outside: int = 0, factor: int = 1
    ) -> Image:
        """An image or clip, or a picture `factor` times as large, augmented."""
        start, mirrored = self.draw(key)
        if self.crop_padding:
            p = self.crop_padding * factor
            whole = ((0, 0),) * (image.ndim - 3)
            padding = (*whole, (p, p), (p, p), (0, 0))
            padded = jnp.pad(image, padding, constant_values=outside)
            place = (*(0 for _ in whole), *(start * factor), 0)
            image = jax.lax.dynamic_slice(padded, place, image.shape)
        if self.flip:
            image = jnp.where(mirrored, image[..., ::-1, :], image)
        return image

    def lit(self, key: Key[Array, ""], image: Image) -> Image:
        """An image in another light."""
        low, high = max(0.0, 1 - self.jitter), 1 + self.jitter
        # A key that `draw` has no part in.
        factors = jax.random.uniform(jax.random.fold_in(key, 2), (3,), None, low, high)
        return relit(image, *factors)


def relit(
    image: Image,
    brightness: Float[Array, ""] | float,
    contrast: Float[Array, ""] | float,
    saturation: Float[Array, ""] | float,
) -> Image:
    """An image with other brightness, contrast and saturation; 1 leaves each alone.

    One after the other, its distances to black, to its mean luma and, of colors, to
    each pixel's own luma are multiplied, as by Pillow's `ImageEnhance`.
    """
    x = jnp.clip(image.astype(jnp.float32) * brightness, 0, 255)
    mean = _luma(x).mean()
    x = jnp.clip(mean + contrast * (x - mean), 0, 255)
    if image.shape[-1] == 3:
        gray = _luma(x)
        x = jnp.clip(gray + saturation * (x - gray), 0, 255)
    return jnp.round(x).astype(jnp.uint8)


def _luma(x: Float[Array, "*size channels"]) -> Float[Array, "*size 1"]:
    """Of ITU-R BT.601; a gray image is its own."""
    if x.shape[-1] != 3:
        return x
    return (x * jnp.array([0.299, 0.587, 0.114])).sum(-1, keepdims=True)


def _pixels(
    augment: Augment,
    size: tuple[int, int],
    key: Key[Array, ""],
    label: UInt8[Array, "height width"],
) -> UInt8[Array, "height width"]:
    del size
    return augment.picture(key, label[..., None], outside=IGNORED)[..., 0]


def _boxes(
    augment: Augment,
    size: tuple[int, int],
    key: Key[Array, ""],
    label: Float[Array, "most 5"],
) -> Float[Array, "most 5"]:
    """One is gone of which the image's edge leaves less than `LEAST` pixels a side."""
    start, mirrored = augment.draw(key)
    shift = (augment.crop_padding - start).astype(jnp.float32)
    boxes = label[:, 1:] + jnp.tile(shift, 2)
    height, width = size
    whole, boxes = boxes, jnp.clip(boxes, 0, jnp.array([height, width] * 2, float))
    top, left, bottom, right = boxes.T
    left, right = (
        jnp.where(mirrored, width - right, left),
        jnp.where(mirrored, width - left, right),
    )
    seen = (boxes == whole).all(-1) | (jnp.minimum(bottom - top, right - left) >= LEAST)
    kept = jnp.where(seen, label[:, 0], -1.0)
    return jnp.stack([kept, top, left, bottom, right], axis=-1)


def _picture(
    augment: Augment, size: tuple[int, int], key: Key[Array, ""], label: Image
) -> Image:
    return augment.picture(key, label, factor=len(label) // size[0])


# How labels that lie in the image are augmented.
LABELED = {"pixels": _pixels, "boxes": _boxes, "picture": _picture}


def normalize(
    images: UInt8[Array, "batch *space channels"],
    mean: Sequence[float],
    std: Sequence[float],
    dtype: DTypeLike = jnp.float32,
) -> Float[Array, "batch *space channels"]:
    """(images / 255 - mean) / std per channel, computed in float32, as `dtype`."""
    mean, std = jnp.asarray(mean, jnp.float32), jnp.asarray(std, jnp.float32)
    return ((images.astype(jnp.float32) / 255 - mean) / std).astype(dtype)
