"""Every way to spoil a good file of COCO or Pascal VOC is one line, or is known to be
harmless."""

import copy
import json
import math
import re
import xml.etree.ElementTree as ET

import pytest
from PIL import Image

from cnn_jax.core.errors import UserError
from cnn_jax.data.annotations import coco, pascal_voc

COCO = {
    "info": {"year": 2017},
    "images": [
        {"id": 20, "file_name": "b.png", "height": 16, "width": 20},
        {"id": 10, "file_name": "a.png", "height": 16, "width": 20},
    ],
    "categories": [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}],
    "annotations": [
        {"id": 1, "image_id": 10, "category_id": 18, "bbox": [2, 1, 8, 5], "iscrowd": 0}
        | {"area": 40, "segmentation": []},
        {"id": 2, "image_id": 20, "category_id": 3, "bbox": [0, 0, 9, 9]},
    ],
}
PLACES = [
    (),
    *[(name,) for name in ("images", "categories", "annotations")],
    *[(name, 0) for name in ("images", "categories", "annotations")],
    *[("images", 0, key) for key in ("id", "file_name", "height", "width")],
    *[("categories", 0, key) for key in ("id", "name")],
    *[("annotations", 0, key) for key in ("image_id", "category_id", "bbox")],
    *[("annotations", 0, key) for key in ("iscrowd", "area", "segmentation", "id")],
    *[("annotations", 0, "bbox", i) for i in range(4)],
]
VALUES = {
    "deleted": None,
    "null": None,
    "list": [],
    "object": {},
    "text": "text",
    "digits": "12",
    "true": True,
    "nan": math.nan,
    "inf": -math.inf,
    "negative": -3,
    "half": 0.5,
    "huge": 10**12,
    "beyond floats": 10**400,
}
# Not read, so of no matter: other fields than those of a box.
UNREAD = ("area", "segmentation", "id")
HARMLESS = {
    ("annotations", "list"): "pictures without objects",
    ("annotations/0", "deleted"): "one box fewer",
    ("annotations/0/iscrowd", "deleted"): "the field is optional",
    ("annotations/0/iscrowd", "true"): "another way to write 1",
    ("categories/0/name", "text"): "another name",
    ("categories/0/name", "digits"): "another name",
    ("annotations/0/bbox/0", "half"): "another box",
    ("annotations/0/bbox/1", "half"): "another box",
    ("annotations/0/bbox/2", "half"): "another box",
    ("annotations/0/bbox/3", "half"): "another box",
}


def spoiled(place, name):
    """The file with a value in the place of another."""
    content = copy.deepcopy(COCO)
    if not place:
        return VALUES[name]
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    if name == "deleted":
        del inner[place[-1]]
    else:
        inner[place[-1]] = VALUES[name]
    return content


