"""Boxes in the formats of others: small folders, mistakes, and a real set."""

import json
import math
import os

import numpy as np
import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.data.annotations import coco, pascal_voc

CAT = """<object><name>cat</name><difficult>0</difficult><bndbox>
<xmin>3</xmin><ymin>2</ymin><xmax>10</xmax><ymax>6.5</ymax></bndbox></object>"""
DOG = """<object><name> dog </name><difficult>1</difficult><bndbox>
<xmin>0</xmin><ymin>1</ymin><xmax>21</xmax><ymax>16</ymax></bndbox></object>"""


def xml(*objects):
    return (
        "<annotation><filename>of-another-machine.jpg</filename>"
        "<size><width>20</width><height>16</height><depth>3</depth></size>"
        f"{''.join(objects)}</annotation>"
    )


@pytest.fixture
def voc(tmp_path, write):
    """Three images of 20x16 pixels (width x height), without splits."""
    root = tmp_path / "voc"
    (root / "Annotations").mkdir(parents=True)
    for name, objects in {"a": (CAT, DOG), "b": (), "c": (CAT,)}.items():
        (root / "Annotations" / f"{name}.xml").write_text(xml(*objects))
        write(root / "JPEGImages" / f"{name}.{'png' if name == 'c' else 'jpg'}")
    return root


def split(root, name, text):
    path = root / "ImageSets" / "Main" / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_pascal_voc(voc):
    found = pascal_voc(voc)
    assert found.keys() == {"all"}
    found = found["all"]
    assert found.paths == tuple(
        str(voc / "JPEGImages" / name) for name in ("a.jpg", "b.jpg", "c.png")
    )
    assert found.classes == ("cat", "dog")
    np.testing.assert_array_equal(found.sizes, [(16, 20)] * 3)
    # Pixels 3 to 10 are those between the edges 2 and 10; what pokes out is cut off.
    cat, dog = (0, 1, 2, 6.5, 10), (1, 0, 0, 16, 20)
    np.testing.assert_array_equal(found.boxes[0], [cat, dog])
    np.testing.assert_array_equal(found.boxes[2], [cat])
    assert found.boxes[1].shape == (0, 5)
    assert all(rows.dtype == np.float32 for rows in found.boxes)
    assert [rows.tolist() for rows in found.exempt] == [[False, True], [], [False]]
    labels = found.labels()
    np.testing.assert_array_equal(labels[0], [cat, (-3, 0, 0, 16, 20)])
    assert labels[1].shape == (0, 5) and labels[2].dtype == np.float32
    np.testing.assert_array_equal(found.boxes[0], [cat, dog])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_list_may_begin_with_a_byte_order_mark(voc, encoding):
    path = voc / "ImageSets/Main/train.txt"
    path.parent.mkdir(parents=True)
    path.write_bytes("a\t 1\r\nc\r\n".encode(encoding))
    found = pascal_voc(voc)["train"].paths
    assert [path[-5:] for path in found] == ["a.jpg", "c.png"]


