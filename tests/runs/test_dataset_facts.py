"""The facts of a data set, as config.json keeps them."""

import dataclasses
import json

import numpy as np
import pytest

from cnn_jax.data import digit_scenes, rotated_digits
from cnn_jax.runs import dataset_facts


@pytest.fixture(scope="module")
def scenes():
    return digit_scenes.load(image_size=24, train_examples=2, test_examples=1)


def test_facts_come_back(scenes):
    found = dataset_facts.dataset(json.loads(json.dumps(dataset_facts.of(scenes))))
    for name in ("classes", "image_shape", "mean", "std", "crop", "label_shape"):
        assert getattr(found, name) == getattr(scenes, name)
    assert found.label_kind == "pixels" and found.splits == {}


def test_statistics_of_numbers_come_back():
    made = rotated_digits.load(image_size=8, train_examples=3, test_examples=1)
    found = dataset_facts.dataset(json.loads(json.dumps(dataset_facts.of(made))))
    assert found.label_statistics == made.label_statistics


def test_the_type_of_images_comes_back(scenes):
    assert "image_type" not in dataset_facts.of(scenes)
    made = dataclasses.replace(scenes, image_type=np.dtype(np.float32))
    found = dataset_facts.dataset(json.loads(json.dumps(dataset_facts.of(made))))
    assert found.image_type == np.float32


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("classes", "abc"),
        ("image_type", "int64"),
        ("classes", [1]),
        ("image_shape", []),
        ("image_shape", [0, 8, 1]),
        ("image_shape", [8.0, 8, 1]),
        ("image_shape", [10**6, 10**6, 1]),
        ("mean", [0.1, 0.2]),
        ("mean", [float("nan")]),
        ("mean", [None]),
        ("std", [0]),
        ("std", [True]),
        ("crop", 0),
        ("crop", "1"),
        ("label_shape", [-1]),
        ("label_kind", "words"),
        ("label_mean", ["1"]),
        ("label_std", [0]),
        ("label_kind", ["pixels"]),
    ],
)
def test_facts_that_no_data_set_has(name, value, scenes):
    with pytest.raises(ValueError, match=f"dataset.{name}"):
        dataset_facts.dataset(dataset_facts.of(scenes) | {name: value})


def test_a_missing_fact(scenes):
    known = dataset_facts.of(scenes)
    known.pop("std")
    with pytest.raises(ValueError, match=r"dataset\.std"):
        dataset_facts.dataset(known)
