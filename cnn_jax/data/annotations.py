"""Labeled boxes in the formats of Pascal VOC and COCO.

Pascal VOC: Everingham et al. 2010. COCO: Lin et al. 2014.
"""

import codecs
import re
import xml.etree.ElementTree as ET
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from cnn_jax.core.errors import UserError
from cnn_jax.core.names import key
from cnn_jax.data import boxes, fields
from cnn_jax.data.boxes import Annotated, Annotations
from cnn_jax.data.fields import Kind
from cnn_jax.data.walk import SUFFIXES, by_name, visible_files

Id = int | float | str
VOC_SPLITS = ("train", "val", "trainval", "test")

COCO = {
    "images": fields.FILLED_LIST,
    "annotations": fields.LIST,
    "categories": fields.FILLED_LIST,
}
COCO_IMAGE = {
    "id": fields.ID,
    "file_name": fields.FILE,
    "height": fields.SIDE,
    "width": fields.SIDE,
}
COCO_CATEGORY = {"id": fields.ID, "name": fields.TEXT}
COCO_ANNOTATION = {
    "image_id": fields.ID,
    "category_id": fields.ID,
    "bbox": fields.BOX,
    "iscrowd": fields.FLAG._replace(optional=True),
}
VOC_IMAGE = {"size/height": fields.SIDE, "size/width": fields.SIDE}
VOC_OBJECT = {
    "name": fields.TEXT,
    "bndbox/xmin": fields.NUMBER,
    "bndbox/ymin": fields.NUMBER,
    "bndbox/xmax": fields.NUMBER,
    "bndbox/ymax": fields.NUMBER,
    "difficult": fields.FLAG._replace(optional=True),
}


def pascal_voc(
    dir: str | Path,
    classes: Sequence[str] | None = None,
    splits: Sequence[str] | None = None,
) -> dict[str, Annotations]:
    """Returns the labeled boxes of each split of a folder in Pascal VOC's format.

    The folder holds `Annotations/NAME.xml` and `JPEGImages/NAME.jpg`. Splits are the
    existing files `ImageSets/Main/{train,val,trainval,test}.txt`, with one name per
    line. Without such files, all annotated pictures form one split named "all".

    Pixel coordinates in these files start at 1, and a box includes its last pixels: a
    box with xmin = xmax is one pixel wide. A box that reaches beyond its image by up to
    one pixel is cut off at the edge of the image.

    Args:
      dir: the folder.
      classes: the names of the classes; None: all class names in the files, sorted.
      splits: the names of the splits to read; None: all splits.

    Raises:
      UserError: a file is missing, unreadable, not XML or without a required field; a
        class is unknown; a box is empty or outside of its image; all box coordinates
        are fractions of the image size instead of pixels; a split lists a picture
        twice; or a split does not exist. The error names the file and the entry in the
        file.
    """
    root = Path(dir).expanduser()
    if not (root / "Annotations").is_dir():
        raise UserError(
            f"{root} is not a data set in Pascal VOC's format, because it has no "
            "folder 'Annotations': name the folder that contains 'Annotations'."
        )
    annotated = by_name(visible_files(root / "Annotations", [".xml"]))
    lists = {
        split: path
        for split in VOC_SPLITS
        if (path := root / "ImageSets" / "Main" / f"{split}.txt").is_file()
    }
    for split in (splits or ()) if lists else ():
        if split not in lists:
            known = ", ".join(lists)
            raise UserError(
                f"{root} has no split '{split}', because the file "
                f"ImageSets/Main/{split}.txt does not exist. Known splits: {known}."
            )
    parts = {
        split: _listed(path, annotated)
        for split, path in lists.items()
        if splits is None or split in splits
    }
    if not lists:
        parts["all"] = sorted(annotated)
    folder = root / "JPEGImages"
    pictures = by_name(visible_files(folder, SUFFIXES)) if folder.is_dir() else {}
    images = {
        name: _voc_image(annotated[name], pictures.get(name, folder / f"{name}.jpg"))
        for name in sorted({name for names in parts.values() for name in names})
    }
    boxes.check_pixels(images.values(), root / "Annotations")
    if classes is None:
        classes = sorted({o.name for i in images.values() for o in i.objects})
    classes = list(map(key, classes))
    return {
        split: boxes.assembled([images[name] for name in names], classes)
        for split, names in parts.items()
    }


def _listed(path: Path, annotated: Collection[str]) -> list[str]:
    """Returns the picture names that a file of `ImageSets/Main` lists.

    The names are converted by `names.key`.

    Args:
      path: the file, with one picture name per line.
      annotated: the names of all pictures with annotations, converted by `names.key`.

    Raises:
      UserError: a listed name is not in `annotated`, or is listed twice.
    """
    names: dict[str, str] = {}
    content = fields.read(path)
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = content.decode("utf-16", "replace")
    else:
        text = content.decode("utf-8-sig", "surrogateescape")
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line:
            continue
        # In the lists of one class, a second column says whether the class is present.
        if (name := key(line)) not in annotated:
            name = key(line.split()[0])
        if name not in annotated:
            raise UserError(
                f"{path}: line {number} is {fields.shown(line)}, but no file in the "
                "folder Annotations has this name. Write the name of a file without "
                "its folder and without '.xml'."
            )
        fields.check_new(name, names, "the name", f"{path}: line {number}")
    if not names:
        raise UserError(
            f"{path} lists no pictures: write the name of one picture per line."
        )
    return list(names)


