"""Boxes of objects in pictures, and the checks of boxes."""

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
    """The labeled boxes of a list of images.

    The i-th entries of `paths`, `sizes`, `boxes` and `exempt` belong to the i-th image.

    Attributes:
      paths: the paths of the images.
      sizes: int32 [n, 2], height and width of the images in pixels.
      boxes: one array per image, float32 [boxes, 5]. A row is (class, top, left,
        bottom, right). The edges of a box are in pixels from the upper left corner of
        the image.
      exempt: one array per image, bool [boxes]: whether the evaluation ignores the box.
        Such boxes are marked "difficult" in Pascal VOC and "iscrowd" in COCO.
      classes: the names of the classes; the class in a row of `boxes` is an index into
        this tuple.
    """

    paths: tuple[str, ...]
    sizes: np.ndarray
    boxes: tuple[np.ndarray, ...]
    exempt: tuple[np.ndarray, ...]
    classes: tuple[str, ...]

    def labels(self) -> list[np.ndarray]:
        """Returns `boxes` with classes that also say whether a box is exempt.

        The class c of an exempt box becomes -2 - c. Other boxes keep their class.
        """
        marked = []
        for boxes, exempt in zip(self.boxes, self.exempt, strict=True):
            kinds = np.where(exempt, -2 - boxes[:, 0], boxes[:, 0])
            marked.append(np.column_stack([kinds, boxes[:, 1:]]).astype(np.float32))
        return marked


class Object(NamedTuple):
    """An object in a picture.

    Attributes:
      name: the name of the object's class.
      box: the edges of the box around the object; they are inside of the picture.
      exempt: whether the evaluation ignores the box.
    """

    name: str
    box: Box  # inside the image
    exempt: bool


class Annotated(NamedTuple):
    """A picture and the objects in it.

    Attributes:
      where: the origin of the annotations, for errors: a file, or an entry of a file.
      path: the path of the picture.
      size: (height, width) of the picture in pixels.
      objects: the objects.
    """

    where: str  # the file, or the entry of a file, with the annotations
    path: Path
    size: tuple[int, int]  # height, width
    objects: list[Object]


def inside(box: Box, size: tuple[int, int], what: str) -> Box:
    """Returns the box, cut off at the edges of the image.

    Args:
      box: (top, left, bottom, right) in pixels.
      size: (height, width) of the image.
      what: the box's name in errors.

    Raises:
      UserError: the box is empty, or reaches beyond the image by more than `ROUNDING`
        pixels.
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
            f"not inside the image of {size[1]}x{size[0]} pixels (width x height): "
            "correct the box."
        )
    return part


def check_pixels(images: Iterable[Annotated], source: Path) -> None:
    """Raises `UserError` if all coordinates are fractions instead of pixels.

    Coordinates are assumed to be fractions of the image size if all of them are at most
    1, and if all sides of the images are longer than 1 pixel.

    Args:
      source: the file or folder of the annotations, for errors.
    """
    annotated = [image for image in images if image.objects]
    if annotated and all(
        max(o.box) <= 1 < min(image.size) for image in annotated for o in image.objects
    ):
        raise UserError(
            f"{source}: all coordinates of boxes are at most 1, like fractions of the "
            "image size: write the boxes in pixels."
        )


def assembled(images: Iterable[Annotated], classes: Sequence[str]) -> Annotations:
    """Returns the annotations of a list of images, with classes as indices.

    Args:
      images: the images and their objects.
      classes: the names of the classes.

    Raises:
      UserError: a picture is missing, or the class of an object is not in `classes`.
    """
    images, index = list(images), {name: i for i, name in enumerate(classes)}
    boxes, paths, find = [], [], finder()
    for where, path, _, objects in images:
        paths.append(find(path))
        if paths[-1] is None:
            raise UserError(
                f"{where}: there is no picture {path}: add the picture, or remove its "
                "annotation."
            )
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
