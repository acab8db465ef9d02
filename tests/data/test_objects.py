"""Folders of pictures with boxes."""

import json

import numpy as np
import pytest
from PIL import Image

from cnn_jax import data
from cnn_jax.core.errors import DataWarning, UserError

OBJECT = (
    "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax>"
    "<ymax>{}</ymax></bndbox></object>"
)


@pytest.fixture
def cells(tmp_path, write):
    """A folder as Pascal VOC has it: five pictures of 40x20, one box each."""
    root = tmp_path / "cells"
    (root / "Annotations").mkdir(parents=True)
    for i in range(5):
        write(root / "JPEGImages" / f"{i}.jpg", size=(40, 20))
        box = OBJECT.format("ab"[i % 2], 11, 5, 20, 10)  # of pixels that count from 1
        size = "<size><width>40</width><height>20</height><depth>3</depth></size>"
        xml = f"<annotation><filename>{i}.jpg</filename>{size}{box}</annotation>"
        (root / "Annotations" / f"{i}.xml").write_text(xml)
    return root


def _lists(root, **names):
    """Writes lists of a split's names."""
    folder = root / "ImageSets" / "Main"
    folder.mkdir(parents=True, exist_ok=True)
    for split, lines in names.items():
        (folder / f"{split}.txt").write_text("\n".join(lines))


def test_boxes_are_stretched_with_their_pictures(cells):
    dataset = data.load("voc", dir=str(cells), image_size=(40, 40))
    assert dataset.label_kind == "boxes" and dataset.classes == ("a", "b")
    train, test = dataset.splits["train"], dataset.splits["test"]
    assert (len(train), len(test)) == (4, 1) and train.label_shape == (1, 5)
    # Twice as high, as wide as they were.
    np.testing.assert_allclose(train.labels[:, 0, 1:], [[8, 10, 20, 20]] * 4)
    stored = data.load("voc", dir=str(cells), image_size=(40, 40), in_memory=False)
    rows = list(stored.splits["train"].examples(range(4), [None] * 4))
    for row, image, label in zip(rows, train.images, train.labels, strict=True):
        np.testing.assert_array_equal(row["image"], image)
        np.testing.assert_array_equal(row["label"], label)
    assert data.describe("voc", dir=str(cells)).label_kind == "boxes"


def test_splits_of_a_folder(cells):
    _lists(cells, train="012", test="34")
    splits = data.load("voc", dir=str(cells), train_split="train").splits
    assert [len(split) for split in splits.values()] == [3, 2]
    with pytest.raises(UserError, match="has no split 'trainval'"):
        data.load("voc", dir=str(cells))


def test_coco(tmp_path, write):
    root = tmp_path / "coco"
    for split, count in (("train2017", 3), ("val2017", 1)):
        entries = {"images": [], "annotations": []}
        entries["categories"] = [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}]
        for i in range(count):
            write(root / split / f"{i}.jpg", size=(40, 20))
            image = {"id": i, "file_name": f"{i}.jpg", "width": 40, "height": 20}
            entries["images"].append(image)
            box = {"id": i, "image_id": i, "category_id": 7, "bbox": [10, 4, 10, 6]}
            entries["annotations"].append(box | {"iscrowd": 0, "area": 60})
        path = root / "annotations" / f"instances_{split}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(entries))
    dataset = data.load("coco", dir=str(root), image_size=(20, 40))
    assert set(dataset.classes) == {"cat", "dog"}
    row = dataset.splits["train"].labels[0, 0]
    assert dataset.classes[int(row[0])] == "cat"
    np.testing.assert_allclose(row[1:], [4, 10, 10, 20])


@pytest.mark.parametrize("fraction", [0.0, 1.0, 0.95])
def test_mistakes_in_fractions(cells, fraction):
    with pytest.raises(UserError, match=r"test_fraction|none is left"):
        data.load("voc", dir=str(cells), test_fraction=fraction)


