"""Folders of pictures with masks."""

import os

import numpy as np
import pytest
from PIL import Image

from cnn_jax import data
from cnn_jax.core.errors import DataWarning, UserError
from cnn_jax.data.labels.pixels import IGNORED


@pytest.fixture
def roads(tmp_path, write):
    """dir/{train,test} and dir/{train,test}annot, 20x12; left half 0, right half 1 or
    2, and a corner of 11."""
    mask = np.zeros((12, 20), np.uint8)
    mask[:, 10:] = 1
    mask[:3, :4] = 11
    for split, count in (("train", 4), ("test", 2)):
        for i in range(count):
            write(tmp_path / "roads" / split / f"{i}.png", size=(20, 12))
            path = tmp_path / "roads" / f"{split}annot" / f"{i}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(np.where(mask == 1, 1 + i % 2, mask).astype("u1")).save(
                path
            )
    return tmp_path / "roads"


def masks(folder, **options):
    options = {"image_size": (6, 10), "ignored": (11,)} | options
    return data.load("masks", dir=str(folder), **options)


def test_masks(roads):
    dataset = masks(roads)
    assert dataset.label_kind == "pixels" and dataset.classes == ("0", "1", "2")
    assert dataset.image_shape == (6, 10, 3) and dataset.label_shape == (6, 10)
    train, test = dataset.splits["train"], dataset.splits["test"]
    assert len(train) == 4 and len(test) == 2 and train.labels.dtype == np.uint8
    for i, label in enumerate(train.labels):
        assert (label[:, 5:] == 1 + i % 2).all()
        assert (label[3:, :5] == 0).all() and label[0, 0] == IGNORED
    # On the disk they are the same.
    stored = masks(roads, in_memory=False).splits["train"]
    rows = list(stored.examples(range(4), [np.random.default_rng(0)] * 4))
    for row, image, label in zip(rows, train.images, train.labels, strict=True):
        np.testing.assert_array_equal(row["image"], image)
        np.testing.assert_array_equal(row["label"], label)


def test_names_of_classes_and_splits_together(roads):
    dataset = masks(roads, classes=("road", "tree", "car"), train_split="train+test")
    assert dataset.classes == ("road", "tree", "car")
    assert len(dataset.splits["train"]) == 6
    assert data.describe("masks", dir=str(roads), ignored=(11,)).label_kind == "pixels"


def test_a_palette_is_read_as_its_numbers(roads):
    for path in (roads / "trainannot").iterdir():
        image = Image.open(path).copy()
        image.putpalette([*range(0, 252, 7)])  # twelve colors
        image.save(path)
    assert masks(roads).classes == ("0", "1", "2")


def test_classes_are_the_values_that_are_not_ignored(roads):
    """The value 0 may be ignored too, as in sets whose value 0 has no class."""
    dataset = masks(roads, ignored=(0, 11), classes=("tree", "car"))
    for i, label in enumerate(dataset.splits["train"].labels):
        assert (label[:, 5:] == i % 2).all() and (label[:, :5] == IGNORED).all()
    assert masks(roads, ignored=(0, 11)).classes == ("1", "2")


def test_masks_of_bits(roads):
    for path in roads.glob("*annot/*"):
        Image.fromarray(np.asarray(Image.open(path)) > 0).save(path)
    dataset = masks(roads, ignored=())
    assert dataset.classes == ("0", "1")
    assert set(np.unique(dataset.splits["train"].labels)) == {0, 1}


@pytest.mark.parametrize("classes", [(), ("background", "road")])
def test_black_and_white_masks_are_refused(roads, classes):
    for path in roads.glob("*annot/*"):
        white = np.asarray(Image.open(path)) > 0
        Image.fromarray(white.astype(np.uint8) * 255).save(path)
    with pytest.raises(UserError, match="two classes as 0 and 1, not as 0 and 255"):
        masks(roads, classes=classes)


@pytest.mark.parametrize(
    ("break_it", "options", "message"),
    [
        (
            None,
            {"ignored": (300,)},
            r"data\.ignored=\(300,\) must be at least 0 and at most 255",
        ),
        (None, {"classes": ("a",) * 255}, "255 names, but masks have only 254 values"),
        (None, {"ignored": (), "classes": ("a", "b", "c")}, "has the value 11"),
        (None, {"test_split": "val"}, "there is no folder"),
        (None, {"dir": ""}, "data.dir is not set"),
        (None, {"image_size": (1, 2, 3)}, "image_size is"),
        ("missing", {}, "has no mask"),
        ("colors", {}, "has colors"),
        ("damaged", {}, "not an image, or damaged"),
        ("empty", {}, "holds no pictures"),
    ],
)
def test_mistakes_in_masks(roads, write, break_it, options, message):
    first = roads / "trainannot" / "0.png"
    if break_it == "missing":
        first.unlink()
    elif break_it == "colors":
        write(first, size=(20, 12))
    elif break_it == "damaged":
        first.write_bytes(first.read_bytes()[:40])
    elif break_it == "empty":
        for path in (roads / "test").iterdir():
            path.unlink()
    with pytest.raises(UserError, match=message):
        masks(options.pop("dir", roads), **options)


def test_masks_have_the_names_of_their_pictures_in_any_normal_form(roads):
    for folder, name in (("train", "caf\u00e9"), ("trainannot", "cafe\u0301")):
        (roads / folder / "0.png").rename(roads / folder / f"{name}.png")
    dataset = masks(roads, in_memory=False)
    assert dataset.splits["train"].reader.pairs[-1][1].name == "cafe\u0301.png"
    (roads / "trainannot/1.PNG").touch()
    with pytest.raises(UserError, match=r"1.PNG and .* have the same name"):
        masks(roads)


def test_a_picture_counts_once_and_in_one_split(roads):
    (roads / "train/9.png").symlink_to("0.png")
    (roads / "trainannot/9.png").symlink_to("0.png")
    os.mkfifo(roads / "trainannot/.pipe.png")
    assert len(masks(roads).splits["train"]) == 4
    os.link(roads / "train/0.png", roads / "test/7.png")
    os.link(roads / "trainannot/0.png", roads / "testannot/7.png")
    with pytest.raises(UserError, match="is in the training and in the test split"):
        masks(roads)


def test_a_split_that_is_not_read_is_named(roads):
    (roads / "val").mkdir()
    with pytest.warns(DataWarning, match="val is not read"):
        masks(roads)
    with pytest.warns(
        DataWarning, match="the test split reads the training pictures"
    ) as caught:
        masks(roads, train_split="train+test")
    assert len(caught) == 2
