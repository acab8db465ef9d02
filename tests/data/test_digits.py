"""The digits inside scikit-learn, and their split."""

import numpy as np
import pytest

from cnn_jax import data
from cnn_jax.core.errors import UserError
from cnn_jax.data import digits as source


def test_digits():
    digits = data.load("digits")
    train, test = digits.splits["train"], digits.splits["test"]
    assert train.images.shape == (1437, 8, 8, 1) and len(test) == 360
    assert train.images.dtype == np.uint8 and train.labels.dtype == np.int32
    assert train.images.max() == 255 and digits.classes == tuple("0123456789")
    share = np.bincount(train.labels) / np.bincount(test.labels)
    np.testing.assert_allclose(share, 1437 / 360, rtol=0.03)
    np.testing.assert_allclose(digits.mean, train.images.mean() / 255)
    np.testing.assert_allclose(digits.std, train.images.std() / 255)


def test_digits_are_those_of_scikit_learn_and_so_is_their_split():
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pictures, labels = load_digits(return_X_y=True)
    rows = np.arange(len(labels))
    parts = train_test_split(rows, test_size=360, stratify=labels, random_state=0)
    splits = data.load("digits").splits.values()
    for split, part in zip(splits, parts, strict=True):
        theirs = np.rint(pictures[part] * 255 / 16)
        np.testing.assert_array_equal(split.images.reshape(-1, 64), theirs)
        np.testing.assert_array_equal(split.labels, labels[part])


def test_digits_in_another_size_and_color():
    small = data.load("digits")
    large = data.load("digits", image_size=32, channels=3)
    assert large.image_shape == (32, 32, 3) and len(large.mean) == 3
    images = large.splits["test"].images
    np.testing.assert_array_equal(images[..., 0], images[..., 2])
    blocks = images[..., 0].reshape(360, 8, 4, 8, 4).mean(axis=(2, 4))
    original = small.splits["test"].images[..., 0]
    assert np.corrcoef(blocks.ravel(), original.ravel())[0, 1] > 0.97


def test_some_of_the_digits_are_numbered_anew():
    whole, some = data.load("digits"), data.load("digits", classes=(7, 3))
    assert some.classes == ("7", "3")
    for role, split in some.splits.items():
        labels = whole.splits[role].labels
        chosen = np.isin(labels, (7, 3))
        np.testing.assert_array_equal(split.images, whole.splits[role].images[chosen])
        np.testing.assert_array_equal(split.labels, np.where(labels == 7, 0, 1)[chosen])


@pytest.mark.parametrize("classes", [(), (3,), (3, 3), (3, 10), (-1, 2)])
def test_digits_that_are_none(classes):
    with pytest.raises(UserError, match=r"data\.classes="):
        data.load("digits", classes=classes)


@pytest.mark.parametrize("options", [{"image_size": 0}, {"channels": 2}])
def test_sizes_that_cannot_be(options):
    with pytest.raises(UserError, match=r"data\.(image_size|channels)"):
        data.load("digits", **options)


def test_pools_are_what_other_sources_draw_from():
    pools, splits = source.pools(), data.load("digits").splits
    for role, pool in pools.items():
        assert pool.images.dtype == np.uint8 and pool.images.shape[1:] == (8, 8)
        np.testing.assert_array_equal(pool.images, splits[role].images[..., 0])
        np.testing.assert_array_equal(pool.labels, splits[role].labels)
