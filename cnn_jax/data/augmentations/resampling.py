"""The resampling of a box of an image to the size of the image."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int32

from cnn_jax.data.augmentations.augmentation import Image, of_type

Box = Float[Array, "4"]  # top, left, height and width, in pixels


def resampled(
    image: Image, box: Box, *, cubic: bool = False, outside: int = 0, cut: bool = True
) -> Image:
    """Returns a box of an image, resized to the size of the image, as by Pillow.

    As in Pillow, the kernel is wider if the box is larger than the image, so that
    details do not alias. Unlike Pillow, the function does not round between the two
    dimensions.

    Args:
      box: the box. It may reach outside of the image.
      cubic: take bicubic instead of bilinear interpolation.
      outside: the value of pixels whose centers come from outside of the image.
      cut: interpolate the pixels of the box alone, as after a crop. Otherwise, pixels
        around the box have a part in its edges.
    """
    height, width = image.shape[-3:-1]
    rows, row_inside = _weights(height, box[0], box[2], cubic, cut)
    columns, column_inside = _weights(width, box[1], box[3], cubic, cut)
    inside = row_inside[:, None, None] & column_inside[:, None]
    return jnp.where(inside, weighted(image, rows, columns), jnp.uint8(outside))


def weighted(
    image: Image, rows: Float[Array, "rows rows"], columns: Float[Array, "cols cols"]
) -> Image:
    """Returns an image whose pixels are weighted sums of pixels; see `of_type`.

    Args:
      rows: the weights of the old rows for each new row, [new, old].
      columns: the weights of the old columns for each new column, [new, old].
    """
    found = image.reshape(-1, *image.shape[-3:]).astype(jnp.float32)
    # Columns first, and then clipped, as in Pillow.
    found = jnp.einsum("nw,dhwc->dhnc", columns, found, precision="highest")
    if image.dtype == jnp.uint8:
        found = jnp.clip(found, 0, 255)
    found = jnp.einsum("nh,dhwc->dnwc", rows, found, precision="highest")
    return of_type(found, image).reshape(image.shape)


def nearest(image: Image, box: Box, *, outside: int = 0) -> Image:
    """Returns a box of an image, resized by taking the nearest pixels.

    Args:
      box: the box. It may reach outside of the image.
      outside: the value of pixels whose centers come from outside of the image.
    """
    *_, height, width, _ = image.shape
    rows, row_inside = _index(_places(height, box[0], box[2]), height)
    columns, column_inside = _index(_places(width, box[1], box[3]), width)
    found = jnp.take(jnp.take(image, rows, -3), columns, -2)
    inside = row_inside[:, None, None] & column_inside[:, None]
    return jnp.where(inside, found, jnp.uint8(outside))


def _places(
    count: int, start: Float[Array, ""], length: Float[Array, ""]
) -> Float[Array, "new"]:
    """Returns the positions of the centers of new pixels in the old image."""
    return start + (jnp.arange(count) + 0.5) * (length / count)


def _index(
    places: Float[Array, "new"], count: int
) -> tuple[Int32[Array, "new"], Array]:
    """Returns the indices of the pixels at some positions, and whether they exist."""
    pixels = jnp.floor(places).astype(jnp.int32)
    return jnp.clip(pixels, 0, count - 1), (pixels >= 0) & (pixels < count)


def _weights(
    count: int,
    start: Float[Array, ""],
    length: Float[Array, ""],
    cubic: bool,
    cut: bool,
) -> tuple[Float[Array, "new old"], Array]:
    """Returns the weights of old pixels along a dimension of the new image.

    The second result says whether the new pixels come from inside of the image.
    """
    places = _places(count, start, length)
    stretch = jnp.maximum(length / count, 1)
    centers = jnp.arange(count) + 0.5
    weights = _kernel((places[:, None] - centers) / stretch, cubic)
    if cut:
        weights *= (centers > start) & (centers < start + length)
    total = weights.sum(1, keepdims=True)
    return weights / jnp.where(total > 0, total, 1), _index(places, count)[1]


def _kernel(x: Float[Array, "*shape"], cubic: bool) -> Float[Array, "*shape"]:
    """Returns the bilinear kernel, or the bicubic kernel with a = -1/2 (Keys 1981)."""
    x = jnp.abs(x)
    if not cubic:
        return jnp.maximum(1 - x, 0)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return jnp.where(x <= 1, near, jnp.where(x < 2, far, 0.0))
