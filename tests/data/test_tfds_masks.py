"""Prepared TensorFlow Datasets with masks, and one set that has none."""

import pickle

import numpy as np
import pytest

from cnn_jax import data
from cnn_jax.core.errors import UserError
from cnn_jax.data.masks import MaskRecords

OPTIONS = {"image_size": (6, 10), "test_split": "validation"}


def load(name, folder, **options):
    return data.load(f"tfds_masks:{name}", data_dir=folder, **OPTIONS | options)


def test_masks_of_a_prepared_set(prepared_masks, same_batches):
    classes = ("pet", "wall", "door")
    dataset = load("halves", prepared_masks, classes=classes, ignored=(0,))
    assert dataset.classes == classes and dataset.label_kind == "pixels"
    assert dataset.image_shape == (6, 10, 3) and dataset.label_shape == (6, 10)
    train, test = dataset.splits["train"], dataset.splits["test"]
    assert isinstance(train, MaskRecords) and (len(train), len(test)) == (12, 4)
    seen = set()
    for example in train.examples(range(12), [None] * 12):
        right = example["label"][0, -1]
        seen.add(int(right))
        assert (example["label"][:, :5] == 0).all()
        assert (example["label"][:, 5:] == right).all()
        # The picture has the mask's values, 60 times as bright.
        np.testing.assert_array_equal(example["image"][:, 0], 60)
        np.testing.assert_array_equal(example["image"][:, -1], 60 * (right + 1))
    assert seen == {1, 2}
    kept = load("halves", prepared_masks, classes=classes, ignored=(0,), in_memory=True)
    same_batches(kept, dataset)
    assert len(pickle.dumps(train)) < 2000  # what goes to each worker


def test_names_that_the_set_has(prepared_masks):
    dataset = load("named", prepared_masks, image_size=(8,))
    assert dataset.classes == ("nothing", "pet", "wall", "door")
    (example,) = dataset.splits["test"].examples([1], [None])
    assert example["label"].shape == (8, 8)
    assert np.unique(example["label"]).tolist() in ([1, 2], [1, 3])
    known = data.describe(
        "tfds_masks:named", data_dir=prepared_masks, image_size=(6, 10)
    )
    assert known == (dataset.classes, (6, 10, 3), (6, 10), "pixels", np.uint8)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("halves", {}, r"does not name the classes of its masks: set data\.classes"),
        ("halves", {"classes": ("a",), "in_memory": True}, "has the value 1, which is"),
        ("named", {"image_size": None}, r"many sizes: set data\.image_size"),
        ("named", {"test_split": "test"}, "unknown split .* 'test'"),
        ("none", {}, "is not prepared"),
        ("", {}, "needs the name of a data set after a colon: write 'tfds_masks:NAME'"),
    ],
)
def test_mistakes_are_one_line(prepared_masks, name, options, message):
    with pytest.raises(UserError, match=message) as error:
        load(name, prepared_masks, **options)
    assert "\n" not in str(error.value)


def test_a_set_without_masks(prepared):
    with pytest.raises(UserError, match=r"not a set for segmentation.*image, label"):
        load("shapes", prepared)