def coco(file: str | Path, folder: str | Path) -> Annotations:
    """Returns the boxes of a COCO file, such as `annotations/instances_val2017.json`.

    Classes are the file's categories in the order of their ids. Segmentations are not
    read. Boxes with zero height or width are left out; COCO has a few. A box that
    reaches beyond its image by up to one pixel is cut off at the edge of the image.

    Args:
      file: the COCO file.
      folder: the folder of the pictures, such as `val2017`.

    Raises:
      UserError: a file is missing, unreadable, not JSON or without a required field;
        two images or two categories have the same name or id; an annotation refers to
        an image or a category that the file does not list; a box is outside of its
        image; or all box coordinates are fractions of the image size instead of pixels.
        The error names the file and the entry in the file.
    """
    file, folder = Path(file).expanduser(), Path(folder).expanduser()
    content = fields.checked(fields.read_json(file), COCO, str(file))
    names = _coco_categories(content, file)
    images = _coco_images(content, file, folder)
    for where, entry in fields.entries(content, "annotations", COCO_ANNOTATION, file):
        for name, known in (("image_id", images), ("category_id", names)):
            if entry[name] not in known:
                listed = "images" if known is images else "categories"
                raise UserError(
                    f"{where}: {name} is {fields.shown(entry[name])}, but no entry of "
                    f"'{listed}' has this id: correct {name}, or add the entry."
                )
        left, top, width, height = map(float, entry["bbox"])
        if width and height:
            image = images[entry["image_id"]]
            kind = names[entry["category_id"]]
            sides = (top, left, top + height, left + width)
            box = boxes.inside(sides, image.size, f"{where}: the box of a '{kind}'")
            image.objects.append(boxes.Object(kind, box, bool(entry.get("iscrowd"))))
    boxes.check_pixels(images.values(), file)
    return boxes.assembled(images.values(), list(names.values()))


def _coco_categories(content: Mapping[str, Any], file: Path) -> dict[Id, str]:
    """Returns the categories of a COCO file as {id: name}, sorted by id.

    Args:
      content: the parsed content of the file.
      file: the path of the file, for errors.
    """
    names: dict[Id, str] = {}
    ids: dict[Id, str] = {}
    seen: dict[str, str] = {}
    for where, entry in fields.entries(content, "categories", COCO_CATEGORY, file):
        fields.check_new(entry["id"], ids, "id", where)
        names[entry["id"]] = name = key(entry["name"])
        fields.check_new(name, seen, "name", where)
        if isinstance(entry["id"], str) != isinstance(next(iter(names)), str):
            raise UserError(
                f"{where}: some ids of categories are numbers, and others are texts: "
                "write all ids as numbers, or all ids as texts."
            )
    return {number: names[number] for number in sorted(names)}


def _coco_images(
    content: Mapping[str, Any], file: Path, folder: Path
) -> dict[Id, Annotated]:
    """Returns the images of a COCO file as {id: image}, without their objects.

    Args:
      content: the parsed content of the file.
      file: the path of the file, for errors.
      folder: the folder of the pictures.
    """
    images: dict[Id, Annotated] = {}
    ids: dict[Id, str] = {}
    seen: dict[str, str] = {}
    for where, entry in fields.entries(content, "images", COCO_IMAGE, file):
        path = folder / entry["file_name"]
        fields.check_new(entry["id"], ids, "id", where)
        fields.check_new(str(path), seen, "the picture of file_name", where)
        size = (int(entry["height"]), int(entry["width"]))
        images[entry["id"]] = Annotated(where, path, size, [])
    return images


def _voc_image(source: Path, picture: Path) -> Annotated:
    """Returns the annotations of one picture in the format of Pascal VOC.

    Args:
      source: the XML file with the annotations.
      picture: the path of the picture.
    """
    try:
        root = ET.fromstring(fields.read(source))
    except ET.ParseError as error:
        raise UserError(f"{source} is not a valid XML file: {error}.") from None
    except (LookupError, ValueError) as error:
        raise UserError(
            f"{source} has an encoding that cannot be read ({error}): save it as UTF-8."
        ) from None
    found = _fields(root, VOC_IMAGE, f"{source}: <{root.tag}>")
    size = (int(found["size/height"]), int(found["size/width"]))
    objects = []
    for i, element in enumerate(root.iterfind("object")):
        where = f"{source}: object[{i}]"
        found = _fields(element, VOC_OBJECT, where)
        left, top, right, bottom = (
            found[f"bndbox/{side}"] for side in ("xmin", "ymin", "xmax", "ymax")
        )
        where = f"{where}: the box of a '{found['name']}'"
        box = boxes.inside((top - 1, left - 1, bottom, right), size, where)
        objects.append(
            boxes.Object(key(found["name"]), box, bool(found.get("difficult")))
        )
    return Annotated(str(source), picture, size, objects)


_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)


def _fields(
    element: ET.Element, kinds: Mapping[str, Kind], where: str
) -> dict[str, Any]:
    """Returns the values of an XML element's fields, by path, after `fields.checked`.

    The path of a field consists of the tags below the element, such as "bndbox/xmin". A
    text that is a number becomes a float, except in the field "name".

    Args:
      kinds: the accepted values of each field, by path.
      where: the element's name in errors.
    """
    found = {}
    for path in kinds:
        elements = element.findall(path)
        if len(elements) > 1:
            raise UserError(
                f"{where} has {len(elements)} elements '{path}': keep only one of them."
            )
        text = (elements[0].text or "").strip() if elements else ""
        if text:
            number = path != "name" and _NUMBER.fullmatch(text)
            found[path] = float(text) if number else text
    return fields.checked(found, kinds, where)
