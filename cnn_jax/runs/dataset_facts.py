"""The facts about a run's data set, as stored in config.json.

The facts are the class names, the shape and, unless it is uint8, the type of the
images, the normalization (mean and std), the crop, the number of examples of each
split, and the shape, the kind and, for regression, the mean and the standard deviation
of the labels.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from cnn_jax.core import names
from cnn_jax.core.errors import UserError
from cnn_jax.data import labels
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.labels.kind import LabelStatistics

MAX_VALUES = 2**33  # largest number of values in an image


def of(dataset: Dataset) -> dict[str, Any]:
    """Returns the facts about a data set as JSON types (lists instead of tuples)."""
    facts = {
        "classes": dataset.classes,
        "image_shape": dataset.image_shape,
        "mean": tuple(dataset.mean),
        "std": tuple(dataset.std),
        "crop": dataset.crop,
        "examples": {name: len(split) for name, split in dataset.splits.items()},
    }
    if dataset.image_type != np.uint8:
        facts["image_type"] = str(dataset.image_type)
    if dataset.label_shape:
        facts["label_shape"] = dataset.label_shape
    if dataset.labels is not labels.CLASS:
        facts["label_kind"] = dataset.label_kind
    if dataset.label_statistics.mean:
        facts["label_mean"] = dataset.label_statistics.mean
        facts["label_std"] = dataset.label_statistics.std
    return json.loads(json.dumps(facts))


def dataset(facts: Mapping[str, Any]) -> Dataset:
    """Returns a data set without examples, made from the facts in config.json.

    Raises:
      ValueError: if a fact is missing or has a wrong type. The message names
        the fact, such as "dataset.mean".
    """
    values = {"label_shape": [], "label_kind": labels.CLASS.name, **facts}
    values = {"image_type": "uint8", **values}
    values = {"label_mean": [], "label_std": [], **values}
    for name, is_valid in _VALID.items():
        if name not in values or not is_valid(values[name]):
            raise ValueError(f"dataset.{name} is missing or wrong")
    if not len(values["mean"]) == len(values["std"]) == values["image_shape"][-1]:
        raise ValueError("dataset.mean or dataset.std has a wrong length")
    return Dataset(
        splits={},
        classes=tuple(map(names.text, values["classes"])),
        image_shape=tuple(values["image_shape"]),
        mean=tuple(map(float, values["mean"])),
        std=tuple(map(float, values["std"])),
        image_type=np.dtype(values["image_type"]),
        crop=float(values["crop"]),
        label_shape=tuple(values["label_shape"]),
        label_kind=values["label_kind"],
        known_statistics=LabelStatistics(
            mean=tuple(map(float, values["label_mean"])),
            std=tuple(map(float, values["label_std"])),
        ),
    )


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _is_shape(value: Any) -> bool:
    return (
        isinstance(value, list)
        and all(type(size) is int and size >= 0 for size in value)
        and math.prod(value) < MAX_VALUES
    )


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_number, value))


def _is_positive(value: Any) -> bool:
    return _is_numbers(value) and all(number > 0 for number in value)


def _is_label_kind(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(labels.find(value))
    except UserError:
        return False


_VALID = {
    "classes": _is_names,
    "image_shape": lambda value: _is_shape(value) and math.prod(value) * len(value) > 0,
    "image_type": lambda value: value in ("uint8", "float32"),
    "mean": _is_numbers,
    "std": _is_positive,
    "crop": lambda value: _is_number(value) and 0 < value <= 1,
    "label_shape": _is_shape,
    "label_kind": _is_label_kind,
    "label_mean": _is_numbers,
    "label_std": _is_positive,
}
