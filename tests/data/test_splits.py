"""Splits: what each hands out, and what its parts are."""

from dataclasses import replace

import numpy as np
import pytest

from cnn_jax.data import images
from cnn_jax.data.loading import train_batches
from cnn_jax.data.splits import (
    Arrays,
    Encoded,
    Patches,
    Reader,
    Records,
    Streamed,
    Varied,
)


def pictures(count, factor=1):
    """Pictures of sizes of their own, and the same `factor` times as large."""
    rng = np.random.default_rng(0)
    images = tuple(
        rng.integers(0, 256, (6 + i, 9 - i, 3), np.uint8) for i in range(count)
    )
    return images, tuple(i.repeat(factor, 0).repeat(factor, 1) for i in images)


# ------------------------------------------------------------------------- in memory


@pytest.mark.parametrize(
    ("labels", "shape"),
    [
        (np.arange(5, dtype=np.int32), ()),
        (np.zeros((5, 2, 3), np.uint8), (2, 3)),
        (np.zeros((5, 4, 5), np.float32), (4, 5)),
    ],
)
def test_arrays(labels, shape):
    split = Arrays(np.zeros((5, 2, 3, 1), np.uint8), labels)
    assert (len(split), split.image_shape) == (5, (2, 3, 1))
    assert (split.label_shape, split.label_type) == (shape, labels.dtype)
    known = split.known_labels()  # one class per image, or None
    assert (known is labels) if shape == () else (known is None)


@pytest.mark.parametrize("features", [False, True])
def test_a_part_of_arrays_is_in_the_order_asked_for(features):
    rows = np.arange(5)
    split = Arrays(
        rows.astype(np.uint8).reshape(5, 1, 1, 1),
        rows.astype(np.int32) * 10,
        rows[:, None] * 100.0 if features else None,
    )
    part = split.subset(np.array([3, 0, 3]))
    assert part.images.ravel().tolist() == [3, 0, 3]
    assert part.labels.tolist() == [30, 0, 30]
    if features:
        assert part.features.ravel().tolist() == [300, 0, 300]
    else:
        assert part.features is None


def test_images_of_sizes_of_their_own():
    made, labels = pictures(4, factor=2)
    split = Varied(made, labels)
    assert (len(split), split.image_shape, split.label_shape) == (
        4,
        (6, 9, 3),
        (12, 18, 3),
    )
    assert split.known_labels() is None and isinstance(split, Streamed)
    part = split.subset(np.array([2, 0]))
    (example,) = part.examples([1], [None])
    assert example["image"] is made[0] and example["label"] is labels[0]
    for number, index in enumerate((2, 0)):
        np.testing.assert_array_equal(part.images[number], made[index])
        np.testing.assert_array_equal(part.labels[number], labels[index])


# -------------------------------------------------------------------------- patches


@pytest.mark.parametrize("factor", [1, 2])
def test_patches_are_cut_at_one_place_of_both(factor):
    images, labels = pictures(4, factor)
    split = Patches(images, labels, size=4, each=5)
    assert len(split) == 20 and split.image_shape == (4, 4, 3)
    assert split.label_shape == (4 * factor, 4 * factor, 3)
    (batch,) = train_batches(split, batch_size=20, seed=1, start_step=0, stop_step=1)
    places = set()
    for index, image, label in zip(
        batch["index"], batch["image"], batch["label"], strict=True
    ):
        np.testing.assert_array_equal(label[::factor, ::factor], image)
        whole = images[index % 4]
        found = [
            (top, left)
            for top in range(whole.shape[0] - 3)
            for left in range(whole.shape[1] - 3)
            if np.array_equal(whole[top : top + 4, left : left + 4], image)
        ]
        assert len(found) == 1
        places.add((index % 4, *found[0]))
    assert len(places) > 12
    again = list(train_batches(split, batch_size=20, seed=1, start_step=0, stop_step=2))
    np.testing.assert_array_equal(again[0]["image"], batch["image"])
    first, second = (b["image"][np.argsort(b["index"])] for b in again)
    assert not np.array_equal(first, second)  # cut anew in every epoch
    assert len(split.subset(np.arange(2))) == 10


