"""Boxes of objects in pictures, and their checks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnn_jax.core.errors import UserError, unknown
from cnn_jax.data.walk import finder

# A box may reach beyond its image by this many pixels; the rest is cut off.
ROUNDING = 1

Box = tuple[float, float, float, float]  # top, left, bottom, right


@dataclass(frozen=True)
class Annotations:
    """The boxes of some images; the i-th entries of all fields belong together.

    Attributes:
      paths: the paths of the images.
      sizes: int32 [n, 2], height and width of the images in pixels.
      boxes: for each image float32 [boxes, 5]: class, top, left, bottom, right, in
        pixels from the image's upper left corner to the box's edges.
      exempt: for each image bool [boxes]: whether the evaluation ignores the box;
        "difficult" in Pascal VOC and "iscrowd" in COCO.
      classes: the names of the classes; a class is an index into them.
    """

    paths: tuple[str, ...]
    sizes: np.ndarray
    boxes: tuple[np.ndarray, ...]
    exempt: tuple[np.ndarray, ...]
    classes: tuple[str, ...]

    def labels(self) -> list[np.ndarray]:
        """Returns `boxes` as labels: an exempt box of class c has the class -2 - c."""
        marked = []
        for boxes, exempt in zip(self.boxes, self.exempt, strict=True):
            kinds = np.where(exempt, -2 - boxes[:, 0], boxes[:, 0])
            marked.append(np.column_stack([kinds, boxes[:, 1:]]).astype(np.float32))
        return marked


class Object(NamedTuple):
    """A box with the name of its class.

    Attributes:
      exempt: whether the evaluation ignores the box.
    """

    name: str
    box: Box  # inside the image
    exempt: bool


class Annotated(NamedTuple):
    """A picture and its objects."""

    where: str  # the file, or the entry of a file, with the annotations
    path: Path
    size: tuple[int, int]  # height, width
    objects: list[Object]


def inside(box: Box, size: tuple[int, int], what: str) -> Box:
    """Returns the box, cut off at the edges of its image of `size` (height, width).

    Args:
      what: the box's name in errors.

    Raises `UserError` if the box is empty, or reaches beyond its image by more than
    `ROUNDING` pixels.
    """
    top, left, bottom, right = (
        min(max(side, 0.0), float(limit))
        for side, limit in zip(box, (*size, *size), strict=True)
    )
    part = (top, left, bottom, right)
    beyond = max(abs(a - b) for a, b in zip(box, part, strict=True))
    # Compared in the precision of the labels.
    first, last = np.array([part[:2], part[2:]], np.float32)
    if beyond > ROUNDING or (last <= first).any():
        top, left, bottom, right = box
        raise UserError(
            f"{what} from ({left:g}, {top:g}) to ({right:g}, {bottom:g}) is empty, or "
            f"not inside the image of {size[1]}x{size[0]} pixels (width x height)."
        )
    return part


def check_pixels(images: Iterable[Annotated], source: Path) -> None:
    """Raises `UserError` if all coordinates are fractions instead of pixels.

    This is assumed if all coordinates are at most 1, and all images are larger than
    that.
    """
    annotated = [image for image in images if image.objects]
    if annotated and all(
        max(o.box) <= 1 < min(image.size) for image in annotated for o in image.objects
    ):
        raise UserError(
            f"{source}: all boxes are fractions of their images, from 0 to 1; they "
            "must be in pixels."
        )


def assembled(images: Iterable[Annotated], classes: Sequence[str]) -> Annotations:
    """Returns the annotations of some images.

    Raises `UserError` for a missing picture, and for an unknown class.
    """
    images, index = list(images), {name: i for i, name in enumerate(classes)}
    boxes, paths, find = [], [], finder()
    for where, path, _, objects in images:
        paths.append(find(path))
        if paths[-1] is None:
            raise UserError(f"{where}: there is no picture {path}.")
        for name, _, _ in objects:
            if name not in index:
                raise UserError(f"{where}: {unknown('class', name, classes)}")
        rows = [(index[name], *box) for name, box, _ in objects]
        boxes.append(np.array(rows, np.float32).reshape(-1, 5))
    return Annotations(
        paths=tuple(map(str, paths)),
        sizes=np.array([image.size for image in images], np.int32).reshape(-1, 2),
        boxes=tuple(boxes),
        exempt=tuple(
            np.array([o.exempt for o in image.objects], bool) for image in images
        ),
        classes=tuple(classes),
    )
