"""The registry of sources, digits, and what all sources share."""

import functools
import json
import subprocess
import sys
import types
import typing

import numpy as np
import pytest

from cnn_jax import data
from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import plain
from cnn_jax.data.dataset import assemble
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
        "val": (int | float | str | None, None),
        "val_seed": (int, 0),
        "fold": (str | None, None),
        "val_examples": (int | float | None, None),
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
    hint, default = data.options("tfds:cifar10")["data_dir"]
    assert (plain(hint), default) == (str | None, None)
    for name in ("digits", "digit_scenes", "moving_digits", "folder", "tfds:mnist"):
        options = data.options(name)
        assert {"train_examples", "test_examples", "image_size"} <= options.keys()
        for hint, default in options.values():
            json.dumps(default)
            hint = plain(hint)
            union = typing.get_origin(hint) is types.UnionType
            kinds = typing.get_args(hint) if union else (hint,)
            kinds = tuple(typing.get_origin(kind) or kind for kind in kinds)
            assert isinstance(default, kinds)


@pytest.mark.parametrize("name", ["digit", "digits:x", "tfds", "imagenet", ""])
def test_unknown_names(name):
    with pytest.raises(
        UserError,
        match=r"identities, masks, .*, tfds:NAME|needs the name of a data set",
    ):
        data.options(name)
    with pytest.raises(UserError):
        data.load(name)


def test_unknown_options():
    with pytest.raises(UserError, match=r"'image_sise'.*Did you mean 'image_size'"):
        data.load("digits", image_sise=8)


def test_identities_without_files():
    dataset = data.load("digits", train_examples=20, test_examples=3)
    assert dataset.identities("test") == ["test/0", "test/1", "test/2"]


def test_examples_without_labels_are_one_line():
    split = Arrays(np.zeros((3, 2, 2, 1), np.uint8), np.array([0, -1, 1], np.int32))
    with pytest.raises(
        UserError, match=r"train split has labels from .* Correct the labels"
    ):
        assemble({"train": split, "test": split}, classes=("a", "b"))


def test_labels_of_pixels():
    labels = np.array([[[0, 1], [255, 1]]], np.uint8)
    split = Arrays(np.zeros((1, 2, 2, 1), np.uint8), labels)
    pixels = functools.partial(assemble, label_kind="pixels")
    found = pixels({"train": split, "test": split}, classes=("a", "b"))
    assert found.label_shape == split.label_shape == (2, 2)
    np.testing.assert_array_equal(found.splits["train"].labels, labels)
    with pytest.raises(
        UserError, match=r"train split has labels from .* Correct the labels"
    ):
        pixels({"train": split, "test": split}, classes=("a",))
    nothing = Arrays(split.images, np.full_like(labels, 255))
    assert (
        len(pixels({"train": nothing, "test": nothing}, classes=("a",)).splits["test"])
        == 1
    )


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
