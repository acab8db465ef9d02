"""Scenes: real digits, their labels exactly where they are, always the same."""

import zlib

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from cnn_jax import data
from cnn_jax.core.errors import UserError
from cnn_jax.data import digit_scenes, digits
from cnn_jax.data.digit_scenes import INK, LARGEST, MOST_DIGITS, NOISE, SMALLEST, STROKE


@pytest.fixture(scope="module")
def scenes():
    return digit_scenes.load(train_examples=120, test_examples=60)


@pytest.fixture(scope="module")
def pools():
    return digits.pools()


def test_shapes_and_classes(scenes):
    train, test = scenes.splits["train"], scenes.splits["test"]
    assert (len(train), len(test)) == (120, 60)
    assert train.images.shape[1:] == scenes.image_shape == (48, 48, 1)
    assert train.labels.shape[1:] == scenes.label_shape == (48, 48)
    assert train.images.dtype == train.labels.dtype == np.uint8
    assert scenes.classes == ("background", *"0123456789")
    for split in (train, test):
        counts = np.bincount(split.labels.ravel())
        assert len(counts) == 11 and 0.85 < counts[0] / counts.sum() < 0.95
        assert counts[1:].min() > counts[1:].max() / 4
    gray = digit_scenes.load(channels=3, train_examples=2, test_examples=1)
    few = gray.splits["train"].images
    np.testing.assert_array_equal(few, train.images[:2].repeat(3, axis=-1))


def test_a_scene_is_that_of_its_split_and_number(scenes):
    """A scene does not depend on the number of scenes or on the machine."""
    few = digit_scenes.load(train_examples=7, test_examples=3)
    for role, count in (("train", 7), ("test", 3)):
        ours, theirs = few.splits[role], scenes.splits[role]
        np.testing.assert_array_equal(ours.images, theirs.images[:count])
        np.testing.assert_array_equal(ours.labels, theirs.labels[:count])
    assert not np.array_equal(
        scenes.splits["train"].labels[:60], scenes.splits["test"].labels
    )
    assert len({image.tobytes() for image in scenes.splits["train"].images}) == 120
    # What runs have been measured on.
    assert zlib.crc32(few.splits["train"].images.tobytes()) == 1296725473
    assert zlib.crc32(few.splits["train"].labels.tobytes()) == 4110771951


@settings(max_examples=60, deadline=None)
@given(st.integers(12, 64), st.integers(0, 2**32))
def test_places_are_inside_and_apart(size, seed):
    rng = np.random.default_rng(seed)
    placed = digit_scenes._places(rng, size, 20, MOST_DIGITS)
    assert 1 <= len(placed) <= MOST_DIGITS
    covered = np.zeros((size, size), int)
    for digit, top, left, side in placed:
        assert 0 <= digit < 20
        assert size // SMALLEST <= side <= size // LARGEST
        assert min(top, left) >= 0 and max(top, left) + side <= size
        covered[top : top + side, left : left + side] += 1
    assert covered.max() == 1


@settings(max_examples=25, deadline=None)
@given(st.integers(24, 60), st.integers(0, 2**32), st.sampled_from(["train", "test"]))
@example(24, 2631917, "test")  # dark strokes on the lighter side of the background
def test_strokes_are_labeled_and_nothing_else(pools, size, seed, role):
    """Drawn again from the places, with Pillow alone."""
    pool = pools[role]
    rng = np.random.default_rng(seed)
    gray, labels, _ = digit_scenes._scene(rng, size, pool, MOST_DIGITS)
    rng = np.random.default_rng(seed)
    behind = digit_scenes._gradient(rng, size)
    expected = np.zeros((size, size), np.uint8)
    places = digit_scenes._places(rng, size, len(pool.labels), MOST_DIGITS)
    for digit, top, left, side in places:
        drawn = Image.fromarray(pool.images[digit])
        drawn = np.asarray(drawn.resize((side, side), Image.Resampling.BILINEAR))
        part = expected[top : top + side, left : left + side]
        part[drawn >= STROKE] = pool.labels[digit] + 1
    np.testing.assert_array_equal(labels, expected)
    # Strokes are lighter than the background, up to the noise.
    least = behind + (INK[0] - behind) * STROKE // 255 - NOISE
    assert (gray.astype(int) >= least)[labels > 0].all()


