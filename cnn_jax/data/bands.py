"""Pictures with any number of channels, such as the bands of a satellite.

A picture is an array uint8 [height, width, channels], or [height, width], in a `.npy`
file; a TIFF file with one page for each channel; or an image file whose own channels
(gray, RGB, RGBA) have the right number.
"""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from cnn_jax.data import decoding

ARRAY = ".npy"
Pixels = UInt8[np.ndarray, "height width channels"]
Box = tuple[float | int, float | int, float | int, float | int]
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


def read(picture: str | Path | bytes | Image.Image, channels: int, what: str) -> Pixels:
    """Returns the pixels of a picture, upright according to its EXIF data.

    Args:
      picture: a path, the bytes of an image file, or a decoded picture.
      channels: the number of channels that the picture must have.
      what: the picture's name in errors, such as "image a.npy".

    Raises:
      UserError: the picture cannot be read, has another number of channels, or has
        values that are not uint8. The error names the picture.
    """
    with decoding.blamed(what):
        if isinstance(picture, Image.Image):
            pixels = _channels(picture)
        elif isinstance(picture, bytes) or not is_array(picture):
            pixels = _pages(picture, what)
        else:
            pixels = _array(picture)
        if pixels.shape[-1] != channels:
            raise ValueError(
                f"its shape is {pixels.shape}, (height, width, channels), and "
                f"config.data.channels is {channels}: set config.data.channels to the "
                "number of channels of the pictures"
            )
        return pixels


def size(picture: str | Path) -> tuple[int, int]:
    """Returns (width, height) of the array in a `.npy` file; see `read`."""
    with decoding.blamed(f"image {picture}"):
        height, width, _ = _array(picture).shape
        return width, height


def resized(
    pixels: Pixels, size: tuple[int, int], box: Box, resampling: Image.Resampling
) -> UInt8[np.ndarray, "out_height out_width channels"]:
    """Returns a box of a picture, resized. Each channel is resized by itself.

    Args:
      size: (width, height) of the result.
      box: (left, top, right, bottom) of the box.
      resampling: Pillow's filter.
    """
    planes = map(Image.fromarray, np.ascontiguousarray(np.moveaxis(pixels, -1, 0)))
    done = [np.asarray(plane.resize(size, resampling, box=box)) for plane in planes]
    return np.stack(done, axis=-1)


def shown(pixels: Pixels) -> UInt8[np.ndarray, "height width 3"]:
    """Returns a color picture: the first three channels, or the first one as gray."""
    first = pixels[..., :3] if pixels.shape[-1] >= 3 else pixels[..., :1]
    return np.broadcast_to(first, (*pixels.shape[:-1], 3))


def _array(path: str | Path) -> Pixels:
    decoding.regular(path)
    pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
        found = getattr(pixels, "dtype", "several arrays")
        raise ValueError(
            f"it holds {found}, but the values must be uint8: scale them to 0..255"
        )
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or 0 in pixels.shape:
        raise ValueError(f"its shape is {pixels.shape}, not (height, width, channels)")
    decoding.check_size(pixels.shape[1::-1])
    return np.asarray(pixels)


def _pages(picture: str | Path | bytes, what: str) -> Pixels:
    with decoding.opened(picture, what) as image:
        orientation = decoding.placement(image).orientation
        if image.format != "TIFF":
            return _channels(decoding.loaded(image, orientation))
        pages = []
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            decoding.check_size(image.size)
            pages.append(_channels(decoding.loaded(image, orientation)))
    if len({page.shape[:2] for page in pages}) > 1:
        raise ValueError("its pages have several sizes")
    return np.concatenate(pages, axis=-1)


def _channels(image: Image.Image) -> Pixels:
    if image.mode not in _MODES:
        raise ValueError(
            f"its pixels are of the kind {image.mode}, but each channel must have 8 "
            "bits and no palette"
        )
    return np.asarray(image).reshape(image.height, image.width, -1)
