"""The conversion of the stored values of a picture to 8 bits."""

import warnings
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from cnn_jax.core.errors import DataWarning

# TIFF tags.
_BITS, _PHOTOMETRIC, _MAX_SAMPLE_VALUE = 258, 262, 281
# A 16-bit picture looks black if it never reaches 1/16 of white.
_DARK = 2**12
_ADVICE = (
    "if its values have fewer than 16 bits, store 8 bits, or state the number of bits "
    "(sBIT of PNG, MaxSampleValue of TIFF)"
)
_STRIP = 2**22  # pixels blended at a time, to limit the memory


class Stored(NamedTuple):
    """How a file stores the values of its pixels, according to its header.

    Attributes:
      rawmode: Pillow's name for the storage of the values, such as "L;4".
      highest: the largest value that the file can store. Pillow may scale the stored
        values.
      stated: whether the file states that its values have fewer bits than their
        storage. Pillow does not scale such values.
      inverted: whether the value 0 is white and Pillow does not invert the values.
    """

    rawmode: str = ""
    highest: int = 255
    stated: bool = False
    inverted: bool = False


UNKNOWN = Stored()


def stored(encoded: ImageFile) -> Stored:
    """Returns how a picture's file stores the values of its pixels.

    The function reads the header of the opened file and decodes no pixels.
    """
    args = encoded.tile[0].args if encoded.tile else None
    rawmode, *more = (args,) if isinstance(args, str) else args or ("",)
    rawmode = str(rawmode)
    if encoded.format == "PPM" and encoded.mode != "F":
        return Stored(rawmode, more[0] if more else 65535 if "16" in rawmode else 255)
    if rawmode.startswith(("L;2", "L;4")):
        return Stored(rawmode, 2 ** int(rawmode[2]) - 1)
    if not encoded.mode.startswith("I"):
        return Stored(rawmode, 65535 if ";16" in rawmode else 255)
    if isinstance(encoded, TiffImageFile):
        bits, inverted = _tiff_bits(encoded), encoded.tag_v2.get(_PHOTOMETRIC) == 0
    else:
        bits, inverted = _png_bits(encoded) if encoded.format == "PNG" else 16, False
    return Stored(rawmode, 2**bits - 1, stated=bits < 16, inverted=inverted)


def png_chunks(encoded: ImageFile) -> Iterator[tuple[bytes, bytes]]:
    """Yields the type and the first 4 bytes of every chunk of an opened PNG."""
    file = encoded.fp
    assert file is not None  # it is open until the picture is closed
    place = file.tell()
    try:
        file.seek(8)
        while len(head := file.read(12)) == 12:
            yield head[4:8], head[8:]
            file.seek(int.from_bytes(head[:4]), 1)
    finally:
        file.seek(place)


def _png_bits(encoded: ImageFile) -> int:
    """Returns the number of significant bits in a 16-bit gray PNG, from its sBIT chunk.

    Without an sBIT chunk, the number is 16.
    """
    found = next((data for kind, data in png_chunks(encoded) if kind == b"sBIT"), b"")
    return found[0] if found and 0 < found[0] < 16 else 16


def _tiff_bits(encoded: TiffImageFile) -> int:
    """Returns the number of significant bits in a gray TIFF.

    If the file states its largest value, the number is computed from this value.
    """
    bits = min(16, *encoded.tag_v2.get(_BITS, (16,)))
    stated = encoded.tag_v2.get(_MAX_SAMPLE_VALUE)
    most = max(stated) if isinstance(stated, tuple) else stated
    return min(bits, max(1, int(most).bit_length())) if most else bits


def plain(
    image: Image.Image, file: Stored = UNKNOWN, what: str = "an image"
) -> Image.Image:
    """Returns a picture in mode "L" or "RGB", with 8 bits and without a palette.

    Transparent pixels are blended with white.

    Args:
      image: the decoded picture.
      file: how the file stores the values of the picture.
      what: the file's name in warnings.

    Raises:
      ValueError: the values of the picture are not colors.
    """
    clear = image.info.get("transparency")
    if image.mode in ("L", "RGB") and clear is None and ";16" not in file.rawmode:
        return image
    if image.mode.startswith("I"):
        values = np.asarray(image)
        gray = _eight_bits(values, image.mode, file, what)
        return _whitened(gray, values == clear if isinstance(clear, int) else None)
    if image.mode == "F":
        raise ValueError("it holds floating-point values, not 8-bit colors")
    if ";16" in file.rawmode:
        _check_brightness(image, what)
    if image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
        _warn(
            what,
            "CMYK colors without Adobe's marker, so it may look inverted: store the "
            "picture as RGB",
        )
    if image.mode in ("1", "L") and isinstance(clear, int):
        gray = np.asarray(image.convert("L"))
        if image.mode == "L":  # Pillow scales all values but the transparent one
            clear = (clear & file.highest) * 255 // file.highest
        return _whitened(gray, gray == clear)
    if image.mode == "RGB" and isinstance(clear, tuple):
        colors = np.asarray(image)
        # Pillow keeps the upper 8 of 16 bits.
        clear = [c >> 8 if file.highest == 65535 else c & 255 for c in clear]
        return _whitened(colors, (colors == clear).all(-1))
    if image.has_transparency_data:
        return _on_white(image)
    return image.convert("L" if image.mode == "1" else "RGB")


