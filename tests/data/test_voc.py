"""Pictures with boxes, as Pascal VOC has them."""

import numpy as np
import pytest

from cnn_jax import data
from cnn_jax.core.errors import UserError


def _lists(root, **names):
    """Writes lists of a split's names."""
    folder = root / "ImageSets" / "Main"
    folder.mkdir(parents=True, exist_ok=True)
    for split, lines in names.items():
        (folder / f"{split}.txt").write_text("\n".join(lines))


def test_splits_of_a_folder(cells):
    _lists(cells, train="012", test="34")
    splits = data.load("voc", dir=str(cells), train_split="train").splits
    assert [len(split) for split in splits.values()] == [3, 2]
    with pytest.raises(UserError, match="has no split 'trainval'"):
        data.load("voc", dir=str(cells))


@pytest.mark.parametrize("fraction", [0.0, 1.0, 0.95])
def test_mistakes_in_fractions(cells, fraction):
    with pytest.raises(UserError, match=r"test_fraction|no picture is left"):
        data.load("voc", dir=str(cells), test_fraction=fraction)


def test_nothing_to_find(cells):
    for path in (cells / "Annotations").iterdir():
        path.write_text(path.read_text().replace("object", "subject"))
    with pytest.raises(UserError, match="the train split has no objects with boxes"):
        data.load("voc", dir=str(cells))
    _lists(cells, trainval="01", test="")
    with pytest.raises(UserError, match=r"test\.txt lists no pictures"):
        data.load("voc", dir=str(cells))


@pytest.mark.parametrize("in_memory", [True, False])
def test_nothing_to_be_found_in_the_test_split(cells, in_memory):
    """The error appears for all pictures, and for the pictures that options keep."""
    options = {"dir": str(cells), "in_memory": in_memory}
    _lists(cells, trainval="012", test="34")
    first = np.random.default_rng(0).permutation(2)[0]  # see `dataset.keep`
    path = cells / "Annotations" / f"{(3, 4)[first]}.xml"
    path.write_text(
        path.read_text().replace("</name>", "</name><difficult>1</difficult>")
    )
    assert len(data.load("voc", **options).splits["test"]) == 2
    message = "the test split has no objects with boxes, or only difficult"
    with pytest.raises(UserError, match=message):
        data.load("voc", **options, test_examples=1)
    _lists(cells, test=[path.stem])
    with pytest.raises(UserError, match=message):
        data.load("voc", **options)


def test_pictures_in_both_splits(cells):
    _lists(cells, trainval="0123", val="34")
    options = {"dir": str(cells), "in_memory": False}
    with pytest.raises(
        UserError, match=r"3\.jpg is in the training and in the test split"
    ):
        data.load("voc", **options, test_split="val")
    both = data.load("voc", **options, test_split="trainval").splits
    assert len(both["test"]) == 4


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "3.jpg",
            r"test\.txt: line 2 is '3\.jpg', but no file in the folder Annotations",
        ),
        ("JPEGImages/3", "line 2 is .* Write the name of a file without its folder"),
        ("../Annotations/3", "line 2 is .* but no file in"),
        ("4", r"test\.txt: line 2: the name is '4', but line 1"),
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
