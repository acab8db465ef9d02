"""How many examples of a set are used."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnn_jax import data
from cnn_jax.core.errors import UserError
from cnn_jax.data.splits import Arrays
from cnn_jax.data.subset import Crops, keep


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"random_crop": (0.5,)}, r"random_crop=\(0\.5,\) must be two shares"),
        ({"random_crop": (0.5, 0.2)}, r"\(least, most\), such as \(0\.08, 1\.0\)"),
        ({"interpolation": "bicubik"}, "Did you mean 'bicubic'"),
    ],
)
def test_crops_that_are_not_possible(keys, message):
    with pytest.raises(UserError, match=message):
        Crops(**keys)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(1, 70))
def test_fewer_examples_keep_the_classes_in_proportion(labels, count):
    labels = np.array(labels, np.int32)
    split = Arrays(np.arange(len(labels), dtype=np.uint8)[:, None, None, None], labels)
    kept = keep(split, count)
    assert len(kept) == min(count, len(labels))
    rows = kept.images.ravel()
    assert len(set(rows.tolist())) == len(rows)
    np.testing.assert_array_equal(kept.labels, labels[rows])
    fair = np.bincount(labels, minlength=5) * len(kept) / len(labels)
    assert np.abs(np.bincount(kept.labels, minlength=5) - fair).max() < 2.5
    more = keep(split, count + 1).images.ravel()
    np.testing.assert_array_equal(more[: len(rows)], rows)


@given(st.integers(1, 30), st.integers(1, 40), st.integers(0, 2**16))
def test_fewer_examples_with_a_label_for_every_pixel(total, count, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, (total, 2, 2), np.uint8)
    images = np.arange(total, dtype=np.uint8)[:, None, None, None].repeat(2, 1)
    kept = keep(Arrays(images, labels), count)
    rows = kept.images[:, 0, 0, 0]
    assert len(set(rows.tolist())) == len(kept) == min(count, total)
    np.testing.assert_array_equal(kept.labels, labels[rows])


def test_fewer_examples_of_a_balanced_set_are_balanced():
    split = data.load("digits", train_examples=100).splits["train"]
    assert len(split) == 100
    assert np.all(np.abs(np.bincount(split.labels) - 10) <= 1)
    for count in (0, -3, 0.0, -0.5, 1.5):
        with pytest.raises(UserError, match="train_examples="):
            data.load("digits", train_examples=count)


@pytest.mark.parametrize(("share", "count"), [(1e-9, 1), (0.2, 287), (1.0, 1437)])
def test_a_share_of_the_examples(share, count):
    assert len(data.load("digits", train_examples=share).splits["train"]) == count


def test_a_seed_chooses_the_examples_to_train_on():
    def chosen(seed):
        return data.load(
            "digits", train_examples=50, test_examples=20, subset_seed=seed
        ).splits

    first, second = chosen(0), chosen(1)
    assert len(second["train"]) == 50
    assert np.bincount(second["train"].labels).tolist() == [5] * 10
    assert not np.array_equal(first["train"].images, second["train"].images)
    np.testing.assert_array_equal(second["train"].images, chosen(1)["train"].images)
    np.testing.assert_array_equal(first["test"].images, second["test"].images)
    with pytest.raises(UserError, match="subset_seed=-1"):
        chosen(-1)
