"""Masks have the size of their pictures, and are turned with them."""

import warnings

import numpy as np
import pytest
from PIL import Image

from cnn_jax import data
from cnn_jax.core.errors import DataWarning, UserError
from cnn_jax.data import decoding

UNDECIDED = "Its size does not show whether its mask is upright too"


@pytest.fixture
def photos(tmp_path):
    """Writes dir/{train,test}{,annot} of pictures that are bright where their mask is
    1. `pictures` are (height, width, orientation, how the mask lies)."""

    def write(*pictures, **own):
        for split in ("train", "test"):
            for folder in (split, f"{split}annot"):
                (tmp_path / folder).mkdir(exist_ok=True)
            for i, (height, width, orientation, lies) in enumerate(pictures):
                stored = np.zeros((height, width), np.uint8)
                stored[: height // 2, : width // 3] = 1
                exif = Image.Exif()
                exif[0x0112] = orientation
                picture = Image.fromarray(stored * 200)
                picture.save(tmp_path / split / f"{i}.png", exif=exif)
                mask = Image.fromarray(stored)
                if lies == "upright":
                    mask = decoding.turned(mask, orientation)
                options = {"exif": exif} if lies == "turned by itself" else {}
                mask.save(tmp_path / f"{split}annot" / f"{i}.png", **options)
        return tmp_path

    return write


def agree(folder):
    """Whether all pictures agree with their masks, in memory and on the disk."""
    kept, stored = (
        data.load("masks", dir=str(folder), image_size=(24, 24), in_memory=in_memory)
        for in_memory in (True, False)
    )
    for split in ("train", "test"):
        found, records = kept.splits[split], stored.splits[split]
        examples = list(records.examples(range(len(found)), [None] * len(found)))
        for i, example in enumerate(examples):
            np.testing.assert_array_equal(example["image"], found.images[i])
            np.testing.assert_array_equal(example["label"], found.labels[i])
    bright = kept.splits["train"].images[..., 0] > 100
    return ((bright == (kept.splits["train"].labels == 1)).mean((1, 2)) == 1).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("lies", ["upright", "stored", "turned by itself"])
def test_masks_of_pictures_that_exif_turns(photos, orientation, lies):
    """If a mask's size is ambiguous, the other masks of the set decide."""
    telling = (12, 24, 6, lies)
    with warnings.catch_warnings(action="error", category=DataWarning):
        assert agree(photos((12, 24, orientation, lies), telling, (24, 24, 1, lies)))
        assert agree(photos((24, 24, orientation, lies), telling, (24, 24, 3, lies)))


@pytest.mark.parametrize(
    "others", [(), ((12, 24, 6, "stored"), (12, 24, 6, "upright"))]
)
def test_masks_of_which_nothing_tells_how_they_lie(photos, others):
    folder = photos((24, 24, 6, "upright"), (24, 24, 3, "upright"), *others)
    with pytest.warns(DataWarning, match=UNDECIDED) as caught:
        assert agree(folder)
    assert f"{folder}/train/0.png" in str(caught[0].message)
    assert "4 such images" in str(caught[0].message)


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize(
    ("size", "options"),
    [
        ((12, 12), {}),
        ((6, 12), {}),  # of the same shape
        ((12, 24), {}),
        ((24, 13), {}),
        ((24, 12), {"exif": 6}),  # turned by its own orientation
    ],
)
def test_masks_of_another_size(photos, size, options, in_memory):
    folder = photos((12, 24, 1, "stored"), (12, 24, 1, "stored"))
    path = folder / "testannot" / "1.png"
    exif = Image.Exif()
    exif[0x0112] = options.get("exif", 1)
    mask = Image.fromarray(np.zeros(size[::-1], np.uint8))
    if size == (12, 24) or "exif" in options:
        mask.save(path, exif=exif)
    else:
        mask.save(path)
    with pytest.raises(UserError, match=r"has \d+x\d+ pixels .* has 24x12") as error:
        data.load("masks", dir=str(folder), image_size=(6,), in_memory=in_memory)
    assert str(path) in str(error.value) and f"{folder}/test/1.png" in str(error.value)


def test_damaged_files_are_found_before_they_are_decoded(photos):
    folder = photos((12, 24, 1, "stored"), (12, 24, 1, "stored"))
    for name in ("test/1.png", "testannot/1.png"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:20])
        with pytest.raises(UserError, match=name):
            data.load("masks", dir=str(folder), classes=("a", "b"), in_memory=False)
        (folder / name).write_bytes(content)
