"""Splits of pictures with masks: a picture and its mask are decoded together."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile

from cnn_jax.core.errors import DataWarning, UserError
from cnn_jax.data import bands, decoding, images, pixel_values
from cnn_jax.data.splits import Encoded, Reader, Records, Shape

Pair = tuple[Path, Path]
# Formats, and compressions of TIFF, that change values. WebP has no single channel.
_LOSSY = {"JPEG", "MPO", "WEBP", "jpeg", "tiff_jpeg", "webp"}


class Mask(NamedTuple):
    """A mask on the disk.

    Attributes:
      stored: the path or the bytes of an image file.
      table: the class of each value of the mask; see `masks.class_table`.
      name: the mask's name in errors.
    """

    stored: str | bytes
    table: np.ndarray
    name: str


@dataclass(frozen=True)
class MaskFiles:
    """A reader of picture files and mask files.

    Attributes:
      pairs: the paths of each picture and its mask.
      table: the class of each value of a mask; -1 if the value is not a class.
    """

    pairs: tuple[Pair, ...]
    table: np.ndarray = field(repr=False)

    @property
    def paths(self) -> list[str]:
        return [str(picture) for picture, _ in self.pairs]

    def __len__(self) -> int:
        return len(self.pairs)

    def joined(self, other: "MaskFiles") -> "MaskFiles":
        return replace(self, pairs=self.pairs + other.pairs)

    def compared(self) -> int:
        """Returns the number of examples whose sizes `aligned` compares."""
        return len(self)

    def labels(self) -> None:
        return None

    def read(self, indices: Sequence[int]) -> Iterable[Encoded]:
        for i in indices:
            picture, mask = map(str, self.pairs[i])
            yield Encoded(picture, Mask(mask, self.table, mask), picture)


@runtime_checkable
class MaskReader(Reader, Protocol):
    """The interface of a reader of pictures with masks, with random access."""

    def compared(self) -> int:
        """Returns the number of examples whose sizes `aligned` compares."""


@dataclass(frozen=True)
class MaskRecords(Records):
    """A split of pictures with masks on the disk; see `Records`.

    Pictures and masks are turned upright. A picture is turned as its EXIF orientation
    says. A mask with an EXIF orientation is turned in the same way. A mask without an
    EXIF orientation is upright if it has the size of the upright picture. If it has the
    size of the stored picture, it is turned like the picture. If the upright picture
    and the stored picture have one size, `lying` decides.

    Attributes:
      lying: whether masks for which the size does not decide are turned like their
        pictures; otherwise they are taken as upright.
    """

    reader: MaskReader
    label_type: ClassVar[np.dtype] = np.dtype(np.uint8)
    lying: bool = False

    @property
    def label_shape(self) -> Shape:
        return self.image_shape[:2]

    def decoded(self, example: Encoded, rng: np.random.Generator | None) -> dict:
        del rng
        height, width = self.label_shape
        stored, table, name = example.label
        with opened(stored, name) as encoded:
            orientation = _orientation(_placed(example, encoded), self.lying)
            upright = decoding.turned(Image.fromarray(values(encoded)), orientation)
        mask = np.asarray(upright.resize((width, height), Image.Resampling.NEAREST))
        label = table[mask]
        if label.min() < 0:
            raise UserError(
                f"mask {name} has the value {mask[label < 0][0]}, which is not a "
                "class: add more names to data.classes, or add the value to "
                "data.ignored."
            )
        image = images.stretch(
            example.picture,
            self.image_shape,
            example.name,
            value_range=self.value_range,
        )
        return {"image": image, "label": label.astype(np.uint8)}


class _Placed(NamedTuple):
    """The stored sizes and the orientations of a picture and its mask."""

    picture: decoding.Placement
    mask: decoding.Placement

    @property
    def undecided(self) -> bool:
        """True if the sizes of the files leave open whether the mask is upright."""
        picture, mask = self
        turned = picture.orientation > 1 and mask.orientation == 1
        return turned and picture.upright == picture.stored


def aligned(splits: Sequence[MaskRecords]) -> list[MaskRecords]:
    """Returns the splits of a data set, after a comparison of pictures and masks.

    The function reads only the headers of the files. It sets `lying` of the splits: if
    sizes do not tell whether a mask is upright, the mask is assumed to be oriented like
    the data set's other masks whose pictures have an EXIF orientation.

    Raises:
      UserError: a mask and its picture have different sizes, or a file cannot be read.
    """
    undecided, known = [], set()
    for split in splits:
        reader = split.reader
        indices = np.linspace(0, len(reader) - 1, reader.compared()).astype(int)
        for example in reader.read(indices.tolist()):
            with opened(example.label.stored, example.label.name) as mask:
                placed = _placed(example, mask)
            if placed.undecided:
                undecided.append(example.name)
            elif placed.picture.orientation > 1 and placed.mask.orientation == 1:
                known.add(_orientation(placed, lying=False) > 1)
    if undecided and len(known) != 1:
        warnings.warn(
            DataWarning(
                f"image {undecided[0]} is turned upright by its EXIF orientation. Its "
                "size does not show whether its mask is upright too "
                f"({len(undecided)} such images): the mask is assumed to be upright. "
                "If this is wrong, remove the EXIF orientation."
            ),
            stacklevel=2,
        )
    return [replace(split, lying=known == {True}) for split in splits]


def _placed(example: Encoded, mask: ImageFile) -> _Placed:
    """Returns the stored sizes and the orientations of an example's picture and mask.

    Args:
      example: the example, with the file of the picture.
      mask: the opened file of the mask.

    Raises:
      UserError: the picture and the mask have different sizes.
    """
    if bands.is_array(example.picture):
        upright = decoding.Placement(bands.size(example.path), orientation=1)
        placed = _Placed(upright, decoding.placement(mask))
    else:
        with decoding.opened(example.picture, f"image {example.name}") as picture:
            placed = _Placed(decoding.placement(picture), decoding.placement(mask))
    sizes = [placed.picture.upright]
    if placed.mask.orientation == 1:
        sizes.append(placed.picture.stored)
    if placed.mask.upright not in sizes:
        raise UserError(
            "mask {} has {}x{} pixels (width x height), and image {} has {}x{}: a mask "
            "must have the size of its picture.".format(
                example.label.name,
                *placed.mask.upright,
                example.name,
                *placed.picture.upright,
            )
        )
    return placed


def _orientation(placed: _Placed, lying: bool) -> int:
    """Returns the EXIF orientation that turns a mask upright.

    Args:
      placed: the stored sizes and the orientations of the picture and the mask.
      lying: see `MaskRecords`.
    """
    picture, mask = placed
    if mask.orientation > 1:
        return mask.orientation
    if placed.undecided:
        return picture.orientation if lying else 1
    return 1 if mask.stored == picture.upright else picture.orientation


@contextmanager
def opened(stored: str | Path | bytes, name: str) -> Iterator[ImageFile]:
    """Yields the opened file of a mask.

    Args:
      stored: the path or the bytes of the file.
      name: the mask's name in errors.

    Raises:
      UserError: the file cannot be read, or its format changes values, as JPEG does.
    """
    with decoding.opened(stored, f"mask {name}") as encoded:
        lossy = _LOSSY & {encoded.format, encoded.info.get("compression")}
        if lossy:
            raise UserError(
                f"mask {name} is stored as {min(lossy)}, which changes pixel values: "
                "store masks in a lossless format such as PNG."
            )
        yield encoded


def values(encoded: ImageFile) -> np.ndarray:
    """Returns the stored values of an opened mask file, uint8 [height, width]."""
    file = pixel_values.stored(encoded)
    return pixel_values.of_mask(decoding.loaded(encoded, 1), file)
