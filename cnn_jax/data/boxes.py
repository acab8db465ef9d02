"""Boxes of pictures, and what makes them fit to be labels."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnn_jax.core.errors import UserError, unknown
from cnn_jax.data.walk import finder

# Pixels that a box may reach beyond its image, and is cut off.
ROUNDING = 1

Box = tuple[float, float, float, float]  # top, left, bottom, right


@dataclass(frozen=True)
class Annotations:
    """The boxes of some images; the i-th entries belong together.

    Attributes:
      paths: of the images.
      sizes: int32 [n, 2], height and width of the images in pixels.
      boxes: for each image float32 [boxes, 5]: class, top, left, bottom, right, in
        pixels from the image's upper left corner to the box's edges.
      exempt: for each image bool [boxes]: which ones are not to be counted, "difficult"
        in Pascal VOC and "iscrowd" in COCO.
      classes: names; a class is an index into them.
    """

    paths: tuple[str, ...]
    sizes: np.ndarray
    boxes: tuple[np.ndarray, ...]
    exempt: tuple[np.ndarray, ...]
    classes: tuple[str, ...]

    def labels(self) -> list[np.ndarray]:
        """`boxes` as tasks take them: with the class -2 - c in the place of c where
        they are exempt."""
        marked = []
        for boxes, exempt in zip(self.boxes, self.exempt, strict=True):
            kinds = np.where(exempt, -2 - boxes[:, 0], boxes[:, 0])
            marked.append(np.column_stack([kinds, boxes[:, 1:]]).astype(np.float32))
        return marked


class Object(NamedTuple):
    """A box with the name of its class, and whether it is not to be counted."""

    name: str
    box: Box  # inside of its image
    exempt: bool


class Annotated(NamedTuple):
    """A picture and its objects."""

    where: str  # the file, or the entry of a file, that has its annotations
    path: Path
    size: tuple[int, int]  # height, width
    objects: list[Object]


def inside(box: Box, size: tuple[int, int], what: str) -> Box:
    """A box without what reaches beyond its image by up to `ROUNDING`.

    Raises `UserError`, which calls the box `what`, for a box that reaches further or is
    empty.
    """
    top, left, bottom, right = (
        min(max(side, 0.0), float(limit))
        for side, limit in zip(box, (*size, *size), strict=True)
    )
    part = (top, left, bottom, right)
    beyond = max(abs(a - b) for a, b in zip(box, part, strict=True))
    # In the precision that the labels have.
    first, last = np.array([part[:2], part[2:]], np.float32)
    if beyond > ROUNDING or (last <= first).any():
        top, left, bottom, right = box
        raise UserError(
            f"{what} from ({left:g}, {top:g}) to ({right:g}, {bottom:g}) is empty, or "
            f"not inside of the image of {size[1]}x{size[0]} pixels (width x height)."
        )
    return part


def check_pixels(images: Iterable[Annotated], source: Path) -> None:
    """Raises `UserError` where all boxes lie in the first pixel of larger images."""
    annotated = [image for image in images if image.objects]
    if annotated and all(
        max(o.box) <= 1 < min(image.size) for image in annotated for o in image.objects
    ):
        raise UserError(
            f"{source}: all boxes are fractions of their images, from 0 to 1; they "
            "must be in pixels."
        )


def assembled(images: Iterable[Annotated], classes: Sequence[str]) -> Annotations:
    """The annotations of some images.

    Raises `UserError` for a picture that is missing, and for an unknown class.
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