def test_boxes_of_pictures_that_a_camera_turned(cells):
    """Their sizes say whether they were annotated upright or as they are stored."""
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[4:10, 10:20] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    for i in range(5):
        path = cells / "JPEGImages" / f"{i}.jpg"
        Image.fromarray(pixels).save(path, exif=exif, quality=95)
    dataset = data.load("voc", dir=str(cells), image_size=(20, 40))
    for image, (row,) in zip(*_split(dataset, "train"), strict=True):
        _, top, left, bottom, right = row.astype(int)
        assert image[top:bottom, left:right].mean() > 240
        assert image.mean() < 40
    path = cells / "Annotations" / "0.xml"
    path.write_text(path.read_text().replace("<width>40", "<width>44"))
    for in_memory in (True, False):
        with pytest.raises(
            UserError, match=r"0\.jpg .* is of 44x20 pixels, and it has 20x"
        ):
            data.load("voc", dir=str(cells), in_memory=in_memory)


@pytest.mark.parametrize("in_memory", [True, False])
def test_boxes_of_which_nothing_tells_whether_they_are_upright(cells, in_memory):
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    path = cells / "JPEGImages" / "0.jpg"
    Image.open(path).save(path, exif=exif)
    with pytest.warns(DataWarning, match=r"0\.jpg is turned .* taken as upright"):
        data.load("voc", dir=str(cells), in_memory=in_memory)


def _split(dataset, role):
    return dataset.splits[role].images, dataset.splits[role].labels


def test_nothing_to_find(cells):
    for path in (cells / "Annotations").iterdir():
        path.write_text(path.read_text().replace("object", "subject"))
    with pytest.raises(UserError, match="no picture of the train split has an object"):
        data.load("voc", dir=str(cells))
    _lists(cells, trainval="01", test="")
    with pytest.raises(UserError, match=r"test\.txt lists no pictures"):
        data.load("voc", dir=str(cells))


@pytest.mark.parametrize("in_memory", [True, False])
def test_sizes_are_compared_before_training(cells, in_memory):
    path = cells / "Annotations" / "3.xml"
    path.write_text(path.read_text().replace("<width>40", "<width>44"))
    with pytest.raises(UserError, match=r"3\.jpg .* is of 44x20 pixels, and it has 40"):
        data.load("voc", dir=str(cells), in_memory=in_memory)


@pytest.mark.parametrize("in_memory", [True, False])
def test_nothing_to_be_found_in_the_test_split(cells, in_memory):
    """Of all pictures, or of the pictures that the options keep."""
    options = {"dir": str(cells), "in_memory": in_memory}
    _lists(cells, trainval="012", test="34")
    first = np.random.default_rng(0).permutation(2)[0]  # see `dataset.keep`
    path = cells / "Annotations" / f"{(3, 4)[first]}.xml"
    path.write_text(
        path.read_text().replace("</name>", "</name><difficult>1</difficult>")
    )
    assert len(data.load("voc", **options).splits["test"]) == 2
    message = "no picture of the test split has an object with a box that counts"
    with pytest.raises(UserError, match=message):
        data.load("voc", **options, test_examples=1)
    _lists(cells, test=[path.stem])
    with pytest.raises(UserError, match=message):
        data.load("voc", **options)


def test_pictures_in_both_splits(cells):
    _lists(cells, trainval="0123", val="34")
    options = {"dir": str(cells), "in_memory": False}
    with pytest.raises(UserError, match=r"3\.jpg would be trained on and tested"):
        data.load("voc", **options, test_split="val")
    both = data.load("voc", **options, test_split="trainval").splits
    assert len(both["test"]) == 4


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("3.jpg", r"test\.txt: line 2 is '3\.jpg', and no file in Annotations has"),
        ("JPEGImages/3", "line 2 is .* A line is a name without folder and suffix"),
        ("../Annotations/3", "line 2 is .* and no file in"),
        ("4", r"test\.txt: line 2: the name is '4', as in line 1"),
    ],
)
def test_mistakes_in_lists(cells, line, message):
    _lists(cells, trainval="012", test=["4", line])
    with pytest.raises(UserError, match=message):
        data.load("voc", dir=str(cells))


def test_two_pictures_of_one_name(cells, write):
    write(cells / "JPEGImages" / "3.png")
    with pytest.raises(UserError, match=r"3\.jpg and .*3\.png have the same name"):
        data.load("voc", dir=str(cells))
