"""Pictures with any number of channels and any type of values.

Examples are the bands of a satellite, and the 16 bits of a microscope. A picture is an
array [height, width, channels], or [height, width], in a `.npy` file; a TIFF file with
one page for each channel; or an image file whose own channels (gray, RGB, RGBA) have
the right number.

The values are gray levels from 0 (black) to 255 (white), uint8. If the config key
`data.value_range` states the values that are black and white, files may hold any
numbers. The gray levels are then float32: they keep their fractions, and may lie below
0 or above 255.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Shaped, UInt8
from PIL import Image

from cnn_jax.data import decoding, pixel_values
from cnn_jax.data.pixel_values import Stored

ARRAY = ".npy"
Values = Shaped[np.ndarray, "height width channels"]
Pixels = UInt8[np.ndarray, "height width channels"]
Levels = Float32[np.ndarray, "height width channels"]
Box = tuple[float | int, float | int, float | int, float | int]
# The values that are black and white, (black, white).
ValueRange = Sequence[float] | None
BYTES = np.dtype(np.uint8)  # the type of images without a range
# Pillow's modes with one byte for each channel of a pixel, without a palette.
_MODES = ("L", "LA", "RGB", "RGBA", "RGBX", "CMYK")


def is_banded(picture: str | Path | bytes | Image.Image, channels: int) -> bool:
    """Returns whether this module reads a picture, and not `images`.

    `images` reads image files as gray or RGB.

    Args:
      picture: a path, the bytes of an image file, or a decoded picture.
      channels: the number of channels of the network's input.
    """
    if channels not in (1, 3):
        return True
    if not isinstance(picture, str | Path):
        return False
    if channels == 3 and str(picture).lower().endswith((".tif", ".tiff")):
        with decoding.opened(picture, f"image {picture}") as image:
            return image.mode == "L" and getattr(image, "n_frames", 1) == 3
    return is_array(picture)


def is_array(picture: object) -> bool:
    """Returns whether a picture is the path of a `.npy` file."""
    return isinstance(picture, str | Path) and str(picture).lower().endswith(ARRAY)


def image_type(value_range: ValueRange) -> np.dtype:
    """Returns the type of the gray levels of pictures that are read with a range."""
    return BYTES if value_range is None else np.dtype(np.float32)


def read(
    picture: str | Path | bytes | Image.Image,
    channels: int,
    what: str,
    value_range: ValueRange = None,
) -> Pixels | Levels:
    """Returns the pixels of a picture, upright according to its EXIF data.

    Args:
      picture: a path, the bytes of an image file, or a decoded picture.
      channels: the number of channels that the picture must have.
      what: the picture's name in errors, such as "image a.npy".
      value_range: the values that become the gray levels 0 and 255; None: the values
        are gray levels.

    Raises:
      UserError: the picture cannot be read, or has another number of channels. Also if
        there is no range and the values are not uint8, or if there is a range and a
        value is not a finite number. The error names the picture.
    """
    with decoding.blamed(what):
        if isinstance(picture, Image.Image):
            pixels = _channels(picture, pixel_values.UNKNOWN, value_range)
        elif isinstance(picture, bytes) or not is_array(picture):
            pixels = _pages(picture, what, value_range)
        else:
            pixels = _array(picture, value_range)
        if pixels.shape[-1] != channels:
            raise ValueError(
                f"its shape is {pixels.shape}, (height, width, channels), and "
                f"config.data.channels is {channels}: set config.data.channels to the "
                "number of channels of the pictures"
            )
        return pixels if value_range is None else _levels(pixels, value_range)


def size(picture: str | Path) -> tuple[int, int]:
    """Returns (width, height) of the array in a `.npy` file; see `read`."""
    with decoding.blamed(f"image {picture}"):
        height, width, _ = _opened(picture).shape
        return width, height


def resized(
    pixels: Pixels | Levels,
    size: tuple[int, int],
    box: Box,
    resampling: Image.Resampling,
) -> Shaped[np.ndarray, "out_height out_width channels"]:
    """Returns a box of a picture, resized. Each channel is resized by itself.

    The type of the values stays the same.

    Args:
      size: (width, height) of the result.
      box: (left, top, right, bottom) of the box.
      resampling: Pillow's filter.
    """
    planes = map(Image.fromarray, np.ascontiguousarray(np.moveaxis(pixels, -1, 0)))
    done = [np.asarray(plane.resize(size, resampling, box=box)) for plane in planes]
    return np.stack(done, axis=-1)


def shown(pixels: Pixels | Levels) -> UInt8[np.ndarray, "height width 3"]:
    """Returns a color picture: the first three channels, or the first one as gray.

    The gray levels are `rounded`.
    """
    first = pixels[..., :3] if pixels.shape[-1] >= 3 else pixels[..., :1]
    return np.broadcast_to(rounded(first), (*pixels.shape[:-1], 3))


def rounded(
    pixels: Shaped[np.ndarray, "*shape"],
) -> UInt8[np.ndarray, "*shape"]:
    """Returns gray levels as uint8, rounded and clipped to 0..255."""
    if pixels.dtype == np.uint8:
        return pixels
    return np.rint(pixels.clip(0, 255)).astype(np.uint8)


def _levels(values: Values, value_range: Sequence[float]) -> Levels:
    """Returns values as gray levels; see `read`."""
    low, high = value_range
    levels = (values.astype(np.float64) - low) * (255 / (high - low))
    if not np.isfinite(levels).all():
        raise ValueError("it has values that are not finite numbers")
    return levels.astype(np.float32)


def _array(path: str | Path, value_range: ValueRange) -> Values:
    pixels = _opened(path)
    if value_range is None and pixels.dtype != np.uint8:
        raise ValueError(
            f"it holds {pixels.dtype}, but the values must be uint8: scale them to "
            "0..255, or state the values that are black and white, such as "
            "config.data.value_range=0,65535"
        )
    return np.asarray(pixels)


def _opened(path: str | Path) -> Values:
    """Returns the array in a `.npy` file, which is not read yet."""
    decoding.regular(path)
    pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(pixels, np.ndarray) or pixels.dtype.kind not in "biuf":
        found = getattr(pixels, "dtype", "several arrays")
        raise ValueError(f"it holds {found}, but the values must be real numbers")
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or 0 in pixels.shape:
        raise ValueError(f"its shape is {pixels.shape}, not (height, width, channels)")
    decoding.check_size(pixels.shape[1::-1])
    return pixels


def _pages(picture: str | Path | bytes, what: str, value_range: ValueRange) -> Values:
    with decoding.opened(picture, what) as image:
        orientation = decoding.placement(image).orientation
        pages, count = [], 1
        if image.format == "TIFF":  # frames of other formats are no channels
            count = getattr(image, "n_frames", 1)
        for number in range(count):
            image.seek(number)
            decoding.check_size(image.size)
            file = pixel_values.stored(image)
            loaded = decoding.loaded(image, orientation)
            pages.append(_channels(loaded, file, value_range))
    if len({page.shape[:2] for page in pages}) > 1:
        raise ValueError("its pages have several sizes")
    return np.concatenate(pages, axis=-1)


def _channels(image: Image.Image, file: Stored, value_range: ValueRange) -> Values:
    """Returns the values of a decoded picture.

    Args:
      image: the picture.
      file: how the file stores the values.
      value_range: see `read`; None: the values must have 8 bits.
    """
    of_bytes = image.mode in _MODES
    if not of_bytes and (value_range is None or image.mode[:1] not in "IF"):
        raise ValueError(
            f"its pixels are of the kind {image.mode}, but each channel must have 8 "
            "bits and no palette. Values of more bits need config.data.value_range"
        )
    values = np.asarray(image).reshape(image.height, image.width, -1)
    if value_range is None:
        return values
    if of_bytes and file.highest > 255:
        raise ValueError(
            "its values have more than 8 bits, of which Pillow reads only 8: store it "
            "as a .npy file, or as a TIFF file with one page for each channel"
        )
    return pixel_values.unscaled(values, image.mode, file)