def _eight_bits(values: np.ndarray, mode: str, file: Stored, what: str) -> np.ndarray:
    """Returns 16-bit or 32-bit gray values, scaled to 8 bits.

    Pillow's own conversion would clip the values instead of scaling them.

    Args:
      values: the decoded values.
      mode: Pillow's mode of the decoded picture.
      file: how the file stores the values of the picture.
      what: the file's name in warnings.
    """
    least, most = int(values.min()), int(values.max())
    white = file.highest if file.stated and most <= file.highest else 65535
    of_32_bits = mode == "I" and (not file.rawmode or "32" in file.rawmode)
    if of_32_bits and most <= 255 and white == 65535:
        white = 255  # 32-bit files often hold 8-bit values
    if least < 0 or most > white:
        _warn(
            what,
            f"values from {least} to {most}: values below 0 become 0, and values above "
            f"{white} become {white}",
        )
    elif white == 65535 and 0 < most < _DARK:
        _warn(
            what, f"16-bit values of at most {most}, so it is nearly black: {_ADVICE}"
        )
    if file.inverted:
        values = np.subtract(white, values, dtype=np.int32)
    shift = white.bit_length() - 8
    scaled = values >> shift if shift >= 0 else values * 255 // white
    return scaled.clip(0, 255).astype(np.uint8)


def _check_brightness(image: Image.Image, what: str) -> None:
    """Warns if a 16-bit color picture is nearly black.

    Pillow keeps only the upper 8 bits of each value. So a picture whose values use
    fewer than 16 bits becomes dark.

    Args:
      image: the picture, as Pillow decodes it.
      what: the file's name in the warning.
    """
    most = int(np.max(image.getextrema()[:3]))
    if most < _DARK >> 8:
        _warn(
            what,
            f"16-bit values below {_DARK}, so it is nearly black: store the picture "
            "with 8 bits per color",
        )


def _warn(what: str, has: str) -> None:
    warnings.warn(DataWarning(f"{what} has {has}."), stacklevel=2)


def _whitened(values: np.ndarray, clear: np.ndarray | None) -> Image.Image:
    """Returns a picture whose transparent pixels are white.

    Args:
      values: the values of the pixels.
      clear: whether each pixel is transparent; None: no pixel is.
    """
    if clear is not None and clear.any():
        values = values.copy()
        values[clear] = 255
    return Image.fromarray(values)


def _on_white(image: Image.Image) -> Image.Image:
    """Returns a picture with transparency, blended with white.

    The transparency is in an alpha channel or in the palette of the picture.
    """
    width, height = image.size
    blended = Image.new("L" if image.mode in ("LA", "La") else "RGB", image.size)
    rows = max(1, _STRIP // width)
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(top + rows, height)))
        if strip.mode == "La":
            strip = strip.convert("LA")
        strip = strip.convert("RGBA")
        white = Image.new("RGBA", strip.size, "white")
        opaque = Image.alpha_composite(white, strip)
        blended.paste(opaque.convert("RGB").convert(blended.mode), (0, top))
    return blended


def unscaled(values: np.ndarray, mode: str, file: Stored) -> np.ndarray:
    """Returns the values of a gray or color picture as the file stores them.

    Pillow scales the values of some files with fewer than 8 or 16 bits. If the value 0
    is white in the file, the largest value becomes white.

    Args:
      values: the decoded values.
      mode: Pillow's mode of the decoded picture.
      file: how the file stores the values of the picture.
    """
    full = 65535 if mode.startswith("I") else 255
    if file.highest < full and not file.stated:
        values = values * (file.highest / full)
    return file.highest - values.astype(np.float64) if file.inverted else values


def of_mask(image: Image.Image, file: Stored) -> np.ndarray:
    """Returns the values of a mask as the file stores them, uint8 [height, width].

    A mask is gray, has a palette, or has equal color channels. A 1-bit mask has the
    values 0 and 1. Pillow scales 2-bit values, 4-bit values and the values of a PGM
    file to the range of 8 or 16 bits. This function undoes the scaling.

    Args:
      image: the decoded mask.
      file: how the file stores the values of the mask.

    Raises:
      ValueError: the mask has colors, is transparent, or has a value above 255.
    """
    if image.mode in ("RGB", "RGBA") and ";16" in file.rawmode:
        raise ValueError(
            "it has colors of 16 bits, but the value of each pixel must be a class"
        )
    if image.mode in ("LA", "RGB", "RGBA"):
        values = _only_band(image)
    elif image.mode in ("1", "L", "P") or image.mode.startswith("I"):
        values = np.asarray(image)
    else:
        raise ValueError(
            f"it has colors (mode {image.mode}), but the value of each pixel must be "
            "a class"
        )
    if file.rawmode.startswith("L;") and "I" in file.rawmode:
        values = 255 - values
    full = 65535 if image.mode.startswith("I") else 255
    if file.highest < full and not file.stated:
        values = (values.astype(np.int64) * file.highest + full // 2) // full
    if values.size and not 0 <= values.min() <= values.max() <= 255:
        wrong = values[(values < 0) | (values > 255)][0]
        raise ValueError(f"it has the value {wrong}, but classes are from 0 to 255")
    return values.astype(np.uint8)


def _only_band(image: Image.Image) -> np.ndarray:
    """Returns the values of one color channel of a mask whose color channels are equal.

    Raises:
      ValueError: the color channels differ, or a pixel is transparent.
    """
    first = np.asarray(image.getchannel(0))
    for band in image.getbands()[1:]:
        if band == "A" and np.asarray(image.getchannel("A")).min() < 255:
            raise ValueError(
                "it has transparent pixels, but the value of each pixel must be a class"
            )
        if band != "A" and (np.asarray(image.getchannel(band)) != first).any():
            raise ValueError(
                f"it has colors (mode {image.mode}), but the value of each pixel must "
                "be a class"
            )
    return first
