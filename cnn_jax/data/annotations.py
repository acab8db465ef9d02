"""Labelled boxes as others store them: Pascal VOC (Everingham et al. 2010) and COCO
(Lin et al. 2014)."""

import codecs
import json
import xml.etree.ElementTree as ET
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnn_jax.data.walk import SUFFIXES, by_name, check_regular, finder, visible_files
from cnn_jax.errors import UserError, unknown
from cnn_jax.names import key

# Pixels that a box may reach beyond its image, and is cut off.
ROUNDING = 1
VOC_SPLITS = ("train", "val", "trainval", "test")


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


class _Object(NamedTuple):
    name: str
    box: tuple[float, float, float, float]  # top, left, bottom, right
    exempt: bool


class _Image(NamedTuple):
    source: Path  # the file that has its annotations
    path: Path
    size: tuple[int, int]  # height, width
    objects: list[_Object]


def pascal_voc(
    dir: str | Path,
    classes: Sequence[str] | None = None,
    splits: Sequence[str] | None = None,
) -> dict[str, Annotations]:
    """The splits of a folder with `Annotations/NAME.xml` and `JPEGImages/NAME.jpg`.

    Splits are the files `ImageSets/Main/{train,val,trainval,test}.txt` that are there,
    a name a line; without any, all that is annotated is one split, "all". Pixels count
    from 1 in these files, and a box has its last ones too: with xmin = xmax it is one
    pixel wide. A box that reaches beyond its image by up to a pixel is cut off.

    Args:
      classes: names; None: all that occur, sorted.
      splits: which of them to read; None: all.

    Raises:
      UserError: with the file's name, for a file that is missing or cannot be read, no
        XML or without the entries that it needs, for an unknown class, and for a box
        that is empty or outside of its image; and for a split that is not there.
    """
    root = Path(dir).expanduser()
    if not (root / "Annotations").is_dir():
        raise UserError(f"{root} has no folder Annotations: it is no Pascal VOC set.")
    annotated = by_name(visible_files(root / "Annotations", [".xml"]))
    lists = {
        split: path
        for split in VOC_SPLITS
        if (path := root / "ImageSets" / "Main" / f"{split}.txt").is_file()
    }
    for split in (splits or ()) if lists else ():
        if split not in lists:
            known = ", ".join(lists)
            raise UserError(f"{root} has no split '{split}'. There are: {known}.")
    parts = {
        split: _listed(path, annotated)
        for split, path in lists.items()
        if splits is None or split in splits
    }
    if not lists:
        parts["all"] = sorted(annotated)
    folder = root / "JPEGImages"
    pictures = by_name(visible_files(folder, SUFFIXES)) if folder.is_dir() else {}
    images = {}
    for name in sorted({name for names in parts.values() for name in names}):
        picture = pictures.get(name, folder / f"{name}.jpg")
        source = annotated.get(name, root / "Annotations" / f"{name}.xml")
        images[name] = _voc_image(source, picture)
    if classes is None:
        classes = sorted({o.name for i in images.values() for o in i.objects})
    classes = list(map(key, classes))
    return {
        split: _assembled([images[name] for name in names], classes)
        for split, names in parts.items()
    }


def _listed(path: Path, annotated: Collection[str]) -> list[str]:
    """The names in a list of Pascal VOC, as `names.key` spells them."""
    content = _read(path)
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = content.decode("utf-16", "replace")
    else:
        text = content.decode("utf-8-sig", "surrogateescape")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # In the lists of one class, a second column says whether it is there.
    return [
        name if (name := key(line)) in annotated else key(line.split()[0])
        for line in lines
    ]


