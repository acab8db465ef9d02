"""Facts of data sets for the other parts of a run."""

import dataclasses

import numpy as np
import pytest

from cnn_jax.core.fit import Fact, Need
from cnn_jax.data import facts, labels, moving_digits
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.splits import Arrays

GRAY = Dataset({}, tuple("ab"), (12, 8, 1), (0.0,), (1.0,))


def values(dataset):
    part = facts.part("data", dataset)
    assert all(fact.words.startswith("has ") for fact in part.gives.values())
    return {name: fact.value for name, fact in part.gives.items()}


def test_the_facts_of_images():
    assert values(GRAY) == {
        "label kind": "class",
        "image rank": 2,
        "shorter side": 8,
        "image type": "uint8",
        "classes": 2,
        "mirrorable": True,
        "normalized": False,
    }


@pytest.mark.parametrize(
    ("change", "name", "value"),
    [
        ({"image_shape": (4, 8, 8, 1)}, "image rank", 3),
        ({"image_shape": (4, 16, 9, 1)}, "shorter side", 9),
        ({"image_type": np.dtype("float32")}, "image type", "float32"),
        ({"mean": (0.5,)}, "normalized", True),
        ({"std": (0.5,)}, "normalized", True),
        ({"label_kind": "pixels"}, "label kind", "pixels"),
        ({"label_shape": (24, 16, 1)}, "picture scale", 2),
        ({"label_shape": (18, 12, 1)}, "picture scale", 1.5),
    ],
)
def test_a_change_of_the_data_changes_a_fact(change, name, value):
    assert values(dataclasses.replace(GRAY, **change))[name] == value


@pytest.mark.parametrize("kind", labels.KINDS)
def test_labels_are_told_in_words(kind):
    part = facts.part("data", dataclasses.replace(GRAY, label_kind=kind))
    assert part.gives["label kind"].words == f"has {labels.KINDS[kind].described}"


def test_examples_are_counted_where_there_are_some():
    split = Arrays(np.zeros((3, 12, 8, 1), np.uint8), np.zeros(3, np.int32))
    one = split.subset(np.arange(1))
    found = values(dataclasses.replace(GRAY, splits={"train": split, "test": one}))
    assert (found["training examples"], found["test examples"]) == (3, 1)


def test_a_source_adds_its_own():
    given, taken = Fact(25, "has 25 frames a second"), Need("unit", {"m"})
    part = facts.part(
        "data", dataclasses.replace(GRAY, gives={"rate": given}, takes=(taken,))
    )
    assert part.gives["rate"] is given and part.takes == (taken,)


def test_digits_that_move_cannot_be_mirrored():
    clips = moving_digits.load(train_examples=1, test_examples=1)
    assert not values(clips)["mirrorable"]