def test_a_patch_without_a_generator_is_the_middle():
    made, labels = pictures(1, factor=2)
    split = Patches(made, labels, size=4, each=1)
    (found,) = split.examples([0], [None])
    np.testing.assert_array_equal(found["image"], made[0][1:5, 2:6])
    np.testing.assert_array_equal(found["label"], labels[0][2:10, 4:12])


def test_a_patch_may_be_the_whole_picture():
    made, labels = pictures(4)
    split = Patches(made, labels, size=6, each=1)
    (found,) = split.examples([3], [np.random.default_rng(0)])  # 9 x 6 pixels
    assert found["image"].shape == (6, 6, 3)


# -------------------------------------------------------------------------- records


class InOrder:
    """Stored pictures, one gray each; notes what is read together."""

    def __init__(self, files, labels=None):
        self.files, self.known, self.asked = files, labels, []

    @property
    def paths(self):
        return self.files

    def __len__(self):
        return len(self.files)

    def read(self, indices):
        self.asked.append(list(indices))
        return [Encoded(self.files[i], 10 * i, f"number {i}") for i in indices]

    def labels(self):
        return self.known

    def joined(self, other):
        return InOrder(self.files + other.files)


@pytest.fixture
def stored(painted):
    return InOrder([painted(f"{i}.png") for i in range(4)])


def test_records_are_decoded_when_asked_for(stored):
    assert isinstance(stored, Reader)
    split = Records(stored, (8, 8, 3), crop=0.5)
    assert len(split) == 4 and stored.asked == []
    found = list(split.examples([2, 0], [None, None]))
    assert stored.asked == [[2, 0]]  # together
    for number, row in zip((2, 0), found, strict=True):
        assert row["label"] == 10 * number
        expected = images.fit(stored.files[number], (8, 8, 3), 0.5)
        np.testing.assert_array_equal(row["image"], expected)
    np.testing.assert_array_equal(split.example(2, None)["image"], found[0]["image"])


def test_a_part_of_a_part_of_records(stored):
    stored.known = np.arange(4, dtype=np.int32) + 5
    split = Records(stored, (8, 8, 3))
    assert split.known_labels().tolist() == [5, 6, 7, 8]
    part = split.subset(np.array([3, 1, 0])).subset(np.array([2, 0]))
    assert len(part) == 2 and part.known_labels().tolist() == [5, 8]
    assert [row["label"] for row in part.examples([0, 1], [None] * 2)] == [0, 30]
    assert stored.asked == [[0, 3]]


def test_paths_of_a_part_of_records(stored):
    part = Records(stored, (8, 8, 3)).subset(np.array([3, 1, 0]))
    assert part.subset(np.array([2, 0])).paths() == [stored.files[0], stored.files[3]]


def test_labels_that_nobody_knows_without_reading(stored):
    split = Records(stored, (8, 8, 3)).subset(np.array([1]))
    assert split.known_labels() is None


@pytest.mark.parametrize("area", [None, (0.08, 1.0)])
def test_training_crops_records_where_it_is_told_to(area, stored):
    split = Records(stored, (8, 8, 3), crop_area=area)
    assert split.random_crop == bool(area)
    rngs = [np.random.default_rng(i) for i in range(10)]
    found = [split.example(0, rng)["image"].tobytes() for rng in rngs]
    center = split.example(0, None)["image"].tobytes()
    if area:
        assert len(set(found)) > 5
        again = split.example(0, np.random.default_rng(3))["image"].tobytes()
        assert again == found[3]
    else:
        assert set(found) == {center}


def test_records_of_other_sizes(stored):
    split = replace(Records(stored, (8, 8, 3)), image_shape=(4, 6, 1))
    assert split.example(1, None)["image"].shape == split.image_shape == (4, 6, 1)
    assert (split.label_shape, split.label_type) == ((), np.int32)