def coco(file: str | Path, folder: str | Path) -> Annotations:
    """The boxes of a COCO file, such as `annotations/instances_val2017.json`.

    Classes are its categories in the order of their numbers. Segmentations are not
    read. Boxes of no height or no width, of which COCO has a few, are left out. A box
    that reaches beyond its image by up to a pixel is cut off.

    Args:
      folder: of the pictures, such as `val2017`.

    Raises:
      UserError: with the file's name, for a file that is missing or cannot be read, no
        JSON or without the entries that it needs, for an image or category that is not
        listed, and for a box outside of its image.
    """
    file, folder = Path(file).expanduser(), Path(folder).expanduser()
    try:
        content = json.loads(_read(file))
        names = {c["id"]: c["name"] for c in content["categories"]}
        images = {
            image["id"]: _Image(
                file,
                folder / image["file_name"],
                (int(image["height"]), int(image["width"])),
                [],
            )
            for image in content["images"]
        }
        for entry in content["annotations"]:
            image, kind = entry["image_id"], entry["category_id"]
            if image not in images or kind not in names:
                raise UserError(
                    f"{file}: an annotation is of image {image} and category {kind}, "
                    "and one of them is not listed."
                )
            left, top, width, height = map(float, entry["bbox"])
            if width and height:
                box = (top, left, top + height, left + width)
                exempt = bool(entry.get("iscrowd"))
                images[image].objects.append(_Object(names[kind], box, exempt))
    except KeyError as error:
        raise UserError(f"{file} has an entry without {error}.") from None
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(f"{file} is no COCO file of boxes: {error}.") from None
    return _assembled(images.values(), [names[number] for number in sorted(names)])


def _voc_image(source: Path, picture: Path) -> _Image:
    try:
        root = ET.fromstring(_read(source))
    except ET.ParseError as error:
        raise UserError(f"{source} is no XML: {error}.") from None

    def text(element: ET.Element, path: str) -> str:
        found = element.findtext(path, "").strip()
        if not found:
            raise UserError(f"{source}: <{element.tag}> has no {path}.")
        return found

    def number(element: ET.Element, path: str) -> float:
        try:
            return float(text(element, path))
        except ValueError:
            raise UserError(
                f"{source}: {path} is '{text(element, path)}', which is no number."
            ) from None

    objects = []
    for element in root.iterfind("object"):
        left, top, right, bottom = (
            number(element, f"bndbox/{side}")
            for side in ("xmin", "ymin", "xmax", "ymax")
        )
        exempt = element.findtext("difficult", "").strip() == "1"
        box = (top - 1, left - 1, bottom, right)
        objects.append(_Object(key(text(element, "name")), box, exempt))
    size = (int(number(root, "size/height")), int(number(root, "size/width")))
    return _Image(source, picture, size, objects)


def _assembled(images: Iterable[_Image], classes: Sequence[str]) -> Annotations:
    """Checks what is inside of the files."""
    images, index = list(images), {name: i for i, name in enumerate(classes)}
    boxes = []
    stored, paths = finder(), []
    for source, path, size, objects in images:
        paths.append(stored(path))
        if paths[-1] is None:
            raise UserError(f"{source}: there is no picture {path}.")
        rows = np.zeros((len(objects), 5))
        for row, (name, box, _) in zip(rows, objects, strict=True):
            if name not in index:
                raise UserError(f"{source}: {unknown('class', name, classes)}")
            inside = np.clip(box, 0, (*size, *size))
            if (
                np.abs(inside - box).max() > ROUNDING
                or (inside[2:] <= inside[:2]).any()
            ):
                top, left, bottom, right = box
                raise UserError(
                    f"{source}: the box of a '{name}' from ({left:g}, {top:g}) to "
                    f"({right:g}, {bottom:g}) is empty, or not inside of the image of "
                    f"{size[1]}x{size[0]} pixels (width x height)."
                )
            row[:] = index[name], *inside
        boxes.append(rows.astype(np.float32))
    return Annotations(
        paths=tuple(map(str, paths)),
        sizes=np.array([image.size for image in images], np.int32).reshape(-1, 2),
        boxes=tuple(boxes),
        exempt=tuple(
            np.array([o.exempt for o in image.objects], bool) for image in images
        ),
        classes=tuple(classes),
    )


def _read(path: Path) -> bytes:
    check_regular(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
