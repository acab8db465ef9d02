"""Clips whose motion no single frame tells, and any two of them do."""

import itertools
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.linear_model import LogisticRegression

from cnn_jax import data
from cnn_jax.core.errors import UserError
from cnn_jax.data import digits, moving_digits
from cnn_jax.data.moving_digits import MOTIONS

TRAIN, TEST = 1200, 400
CHANCE = 1 / len(MOTIONS)


@pytest.fixture(scope="module")
def clips():
    return moving_digits.load(train_examples=TRAIN, test_examples=TEST)


def test_shapes_and_classes(clips):
    train, test = clips.splits["train"], clips.splits["test"]
    assert train.images.shape == (TRAIN, 8, 32, 32, 1) and len(test) == TEST
    assert train.images.dtype == np.uint8 and train.labels.dtype == np.int32
    assert clips.image_shape == (8, 32, 32, 1) and clips.label_shape == ()
    assert len(clips.classes) == 16 and clips.classes[0] == "right, slow"
    counts = np.bincount(train.labels, minlength=16)
    assert stats.chisquare(counts).pvalue > 1e-3
    gray = moving_digits.load(channels=3, train_examples=2, test_examples=1)
    few = gray.splits["train"].images
    np.testing.assert_array_equal(few, train.images[:2].repeat(3, axis=-1))


def test_a_clip_is_that_of_its_split_and_number(clips):
    few = moving_digits.load(train_examples=7, test_examples=3)
    for role, count in (("train", 7), ("test", 3)):
        ours, theirs = few.splits[role], clips.splits[role]
        np.testing.assert_array_equal(ours.images, theirs.images[:count])
        np.testing.assert_array_equal(ours.labels, theirs.labels[:count])
    assert len({clip.tobytes() for clip in clips.splits["train"].images}) == TRAIN
    # What runs have been measured on.
    assert zlib.crc32(few.splits["train"].images.tobytes()) == 222270210


@settings(max_examples=30, deadline=None)
@given(st.integers(24, 40), st.integers(4, 9), st.integers(0, 2**32))
def test_the_digit_moves_as_its_label_says(size, frames, seed):
    pool = digits.pools()["train"]
    clip, label = moving_digits._clip(np.random.default_rng(seed), frames, size, pool)
    assert clip.shape == (frames, size, size) and clip.dtype == np.uint8
    # By the place that overlaps best, as phase correlation finds it.
    overlap = np.zeros((size, size))
    for first, second in itertools.pairwise(clip):
        spectrum = np.fft.fft2(first - first.mean()).conj() * np.fft.fft2(second)
        overlap += np.fft.ifft2(spectrum).real
    shift = np.unravel_index(overlap.argmax(), overlap.shape)
    step = np.array(list(MOTIONS.values())[label])
    np.testing.assert_array_equal(shift, step % size)


def overlaps(first, second):
    """How alike the second frame is to the first one, moved in each way."""
    first, second = (frame[..., 0].astype(np.float64) for frame in (first, second))
    return np.stack(
        [
            -np.abs(second - np.roll(first, step, (1, 2))).mean((1, 2))
            for step in MOTIONS.values()
        ],
        axis=1,
    )


def accuracy(features, clips):
    splits = clips.splits.values()
    (x, y), (x_test, y_test) = ((features(s.images), s.labels) for s in splits)
    scale = x.std(axis=0) + 1e-9
    model = LogisticRegression(max_iter=300).fit((x - x.mean(0)) / scale, y)
    return model.score((x_test - x.mean(0)) / scale, y_test)


# Three standard deviations of the score of a guess.
BOUND = CHANCE + 3 * np.sqrt(CHANCE * (1 - CHANCE) / TEST)


@pytest.mark.full
@pytest.mark.parametrize("frame", [0, 3, 7])
def test_a_single_frame_says_nothing(frame, clips):
    """Neither the pixels of a frame nor its symmetries predict the motion."""
    pixels = lambda images: images[:, frame, ::2, ::2].reshape(len(images), -1)  # noqa: E731
    assert accuracy(pixels, clips) < BOUND
    own = lambda images: overlaps(images[:, frame], images[:, frame])  # noqa: E731
    assert accuracy(own, clips) < BOUND


@pytest.mark.parametrize("frames", [(0, 1), (6, 7)])
def test_the_difference_of_two_frames_says_it_all(frames, clips):
    first, second = frames
    features = lambda images: overlaps(images[:, first], images[:, second])  # noqa: E731
    assert accuracy(features, clips) > 0.95


@pytest.mark.parametrize("frame", [0, 7])
def test_places_and_digits_do_not_depend_on_the_motion(frame, clips):
    """For each motion, the center of mass on the circle is uniform."""
    split = clips.splits["train"]
    light = split.images[:, frame, ..., 0].astype(float)
    turn = np.exp(2j * np.pi * np.arange(32) / 32)
    for profile in (light.sum(2), light.sum(1)):
        place = np.angle(profile @ turn) / (2 * np.pi) % 1
        assert stats.kstest(place, "uniform").pvalue > 1e-3
        groups = [place[split.labels == label] for label in range(len(MOTIONS))]
        for group in groups:
            assert stats.kstest(group, "uniform").pvalue > 1e-4
    ink = [light[split.labels == label].sum((1, 2)) for label in range(len(MOTIONS))]
    assert stats.kruskal(*ink).pvalue > 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 15}, "image_size=15 must be at least 16"),
        ({"frames": 1}, "frames=1 must be at least 2"),
        ({"channels": 4}, "channels=4"),
        ({"train_examples": 0}, r"data\.train_examples=0"),
    ],
)
def test_impossible_options(options, message):
    with pytest.raises(UserError, match=message):
        data.load(
            "moving_digits", **{"train_examples": 1, "test_examples": 1} | options
        )
