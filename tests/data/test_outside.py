"""Data sources from outside of the package."""

from dataclasses import replace

import numpy as np
import pytest

from cnn_jax import data
from cnn_jax.core import imports
from cnn_jax.core.errors import UserError
from cnn_jax.core.keys import Key, keywords
from cnn_jax.core.ranges import Side
from cnn_jax.data import outside
from cnn_jax.data.dataset import Dataset, assemble
from cnn_jax.data.roles import Roles
from cnn_jax.data.source import Source
from cnn_jax.data.splits import Arrays, Varied


def load(*, image_size: Side = 4) -> Dataset:
    """Six black images of two classes."""
    images = np.zeros((6, image_size, image_size, 3), np.uint8)
    split = Arrays(images, np.array([0, 1] * 3, np.int32))
    return Dataset(
        {"train": split, "test": split},
        ("a", "b"),
        split.image_shape,
        (0.0,) * 3,
        (1.0,) * 3,
    )


SOURCE, number = Source("theirs", load), 3


@pytest.fixture
def user(tmp_path):
    """A module of a user's, with the objects above."""
    (tmp_path / "a_user.py").write_text(f"from {__name__} import *")
    imports.add(tmp_path)


@pytest.mark.parametrize("name", ["a_user.load", "a_user.SOURCE"])
def test_a_function_or_a_source_at_an_import_path(name, user):
    assert data.options(name) == {"image_size": Key(Side, 4)} | keywords(Roles)
    assert data.load(name, image_size=8).image_shape == (8, 8, 3)
    known = data.describe(name)
    assert (known.classes, known.image_shape) == (("a", "b"), (4, 4, 3))
    with pytest.raises(UserError, match="image_size=0 must be at least 1"):
        data.load(name, image_size=0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a_user.number", "is 3; it must be a Source, or a function"),
        ("a_user.nothing", "data set 'a_user.nothing': there is no 'nothing' in"),
        ("a_user.load:x", "unknown data set 'a_user.load:x'"),
        ("a_user", "unknown data set 'a_user'"),
    ],
)
def test_names_that_lead_nowhere(name, message, user):
    with pytest.raises(UserError, match=message):
        data.source(name)


def changed(**arrays):
    """The data above with other arrays in the training split."""
    made = load()
    train = replace(made.splits["train"], **arrays)
    return replace(made, splits=made.splits | {"train": train})


IMAGES, LABELS = np.zeros((6, 4, 4, 3), np.uint8), np.array([0, 1] * 3, np.int32)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (3, r"returned int; it must return a cnn_jax\.data\.dataset\.Dataset"),
        (replace(load(), splits={}), "no split 'test'; it must have 'train' and"),
        (replace(load(), mean=(0.0,)), "must have 3 entries, one per channel"),
        (changed(images=IMAGES[:0], labels=LABELS[:0]), "there are no examples"),
        (
            changed(images=IMAGES.astype(np.float64)),
            r"images are float64 \[6, 4, 4, 3\]; they must be uint8 or float32 \[",
        ),
        (changed(images=IMAGES[..., 0]), r"images are uint8 \[6, 4, 4\]; they must"),
        (changed(images=IMAGES[:, :2]), r"the shape \(2, 4, 3\), but image_shape of"),
        (
            changed(labels=LABELS.astype(np.int64)),
            r"labels are int64 \[6\]; they must be int32 \[n\] \(one label per image",
        ),
        (changed(labels=LABELS[:5]), r"labels are int32 \[5\]; they must be int32"),
        (changed(labels=LABELS[:, None]), r"labels are int32 \[6, 1\]; they must be"),
        (
            changed(labels=LABELS + 1),
            r"from 1 to 2; for 2 classes, labels must be from 0 to 1",
        ),
        (changed(labels=LABELS - 1), r"from -1 to 0; for 2 classes"),
        (
            replace(changed(labels=IMAGES[..., 0]), label_kind="pixels"),
            r"labels have the shape \(4, 4\), but label_shape of the Dataset is \(\)",
        ),
        (
            replace(load(), label_kind="boxes"),
            r"float32 \[n, most, 5\] \(boxes of objects; n = 6 images\)",
        ),
        (replace(load(), label_kind="box"), "unknown label kind 'box'"),
    ],
)
def test_data_that_cannot_be_trained_on(made, message):
    with pytest.raises(UserError, match=message) as error:
        outside.check("a_user.load", made)
    assert "\n" not in str(error.value)


def test_further_classes_are_in_the_test_split_alone():
    made, labels = load(), LABELS + 1
    tested = replace(made.splits["test"], labels=labels)
    splits = made.splits | {"test": tested}
    outside.check("x", replace(made, splits=splits, unseen=("c",)))
    with pytest.raises(UserError, match="the test split has labels from"):
        outside.check("x", replace(made, splits=splits))


def test_splits_that_are_no_arrays_are_read_later():
    made = load()
    varied = Varied(tuple(IMAGES), tuple(IMAGES))
    outside.check("x", replace(made, splits=made.splits | {"test": varied}))


@pytest.mark.parametrize("found", [np.zeros, print, dict, lambda: None, Dataset])
def test_a_function_that_states_no_data_set_is_not_called(found):
    """A run's config may come from anybody, and name any installed function."""
    with pytest.raises(UserError, match=r"def load\(\.\.\.\) -> Dataset"):
        outside.source("theirs.load", found)


def test_a_source_that_fails_is_blamed():
    def fails() -> Dataset:
        raise ValueError("no such data")

    with pytest.raises(
        UserError, match=r"'a_user.load' .* failed: ValueError: no such"
    ):
        outside.source("a_user.load", fails).load()


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({}, {"train": 8, "test": 8}),
        ({"val": 2}, {"train": 6, "val": 2, "test": 8}),
        ({"fold": "1/4"}, {"train": 6, "val": 2, "test": 8}),
    ],
)
def test_the_keys_of_the_validation_split_divide_a_users_data(options, sizes):
    split = Arrays(np.zeros((8, 4, 4, 3), np.uint8), np.arange(8, dtype=np.int32) % 2)
    whole = {"train": split, "test": split}

    def theirs(*, own: bool = False) -> Dataset:
        """The user's function."""
        splits = whole | ({"val": split.subset(np.arange(4))} if own else {})
        return assemble(splits, classes=("a", "b"))

    source = outside.source("nets.theirs", theirs)
    made = source.load(**options).splits
    assert {role: len(part) for role, part in made.items()} == sizes
    # A data set's own validation split counts unless another one is asked for.
    own = source.load(own=True, **options).splits
    if not options:
        assert len(own["val"]) == 4 and len(own["train"]) == 8
    elif "val" in options:
        assert {role: len(part) for role, part in own.items()} == sizes
    else:
        assert (len(own["train"]), len(own["val"])) == (9, 3)
    assert "val" not in source.load(own=True, val=0).splits
