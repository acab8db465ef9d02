"""The registry of sources, digits, and what all sources share."""

import functools
import json
import subprocess
import sys
import typing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax import data
from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import plain
from cnn_jax.data.dataset import assemble, channel_statistics, keep
from cnn_jax.data.splits import Arrays


def test_importing_is_light():
    code = (
        "import numpy, sys, time; start = time.process_time(); import cnn_jax.data;"
        "print(time.process_time() - start,"
        "*{'jax', 'sklearn', 'tensorflow_datasets', 'tensorflow'} & sys.modules.keys())"
    )
    times = []
    for _ in range(3):
        output = subprocess.check_output([sys.executable, "-c", code], text=True)
        seconds, *heavy = output.split()
        assert not heavy
        times.append(float(seconds))
    assert min(times) < 0.5


def test_options_can_be_written_to_a_config():
    options = data.options("digits")
    assert {key: (plain(hint), v) for key, (hint, v) in options.items()} == {
        "image_size": (int, 8),
        "channels": (int, 1),
        "classes": (tuple[int, ...], tuple(range(10))),
        "train_examples": (int | float | None, None),
        "test_examples": (int | float | None, None),
        "subset_seed": (int, 0),
        "keep_pixels": (float, 1.0),
        "keep": (str, "grid"),
        "test_shift": (int | None, None),
    }
    assert data.options("tfds:cifar10")["data_dir"] == (str | None, None)
    for name in ("digits", "digit_scenes", "moving_digits", "folder", "tfds:mnist"):
        options = data.options(name)
        assert {"train_examples", "test_examples", "image_size"} <= options.keys()
        for hint, default in options.values():
            json.dumps(default)
            hint = plain(hint)
            if typing.get_origin(hint) is tuple:
                hint = tuple
            assert isinstance(default, typing.get_args(hint) or hint)


@pytest.mark.parametrize("name", ["digit", "digits:x", "tfds", "imagenet", ""])
def test_unknown_names(name):
    with pytest.raises(
        UserError, match=r"identities, masks, .*, tfds:NAME|names no set"
    ):
        data.options(name)
    with pytest.raises(UserError):
        data.load(name)


def test_unknown_options():
    with pytest.raises(UserError, match=r"'image_sise'.*Did you mean 'image_size'"):
        data.load("digits", image_sise=8)


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


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 50), st.sampled_from([1, 3]), st.integers(0, 2**32))
def test_statistics(count, channels, seed):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, rng.integers(2, 257), (count, 3, 4, channels), np.uint8)
    mean, std = channel_statistics(images)
    values = images.reshape(-1, channels) / 255
    np.testing.assert_allclose(mean, values.mean(0), atol=1e-12)
    np.testing.assert_allclose(std, np.maximum(values.std(0), 1 / 255), atol=1e-12)


def test_examples_without_labels_are_one_line():
    split = Arrays(np.zeros((3, 2, 2, 1), np.uint8), np.array([0, -1, 1], np.int32))
    with pytest.raises(UserError, match="train split has examples without a label"):
        assemble(split, split, classes=("a", "b"))


def test_labels_of_pixels():
    labels = np.array([[[0, 1], [255, 1]]], np.uint8)
    split = Arrays(np.zeros((1, 2, 2, 1), np.uint8), labels)
    pixels = functools.partial(assemble, label_kind="pixels")
    found = pixels(split, split, classes=("a", "b"))
    assert found.label_shape == split.label_shape == (2, 2)
    np.testing.assert_array_equal(found.splits["train"].labels, labels)
    with pytest.raises(UserError, match="train split has examples without a label"):
        pixels(split, split, classes=("a",))
    nothing = Arrays(split.images, np.full_like(labels, 255))
    assert len(pixels(nothing, nothing, classes=("a",)).splits["test"]) == 1


def test_statistics_of_clips():
    clips = np.random.default_rng(0).integers(0, 99, (3, 4, 5, 6, 3), np.uint8)
    frames = clips.reshape(12, 5, 6, 3)
    assert channel_statistics(clips) == channel_statistics(frames)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("digits", {"image_size": 12, "channels": 3}),
        ("digit_scenes", {"image_size": 40}),
        ("moving_digits", {"image_size": 24, "frames": 5, "channels": 3}),
    ],
)
def test_a_description_is_that_of_the_data(name, options):
    few = {"train_examples": 3, "test_examples": 2}
    known, found = data.describe(name, **options), data.load(name, **options, **few)
    assert known.classes == found.classes
    assert known.image_shape == found.image_shape == found.splits["test"].image_shape
    assert known.label_shape == found.label_shape == found.splits["test"].label_shape
