"""Luma, smoothing and blending of 8-bit images, as in Pillow."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int32

from cnn_jax.data.augmentations.augmentation import Image

# Luma (ITU-R BT.601) in units of 2**-16, as in Pillow's `Image.convert("L")`.
LUMA = (19595, 38470, 7471)


def blended(
    first: Int32[Array, "*#shape"],
    second: Int32[Array, "*#shape"],
    factor: Float[Array, ""] | float,
) -> Int32[Array, "*shape"]:
    """Returns first + factor * (second - first), as in Pillow's `Image.blend`.

    The result is clipped to 0..255, and its fraction is cut off. A factor of 1 returns
    `second` exactly.
    """
    mixed = first + jnp.float32(factor) * (second - first).astype(jnp.float32)
    return jnp.clip(mixed, 0, 255).astype(jnp.int32)


def luma(image: Image) -> Int32[Array, "*size last"]:
    """Returns the luma of an RGB image, [..., 1], rounded; other images unchanged."""
    values = image.astype(jnp.int32)
    if image.shape[-1] != 3:
        return values
    red, green, blue = (values[..., i : i + 1] * LUMA[i] for i in range(3))
    return (red + green + blue + 2**15) >> 16


def smoothed(image: Image) -> Int32[Array, "*depth height width channels"]:
    """Returns an image smoothed with Pillow's filter `SMOOTH`.

    The filter has 3x3 weights: 5/13 for the pixel itself, and 1/13 for each neighbor.
    Pixels at the edges of the image stay unchanged.
    """
    values = image.astype(jnp.int32)
    if min(image.shape[-3:-1]) < 3:
        return values
    rows = values[..., :-2, :, :] + values[..., 1:-1, :, :] + values[..., 2:, :, :]
    box = rows[..., :-2, :] + rows[..., 1:-1, :] + rows[..., 2:, :]
    inner = (2 * (box + 4 * values[..., 1:-1, 1:-1, :]) + 13) // 26
    return values.at[..., 1:-1, 1:-1, :].set(inner)
