"""Folders of pictures with boxes."""

import numpy as np
import pytest
from PIL import Image

from cnn_jax import data
from cnn_jax.core.errors import DataWarning, UserError


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


def test_boxes_of_pictures_that_a_camera_turned(cells):
    """The stated sizes tell whether the boxes are of the upright or stored picture."""
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
            UserError, match=r"0\.jpg has 20x.* pixels, but its annotation says 44x20"
        ):
            data.load("voc", dir=str(cells), in_memory=in_memory)


@pytest.mark.parametrize("in_memory", [True, False])
def test_boxes_of_which_nothing_tells_whether_they_are_upright(cells, in_memory):
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    path = cells / "JPEGImages" / "0.jpg"
    Image.open(path).save(path, exif=exif)
    with pytest.warns(DataWarning, match=r"0\.jpg is turned .* assumed to be upright"):
        data.load("voc", dir=str(cells), in_memory=in_memory)


def _split(dataset, role):
    return dataset.splits[role].images, dataset.splits[role].labels


@pytest.mark.parametrize("in_memory", [True, False])
def test_sizes_are_compared_before_training(cells, in_memory):
    path = cells / "Annotations" / "3.xml"
    path.write_text(path.read_text().replace("<width>40", "<width>44"))
    with pytest.raises(
        UserError, match=r"3\.jpg has 40x.* pixels, but its annotation says 44x20"
    ):
        data.load("voc", dir=str(cells), in_memory=in_memory)
