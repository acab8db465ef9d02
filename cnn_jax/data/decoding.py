"""Image files: the accepted formats, the size limit, and the EXIF orientation.

Only the documented formats are accepted. Pillow can open dozens of other formats, and
starts other programs for some of them.
"""

import io
import logging
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from cnn_jax.core.errors import UserError
from cnn_jax.data import pixel_values

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
# Pillow needs up to four bytes per pixel, so this is 512 MiB. Cameras have up to 108
# million pixels.
MOST_PIXELS = 2**27

_ORIENTATION = 0x0112  # the EXIF tag
# The transposition that turns a picture upright, by its EXIF orientation.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Photos with broken EXIF data are common (ImageNet has some) and harmless.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
# Pillow logs an error that it also raises.
logging.getLogger("PIL").setLevel(logging.CRITICAL)
# `check_size` applies a limit of its own.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class Placement(NamedTuple):
    """The size and the orientation of a picture in its file.

    Attributes:
      stored: (width, height) of the stored pixels.
      orientation: the EXIF orientation, 1 to 8; 1 means that the stored pixels are
        upright.
    """

    stored: tuple[int, int]
    orientation: int

    @property
    def upright(self) -> tuple[int, int]:
        """The size (width, height) of the upright picture."""
        return self.stored[::-1] if self.orientation >= 5 else self.stored


@contextmanager
def opened(
    picture: str | Path | bytes,
    what: str,
    unknown: str = (
        f"the file is not an image, or damaged (formats: {' '.join(FORMATS)})"
    ),
    formats: tuple[str, ...] = FORMATS,
) -> Iterator[ImageFile]:
    """Yields an opened image file. The header is read and checked; no pixel is decoded.

    Any error inside the `with` block becomes a `UserError` that names the file.

    Args:
      picture: a path, or the bytes of an image file.
      what: the file's name in errors, such as "image cat.png".
      unknown: the text of the error for a file in none of the formats.
      formats: the accepted formats by Pillow's names, a subset of `FORMATS`.

    Raises:
      UserError: the file is missing, not an image, damaged or too large.
    """
    with (
        blamed(what, unknown),
        _file(picture) as file,
        Image.open(file, formats=formats) as image,
    ):
        check_size(image.size)
        yield image


def _file(picture: str | Path | bytes) -> io.BytesIO | io.BufferedReader:
    """Returns the opened file of a picture, given its path or its bytes.

    Pillow is given an open file because it maps some files to memory if it is given
    their path. For a TIFF file, it would then use the wrong size.
    """
    if isinstance(picture, bytes):
        return io.BytesIO(picture)
    return open(regular(picture), "rb")


@contextmanager
def blamed(
    what: str, unknown: str = "the file is not an image, or damaged"
) -> Iterator[None]:
    """Turns any error inside the `with` block into a one-line `UserError` about a file.

    Every kind of exception is caught, because decoders raise nearly every kind on
    damaged files.

    Args:
      what: the file's name in errors.
      unknown: the text of the error if Pillow does not recognize the file.
    """
    try:
        yield
    except UserError:
        raise
    except Image.UnidentifiedImageError:
        raise UserError(f"{what}: {unknown}.") from None
    except FileNotFoundError:
        raise UserError(f"{what}: there is no such file.") from None
    except Image.DecompressionBombError:
        limit = f"it has more than {MOST_PIXELS} pixels: make it smaller"
        raise UserError(f"{what} cannot be read: {limit}.") from None
    except MemoryError:
        raise UserError(f"{what} cannot be read: it takes too much memory.") from None
    except Exception as error:
        text = str(getattr(error, "strerror", None) or error) or type(error).__name__
        reason = text.strip().splitlines()[0].rstrip(".")
        raise UserError(f"{what} cannot be read: {reason}.") from None


def regular(path: str | Path) -> str | Path:
    """Returns the path of a regular file unchanged.

    Pipes and devices are refused because opening one may block forever.

    Raises:
      OSError: there is no such file.
      ValueError: the path is a folder, a pipe, a socket or a device.
    """
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise ValueError("it is a folder")
    if not stat.S_ISREG(mode):
        raise ValueError("it is not a regular file, but a pipe, a socket or a device")
    return path


def check_size(size: tuple[int, int]) -> None:
    """Raises `ValueError` if a picture of `size` (width, height) is too large."""
    width, height = size
    if width * height > MOST_PIXELS:
        raise ValueError(
            f"it has {width}x{height} pixels, but the limit is {MOST_PIXELS} pixels: "
            "make it smaller"
        )


def placement(image: ImageFile) -> Placement:
    """Returns the stored size and the orientation of an opened picture."""
    orientation = _orientation(image)
    # Pillow's `size` is the upright size for TIFF, and the stored size for all other
    # formats.
    swapped = image.format == "TIFF" and orientation >= 5
    return Placement(image.size[::-1] if swapped else image.size, orientation)


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """Returns a picture turned upright, given the EXIF orientation of its pixels."""
    return image.transpose(_TURNS[orientation]) if orientation > 1 else image


def decoded(
    encoded: ImageFile, what: str, placed: Placement | None = None
) -> Image.Image:
    """Returns an opened picture, turned upright, in mode "L" or "RGB".

    `pixel_values.plain` describes the conversion to these modes.

    Args:
      encoded: the opened picture.
      what: the file's name in warnings.
      placed: the size and orientation of the stored pixels; None: the ones in the file.
    """
    orientation = (placed or placement(encoded)).orientation
    stored = pixel_values.stored(encoded)
    return pixel_values.plain(loaded(encoded, orientation), stored, what)


def loaded(encoded: ImageFile, orientation: int) -> Image.Image:
    """Returns an opened picture after decoding, turned upright.

    Args:
      encoded: the opened picture.
      orientation: the EXIF orientation of the stored pixels; 1: the picture is not
        turned.
    """
    if encoded.format == "TIFF":  # Pillow would turn a TIFF by itself
        encoded.getexif()[_ORIENTATION] = 1
        encoded.load()
        # The size of the copy is the size of the pixels.
        return turned(encoded.copy(), orientation)
    encoded.load()
    return turned(encoded, orientation)


def _orientation(image: ImageFile) -> int:
    try:
        if isinstance(image, TiffImageFile):
            found = image.tag_v2.get(_ORIENTATION)
        elif image.format == "PNG" and not _ends_with_pixels(image):
            found = image.getexif().get(_ORIENTATION)
        else:
            # Pillow decodes a whole PNG to look for EXIF data behind its pixels.
            found = Image.Image.getexif(image).get(_ORIENTATION)
    except Exception:  # unreadable EXIF data is ignored
        return 1
    return found if found in _TURNS else 1


def _ends_with_pixels(image: ImageFile) -> bool:
    """Returns whether the pixels are the last data in a PNG file."""
    kinds = [kind for kind, _ in pixel_values.png_chunks(image)]
    return set(kinds[kinds.index(b"IDAT") :]) <= {b"IDAT", b"IEND"}