@settings(max_examples=15, deadline=None)
@given(st.integers(12, 60), st.sampled_from(["train", "test"]))
def test_boxes_are_tight_around_the_labels(size, role):
    """Each holds its digit's pixels alone, up to all four sides, and none is left."""
    count = 6
    options = {"train_examples": count, "test_examples": count, "image_size": size}
    maps = digit_scenes.load(**options)
    boxes = digit_scenes.load(**options, labels="boxes")
    np.testing.assert_array_equal(maps.splits[role].images, boxes.splits[role].images)
    assert maps.classes[1:] == boxes.classes and boxes.label_kind == "boxes"
    labels, found = maps.splits[role].labels, boxes.splits[role].labels
    assert found.shape == (count, MOST_DIGITS, 5) and found.dtype == np.float32
    for rows, pixels in zip(found, labels.copy(), strict=True):
        for digit, *sides in rows.astype(int):
            if digit == -1:
                assert sides == [0, 0, 0, 0]
                continue
            top, left, bottom, right = sides
            stroke = pixels[top:bottom, left:right]
            assert set(np.unique(stroke)) <= {0, digit + 1}
            for side in (stroke[0], stroke[-1], stroke[:, 0], stroke[:, -1]):
                assert side.any()
            stroke[:] = 0
        assert not pixels.any()


def test_boxes_of_the_first_scenes(scenes):
    """Never change, as the scenes do not; of 48 pixels, digits have 8 to 24."""
    options = {"train_examples": 120, "test_examples": 7, "labels": "boxes"}
    splits = digit_scenes.load(**options).splits
    found = splits["train"].labels
    assert not np.array_equal(splits["test"].labels, found[:7])
    single = digit_scenes.load(**options, most_digits=1).splits["train"]
    assert single.label_shape == (1, 5) and (single.labels[..., 0] >= 0).all()
    digits_there = found[found[..., 0] >= 0]
    assert 1 < len(digits_there) / 120 < MOST_DIGITS
    heights = digits_there[:, 3] - digits_there[:, 1]
    assert heights.min() >= 5 and heights.max() <= 24
    assert zlib.crc32(found.tobytes()) == 2035534845


def test_training_and_test_scenes_share_no_digit(pools):
    train, test = ({p.tobytes() for p in pool.images} for pool in pools.values())
    assert len(pools["train"].labels) == 1437 and len(pools["test"].labels) == 360
    assert not train & test


def test_the_background_is_not_told_by_a_threshold(scenes):
    """The best single gray level leaves many strokes out, or much background in."""
    split = scenes.splits["train"]
    gray, stroke = split.images.ravel(), split.labels.ravel() > 0
    best = max(
        (stroke & (gray >= level)).sum() / (stroke | (gray >= level)).sum()
        for level in range(0, 256, 4)
    )
    assert best < 0.85


def test_no_pixel_tells_the_class_of_its_digit(scenes):
    """Given a stroke's gray level, its class is a guess: the whole digit decides it."""
    split = scenes.splits["train"]
    gray, labels = split.images.ravel() // 8, split.labels.ravel()
    table = np.zeros((32, 10))
    np.add.at(table, (gray[labels > 0], labels[labels > 0] - 1), 1)
    assert table.max(axis=1).sum() / table.sum() < 0.2


@settings(max_examples=20)
@given(st.integers(12, 50), st.integers(0, 2**32))
def test_gradients_are_bilinear(size, seed):
    found = digit_scenes._gradient(np.random.default_rng(seed), size)
    corners = np.random.default_rng(seed).integers(0, 128, (2, 2), endpoint=True)
    t = np.arange(size) / (size - 1)
    weights = np.stack([1 - t, t])
    np.testing.assert_allclose(found, weights.T @ corners @ weights, atol=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 11}, "image_size=11 must be at least 12"),
        ({"channels": 2}, "channels is 2"),
        ({"train_examples": 0}, r"data\.train_examples=0 must be at least 1"),
        ({"test_examples": -1}, r"data\.test_examples=-1"),
    ],
)
def test_impossible_options(options, message):
    with pytest.raises(UserError, match=message):
        data.load("digit_scenes", **{"train_examples": 1, "test_examples": 1} | options)