def is_harmless(place, name):
    unread = place[:1] == ("annotations",) and place[2:] in [(key,) for key in UNREAD]
    return unread or ("/".join(map(str, place)), name) in HARMLESS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two pictures of 20x16 (width x height), where both formats look for them."""
    root = tmp_path_factory.mktemp("set")
    (root / "Annotations").mkdir()
    (root / "JPEGImages").mkdir()
    for name in ("a", "b"):
        Image.new("RGB", (20, 16)).save(root / "JPEGImages" / f"{name}.png")
    return root


def read_coco(folder, content):
    """The annotations in a COCO file of this content: bytes, or what is to be JSON."""
    path = folder / "instances.json"
    is_bytes = isinstance(content, bytes)
    path.write_bytes(content if is_bytes else json.dumps(content).encode())
    return coco(path, folder / "JPEGImages")


def one_line(error):
    message = str(error.value)
    assert "\n" not in message and len(message) < 600 and message.endswith(".")
    return message


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("place", PLACES, ids=lambda place: "/".join(map(str, place)))
def test_coco_with_another_value(folder, place, name):
    if is_harmless(place, name):
        assert len(read_coco(folder, spoiled(place, name)).paths) == 2
        return
    with pytest.raises(UserError) as error:
        read_coco(folder, spoiled(place, name))
    message = one_line(error)
    assert "instances.json" in message
    if len(place) > 2:  # the field may be one that refers to it
        assert re.search(r"(images|categories|annotations)\[\d\]", message)


def text(content):
    return json.dumps(content)


def with_image(**changes):
    image = COCO["images"][0] | {"id": 5, "file_name": "c.png"} | changes
    return COCO | {"images": [*COCO["images"], image]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (with_image(id=10), r"images\[2\] \(id 10\): id is 10, but images\[1\]"),
        (with_image(file_name="./a.png"), r"images\[2\].* but images\[1\] \(id 10\)"),
        (with_image(file_name="/etc/passwd"), r"must be the path of a file inside"),
        (with_image(file_name="../JPEGImages/a.png"), r"the path of a file inside"),
        (with_image(file_name="c" * 300), r"images\[2\] \(id 5\): there is no picture"),
        (with_image(file_name="a\0.png"), r"file_name is 'a\\x00.png'; it must"),
        (with_image(file_name="\ud800.png"), r"file_name is '\\ud800.png'; it must"),
        (with_image(id="5"), r"images\[2\] \(id '5'\): there is no picture .*c\.png"),
        (
            COCO | {"categories": [{"id": 3, "name": "dog"}, {"id": 3, "name": "car"}]},
            r"categories\[1\] \(id 3\): id is 3, but categories\[0\]",
        ),
        (
            COCO | {"categories": [{"id": 3, "name": "a"}, {"id": 18, "name": "a"}]},
            r"categories\[1\] \(id 18\): name is 'a', but categories\[0\] \(id 3\)",
        ),
        (
            COCO | {"categories": [*COCO["categories"], {"id": "3", "name": "a"}]},
            "some ids of categories are numbers, and",
        ),
        (COCO | {"images": []}, "images is .*; it must be a list that is not empty"),
        (b"", "is not a JSON file"),
        (b"\x89PNG\r\n", "is not a JSON file: it is not text in UTF-8"),
        (text(COCO)[:-1].encode(), "is not a JSON file"),
        (text(COCO).encode() + b"{}", "is not a JSON file: Extra data"),
        (text(COCO).replace("dog", "d\xf6g").encode("latin-1"), "is not a JSON file"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"images": ' * 100_000, "nested too deeply"),
        (
            text(COCO).replace('"bbox": [2', f'"bbox": [{"9" * 5000}').encode(),
            "is not a JSON file: Exceeds the limit",
        ),
        (
            text(COCO).replace('"width": 20', '"width": 20, "width": 9').encode(),
            "is not a JSON file: the object .* has the key 'width' twice",
        ),
        (text(COCO).replace("dog", "a\\nb").encode(), "name is .* control characters"),
    ],
)
def test_coco_with_other_mistakes(folder, content, message):
    if isinstance(content, dict):
        (folder / "JPEGImages" / "c.png").unlink(missing_ok=True)
    with pytest.raises(UserError, match=message) as error:
        read_coco(folder, content)
    assert "instances.json" in one_line(error)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_coco_in_other_encodings(folder, encoding):
    content = json.dumps(COCO, ensure_ascii=False).replace("dog", "d\xf6g")
    assert read_coco(folder, content.encode(encoding)).classes == ("car", "d\xf6g")


def test_numbers_that_pandas_writes_and_categories_without_boxes(folder):
    content = copy.deepcopy(COCO)
    content["categories"].append({"id": 7.0, "name": "bird"})
    content["images"][0] |= {"height": 16.0, "id": 20.0}
    content["annotations"].append(content["annotations"][0])
    found = read_coco(folder, content)
    assert found.classes == ("car", "bird", "dog")
    assert [len(rows) for rows in found.boxes] == [1, 2]


XML = (
    "<annotation><folder>any</folder>"
    "<size><width>20</width><height>16</height><depth>3</depth></size>"
    "<object><name>cat</name><difficult>0</difficult><bndbox><xmin>3</xmin>"
    "<ymin>2</ymin><xmax>10</xmax><ymax>6</ymax></bndbox></object></annotation>"
)
ELEMENTS = [
    *("size", "size/width", "size/height", "object", "object/name"),
    *("object/bndbox", "object/bndbox/xmin", "object/bndbox/ymin"),
    *("object/bndbox/xmax", "object/bndbox/ymax", "object/difficult"),
]
TEXTS = ["text", "nan", "-inf", "-3", "1e12", "1e400", "1_0", "\u0661", "0x3", "12 3"]
MUTATIONS = ["deleted", "emptied", "twice", *TEXTS]
HARMLESS_XML = {
    ("object", "deleted"): "a picture without objects",
    ("object", "twice"): "two objects",
    ("object/difficult", "deleted"): "the field is optional",
    ("object/difficult", "emptied"): "the field is optional",
    **{("object/name", name): "another name" for name in TEXTS},
}


def spoiled_xml(path, mutation):
    root = ET.fromstring(XML)
    above, _, tag = path.rpartition("/")
    parent = root.find(above) if above else root
    element = parent.find(tag)
    if mutation == "deleted":
        parent.remove(element)
    elif mutation == "twice":
        parent.append(copy.deepcopy(element))
    else:
        for child in list(element):
            element.remove(child)
        element.text = "" if mutation == "emptied" else mutation
    return ET.tostring(root)


def read_voc(folder, content):
    (folder / "Annotations" / "a.xml").write_bytes(content)
    return pascal_voc(folder)["all"]


@pytest.mark.parametrize("mutation", MUTATIONS)
@pytest.mark.parametrize("path", ELEMENTS)
def test_pascal_voc_with_another_value(folder, path, mutation):
    content = spoiled_xml(path, mutation)
    if (path, mutation) in HARMLESS_XML:
        assert len(read_voc(folder, content).paths) == 1
        return
    with pytest.raises(UserError) as error:
        read_voc(folder, content)
    message = one_line(error)
    assert "a.xml" in message
    assert ("object[0]" if path.startswith("object") else "size/") in message


BOMB = (
    '<!DOCTYPE annotation [<!ENTITY a0 "ha">'
    + "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12))
    + "]>"
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"a\.xml is not a valid XML file: no element found"),
        (b"\x89PNG\r\n", r"a\.xml is not a valid XML file"),
        (XML[:-3].encode(), r"a\.xml is not a valid XML file"),
        (
            XML.replace("cat", "d\xf6g").encode("latin-1"),
            r"a\.xml is not a valid XML file",
        ),
        (f'<?xml version="1.0" encoding="ansi"?>{XML}'.encode(), "encoding: ansi"),
        (f'<?xml version="1.0" encoding="gbk"?>{XML}'.encode(), "multi-byte encod"),
        (f'<?xml version="1.0" encoding="rot13"?>{XML}'.encode(), "save it as UTF-8"),
        (
            (BOMB + XML.replace("cat", "&a11;")).encode(),
            r"a\.xml is not a valid XML file: limit on",
        ),
        (
            f'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
            f"{XML.replace('cat', '&x;')}".encode(),
            r"a\.xml is not a valid XML file: undefined entity",
        ),
        (b"<a>" * 200_000, r"a\.xml is not a valid XML file"),
        (b"<a>" * 50_000 + b"</a>" * 50_000, "<a> has no size/height"),
        (
            XML.replace(">3<", ">11<", 2).replace("depth>11", "depth>3").encode(),
            r"object\[0\]: the box of a 'cat' from \(10, 1\) to \(10, 6\) is empty",
        ),
        (
            re.sub(r"(m[ai][xn]>)(\d+)<", r"\1.\2<", XML).encode(),
            r"Annotations: all coordinates of boxes are at most 1",
        ),
    ],
)
def test_pascal_voc_with_other_mistakes(folder, content, message):
    with pytest.raises(UserError, match=message) as error:
        read_voc(folder, content)
    one_line(error)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "iso-8859-1"])
def test_pascal_voc_in_other_encodings(folder, encoding):
    head = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?>'
    content = (head + XML.replace("cat", "d\xf6g")).encode(encoding)
    assert read_voc(folder, content).classes == ("d\xf6g",)