def test_names_match_in_every_normal_form(voc, write):
    """The list, the annotation, the picture and the class."""
    nfc, nfd = "caf\u00e9", "cafe\u0301"
    for name, label in ((nfc, nfd), ("a", nfc)):
        text = xml(CAT.replace("cat", label))
        (voc / "Annotations" / f"{name}.xml").write_text(text, encoding="utf-8")
    write(voc / "JPEGImages" / f"{nfd}.jpg")
    split(voc, "train", f"{nfd}\na\n")
    found = pascal_voc(voc)["train"]
    assert found.paths[0] == str(voc / "JPEGImages" / f"{nfd}.jpg")
    assert found.classes == (nfc,)
    content = {
        "images": [{"id": 1, "file_name": f"{nfc}.jpg", "height": 16, "width": 20}],
        "annotations": [],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (voc / "coco.json").write_text(json.dumps(content), encoding="utf-8-sig")
    assert coco(voc / "coco.json", voc / "JPEGImages").paths == found.paths[:1]


def test_names_that_are_not_unicode_match(voc, write):
    name = os.fsdecode(b"\xe9")
    (voc / "Annotations" / f"{name}.xml").write_text(xml(CAT))
    picture = write(voc / "JPEGImages" / f"{name}.png")
    path = voc / "ImageSets/Main/train.txt"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\xe9\n")
    assert pascal_voc(voc)["train"].paths == (str(picture),)


def test_a_pipe_is_not_read(voc):
    os.mkfifo(voc / "coco.json")
    with pytest.raises(UserError, match="is a pipe"):
        coco(voc / "coco.json", voc / "JPEGImages")


def test_splits_and_classes(voc):
    split(voc, "train", "c\na\n")
    split(voc, "test", "b -1\n\n")
    found = pascal_voc(voc, classes=("dog", "bird", "cat"))
    assert list(found) == ["train", "test"]
    assert [path[-5:] for path in found["train"].paths] == ["c.png", "a.jpg"]
    assert len(found["test"].paths) == 1
    for part in found.values():
        assert part.classes == ("dog", "bird", "cat")
    np.testing.assert_array_equal(found["train"].boxes[1][:, 0], [2, 0])


def test_what_is_not_asked_for_may_be_missing(voc):
    """Hidden files, and lists of other splits."""
    (voc / "Annotations" / "._a.xml").write_bytes(bytes(8))
    assert len(pascal_voc(voc)["all"].paths) == 3
    split(voc, "train", "a\nb\n")
    split(voc, "test", "of another machine\n")
    assert list(pascal_voc(voc, splits=("train",))) == ["train"]
    with pytest.raises(
        UserError, match=r"has no split 'val', .* Known splits: train, test"
    ):
        pascal_voc(voc, splits=("train", "val"))


def test_names_with_spaces(voc):
    for folder, suffix in (("Annotations", "xml"), ("JPEGImages", "jpg")):
        (voc / folder / f"a.{suffix}").rename(voc / folder / f"my photo.{suffix}")
    split(voc, "train", "my photo\nb 1\n")
    (found,) = pascal_voc(voc).values()
    assert [path[-5:] for path in found.paths] == ["o.jpg", "b.jpg"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (xml(CAT)[:-9], r"c\.xml is not a valid XML file: .*line"),
        (xml(CAT).replace("cat", "cta"), "c.xml: unknown class 'cta'. Did you mean"),
        (xml(CAT).replace("<name>cat</name>", ""), r"c\.xml: object\[0\] has no name"),
        (xml(CAT).replace("xmax", "x"), r"c\.xml: object\[0\] has no bndbox/xmax"),
        (
            xml(CAT).replace("6.5", "low"),
            r"object\[0\]: bndbox/ymax is 'low'; it must be a finite",
        ),
        (xml(CAT).replace("size>", "s>"), "<annotation> has no size/height"),
        (
            xml(CAT).replace("6.5", "18"),
            r"object\[0\]: the box of a 'cat' from \(2, 1\) to",
        ),
        (
            xml(CAT).replace("6.5", "1"),
            r"\(10, 1\) is empty, or not inside .* of 20x16",
        ),
        (xml(CAT).replace("<xmin>3", "<xmin>-1"), "not inside the image"),
        (None, r"train\.txt: line 3 is 'c', but no file in the folder Annotations"),
    ],
)
def test_mistakes_in_pascal_voc(voc, content, message):
    split(voc, "train", "a\nb\nc\n")
    path = voc / "Annotations" / "c.xml"
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=message):
        pascal_voc(voc, classes=("cat", "dog"))


def test_missing_pictures_and_folders(voc):
    (voc / "JPEGImages" / "c.png").unlink()
    with pytest.raises(UserError, match=r"c\.xml: there is no picture .*c\.jpg"):
        pascal_voc(voc)
    with pytest.raises(UserError, match="has no folder 'Annotations'"):
        pascal_voc(voc / "JPEGImages")


