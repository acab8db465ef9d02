"""Changes of pixel values by lookup tables with an entry for each of the 256 values.

A table has a row for each channel, or one row for all channels. A table made from a
clip or a volume holds for all of its frames or slices.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32

from cnn_jax.data.augmentations.augmentation import Image
from cnn_jax.data.augmentations.blending import blended, luma

Table = Int32[Array | np.ndarray, "rows 256"]
# The table that changes nothing.
LEVELS = np.arange(256, dtype=np.int32)[None]


def looked_up(image: Image, table: Table) -> Image:
    """Returns the image with each pixel value replaced by its entry in the table."""
    place = image.astype(jnp.int32)
    if len(table) > 1:
        place = place + 256 * np.arange(len(table), dtype=np.int32)
    # XLA stores the result of a product. On the CPU, it would compute a table without
    # a product again for each pixel, because it fuses the table with the gather.
    entries = _times(jnp.asarray(table), np.eye(16)).astype(jnp.uint8).reshape(-1)
    return entries.at[place].get(mode="promise_in_bounds")


def posterized(table: Table, bits: Int32[Array, ""] | int) -> Table:
    """Returns a table whose values keep only their highest bits, 0 to 8 of them."""
    return jnp.asarray(table) & jnp.left_shift(-1, 8 - bits)


def solarized(table: Table, threshold: Float[Array, ""] | float) -> Table:
    """Returns a table whose values are inverted if they reach the threshold.

    A threshold of 256 changes nothing; a threshold of 0 inverts all values.
    """
    return jnp.where(table < threshold, table, 255 - table)


def brightened(factor: Float[Array, ""] | float) -> Table:
    """Returns the table of Pillow's `ImageEnhance.Brightness`."""
    return blended(jnp.int32(0), jnp.asarray(LEVELS), factor)


def contrasted(mean: Int32[Array, ""] | int, factor: Float[Array, ""] | float) -> Table:
    """Returns the table of Pillow's `ImageEnhance.Contrast`.

    Args:
      mean: the mean luma of the image; see `mean_luma`.
      factor: the contrast, relative to the contrast of the image.
    """
    return blended(jnp.int32(mean), jnp.asarray(LEVELS), factor)


def mean_luma(image: Image) -> Int32[Array, ""]:
    """Returns the rounded mean of the luma of an image."""
    return (luma(image).mean(dtype=jnp.float32) + 0.5).astype(jnp.int32)


def auto_contrasted(image: Image) -> Table:
    """Returns the table that stretches each channel to 0..255.

    The table is the table of Pillow's `ImageOps.autocontrast`. Pillow's entries are
    lower by 1 where its floating point division yields less than a whole number.
    """
    planes = image.reshape(-1, image.shape[-1]).astype(jnp.int32)
    low, high = planes.min(0)[:, None], planes.max(0)[:, None]
    stretched = 255 * (LEVELS - low) // jnp.maximum(high - low, 1)
    return jnp.where(high > low, jnp.clip(stretched, 0, 255), LEVELS)


def equalized(image: Image) -> Table:
    """Returns the table of Pillow's `ImageOps.equalize` for each channel."""
    counts = histogram(image)
    last = image.reshape(-1, image.shape[-1]).max(0).astype(jnp.int32)[:, None]
    total = counts.sum(1, keepdims=True)
    step = (total - jnp.take_along_axis(counts, last, 1)) // 255
    before = _below(counts)
    flat = jnp.clip((step // 2 + before) // jnp.maximum(step, 1), 0, 255)
    return jnp.where(step > 0, flat, LEVELS)


def histogram(image: Image) -> Int32[Array, "channels 256"]:
    """Returns the number of pixels of each value in each channel."""
    planes = image.reshape(-1, image.shape[-1])
    channels = planes.shape[1]
    counts = jnp.zeros((channels, 256), jnp.int32)
    return counts.at[np.arange(channels), planes.astype(jnp.int32)].add(1)


def _below(counts: Int32[Array, "channels 256"]) -> Int32[Array, "channels 256"]:
    """Returns the sum of all counts below each value.

    The values are summed in 16 groups of 16 values, which is faster than `cumsum`.
    """
    earlier = np.triu(np.ones((16, 16)), 1)
    groups = _times(counts, np.ones((16, 16)))
    offsets = _times(groups.reshape(-1, 16, 16)[..., 0], earlier)
    return _times(counts, earlier) + offsets.repeat(16, 1)


def _times(
    table: Int32[Array, "rows entries"], matrix: Float[np.ndarray, "16 16"]
) -> Int32[Array, "rows entries"]:
    """Returns the product of each 16 entries of a table with a matrix of 0 and 1.

    The product is exact for sums below 2**24.
    """
    entries = table.reshape(-1, 16).astype(jnp.float32)
    product = jnp.matmul(entries, matrix.astype(np.float32), precision="highest")
    return product.astype(jnp.int32).reshape(table.shape)
