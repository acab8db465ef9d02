"""Files of images: which formats are decoded, how large they may be, which way is up.

Pillow knows dozens of formats, some of which start other programs. Only the documented
ones are tried.
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
# Pillow takes four bytes a pixel: 512 MiB. Cameras have up to 108 million pixels.
MOST_PIXELS = 2**27

_ORIENTATION = 0x0112  # the EXIF tag
# What turns a picture upright, by its EXIF orientation.
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
# Pillow logs what it also raises.
logging.getLogger("PIL").setLevel(logging.CRITICAL)
# `check_size` has a limit of its own.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class Placement(NamedTuple):
    """How a picture lies in its file: the size (width, height) that is stored, and the
    EXIF orientation, 1 to 8, where 1 is upright."""

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
    unknown: str = f"not an image, or damaged (formats: {' '.join(FORMATS)})",
    formats: tuple[str, ...] = FORMATS,
) -> Iterator[ImageFile]:
    """An image file, of which the header is read and checked and nothing is decoded.

    Any failure inside the block is blamed on the file.

    Args:
      picture: a path, or an encoded file.
      what: what errors call the file, such as "image cat.png".
      unknown: what the file is where Pillow finds none of the formats.
      formats: names of Pillow's, some of `FORMATS`.

    Raises:
      UserError: the file is missing, no image, damaged or too large.
    """
    with (
        blamed(what, unknown),
        _file(picture) as file,
        Image.open(file, formats=formats) as image,
    ):
        check_size(image.size)
        yield image


def _file(picture: str | Path | bytes) -> io.BytesIO | io.BufferedReader:
    """A picture's file. Given a path, Pillow would map some files to memory, and a TIFF
    with the wrong size."""
    if isinstance(picture, bytes):
        return io.BytesIO(picture)
    return open(regular(picture), "rb")


@contextmanager
def blamed(what: str, unknown: str = "not an image, or damaged") -> Iterator[None]:
    """Turns any error of the block into a `UserError` of one line about the file.

    Decoders raise nearly every kind of exception on damaged files.

    Args:
      what: the file.
      unknown: what the file is, where Pillow does not know it.
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
    """The path of a regular file. Opening a pipe or a device may wait without end.

    Raises:
      OSError: there is no such file.
      ValueError: the path is something else.
    """
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise ValueError("it is a folder")
    if not stat.S_ISREG(mode):
        raise ValueError("it is no regular file, but a pipe, a socket or a device")
    return path


def check_size(size: tuple[int, int]) -> None:
    """Raises `ValueError` for a picture of too many pixels."""
    width, height = size
    if width * height > MOST_PIXELS:
        raise ValueError(
            f"it has {width}x{height} pixels, and at most {MOST_PIXELS} are read: make "
            "it smaller"
        )


def placement(image: ImageFile) -> Placement:
    """How an opened picture lies in its file."""
    orientation = _orientation(image)
    # Pillow gives the upright size of a TIFF, and the stored size of all others.
    swapped = image.format == "TIFF" and orientation >= 5
    return Placement(image.size[::-1] if swapped else image.size, orientation)


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """A picture of an EXIF orientation, turned upright."""
    return image.transpose(_TURNS[orientation]) if orientation > 1 else image


def decoded(
    encoded: ImageFile, what: str, placed: Placement | None = None
) -> Image.Image:
    """An opened picture as mode "L" or "RGB"; see `pixel_values.plain`.

    Args:
      what: what warnings call the file.
      placed: how the picture is taken to lie in its file; None: as the file says.
    """
    orientation = (placed or placement(encoded)).orientation
    stored = pixel_values.stored(encoded)
    return pixel_values.plain(loaded(encoded, orientation), stored, what)


def loaded(encoded: ImageFile, orientation: int) -> Image.Image:
    """An opened picture, decoded as it is stored and turned by an EXIF orientation."""
    if encoded.format == "TIFF":  # which Pillow would turn by itself
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
    except Exception:  # EXIF data that cannot be read says nothing
        return 1
    return found if found in _TURNS else 1


def _ends_with_pixels(image: ImageFile) -> bool:
    """Whether a PNG has nothing behind its pixels."""
    kinds = [kind for kind, _ in pixel_values.png_chunks(image)]
    return set(kinds[kinds.index(b"IDAT") :]) <= {b"IDAT", b"IEND"}