def test_blood_cells(shared_data):
    """The set has 364 images and 4,888 boxes (its README); two boxes are one pixel."""
    found = pascal_voc(shared_data / "bccd")
    counts = {name: len(part.paths) for name, part in found.items()}
    assert counts == {"train": 205, "val": 87, "trainval": 292, "test": 72}
    boxes = np.concatenate([*found["trainval"].boxes, *found["test"].boxes])
    assert found["test"].classes == ("Platelets", "RBC", "WBC")
    assert np.bincount(boxes[:, 0].astype(int)).tolist() == [361, 4155, 372]
    sides = boxes[:, 3:] - boxes[:, 1:3]
    assert (sides.min(1) == 1).sum() == 2 and sides.min() == 1
    assert (found["test"].sizes == (480, 640)).all()


@pytest.fixture
def coco_file(tmp_path, write):
    """A file of two images and categories whose numbers have gaps, and its content."""
    for name in ("1.jpg", "2.jpg"):
        write(tmp_path / "pictures" / name)
    content = {
        "images": [
            {"id": 20, "file_name": "2.jpg", "height": 16, "width": 20},
            {"id": 10, "file_name": "1.jpg", "height": 16, "width": 20},
        ],
        "categories": [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}],
        "annotations": [
            {"image_id": 10, "category_id": 18, "bbox": [2, 1, 8, 5.5], "iscrowd": 0},
            {"image_id": 10, "category_id": 3, "bbox": [0, 0, 20.3, 9], "iscrowd": 1},
            {"image_id": 10, "category_id": 3, "bbox": [4, 4, 0, 3], "iscrowd": 0},
        ],
    }

    def write_file(**changes):
        path = tmp_path / "instances.json"
        path.write_text(json.dumps(content | changes))
        return path, tmp_path / "pictures"

    return write_file, content


def test_coco(coco_file):
    write_file, _ = coco_file
    path, pictures = write_file()
    found = coco(path, pictures)
    assert found.paths == (str(pictures / "2.jpg"), str(pictures / "1.jpg"))
    assert found.classes == ("car", "dog")
    assert found.boxes[0].shape == (0, 5)
    np.testing.assert_array_equal(
        found.boxes[1], np.array([(1, 1, 2, 6.5, 10), (0, 0, 0, 9, 20)], np.float32)
    )
    np.testing.assert_array_equal(found.exempt[1], [False, True])
    np.testing.assert_array_equal(found.sizes, [(16, 20)] * 2)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "image_id",
            11,
            r"json: annotations\[0\]: image_id is 11, but no entry of 'images'",
        ),
        ("category_id", 4, "is 4, but no entry of 'categories' has this id"),
        ("bbox", [2, 1, 8], r"\[0\]: bbox is \[2, 1, 8\]; it must be four finite"),
        (
            "bbox",
            [math.nan] * 4,
            r"bbox is \[nan, nan, nan, nan\]; it must be four fin",
        ),
        ("bbox", [15, 1, 8, 5], r"annotations\[0\]: the box of a 'dog' from \(15, 1\)"),
        ("bbox", [0.1, 0.2, 0.5, 0.5], "all coordinates of boxes are at most 1"),
    ],
)
def test_mistakes_in_coco(coco_file, key, value, message):
    write_file, content = coco_file
    wrong = content["annotations"][0] | {key: value}
    with pytest.raises(UserError, match=message):
        coco(*write_file(annotations=[wrong]))


def test_files_that_are_no_coco(coco_file, tmp_path):
    write_file, _ = coco_file
    path, pictures = write_file()
    (pictures / "2.jpg").unlink()
    with pytest.raises(
        UserError, match=r"images\[0\] \(id 20\): there is no picture .*2\.jpg"
    ):
        coco(path, pictures)
    for text, message in {
        "{": r"instances\.json is not a JSON file: Expecting",
        "[]": r"instances\.json is \[\]; it must be an object with images, annotations",
        "{}": r"instances\.json has no images",
    }.items():
        path.write_text(text)
        with pytest.raises(UserError, match=message):
            coco(path, pictures)
    with pytest.raises(UserError, match=r"none\.json cannot be read: No such file"):
        coco(tmp_path / "none.json", pictures)
