"""Shrinks a config to a smoke run: a few steps on a few embedded examples."""

import typing
from collections.abc import Mapping
from typing import Any

from cnn_jax import data
from cnn_jax.core import ranges
from cnn_jax.data import augmentations

LARGEST = 96  # largest side of an image, in pixels
EXAMPLES = {"train_examples": 40, "val_examples": 8, "test_examples": 20}
VAL_SHARE = 0.2
# Values that depend on the number of classes.
OF_CLASSES = {"task.class_weights", "model.num_classes"}


def smoke(values: dict[str, Any], name: str | None = None) -> dict[str, Any]:
    """Returns the values of a config, shrunk to a few steps on a few examples.

    The model, the task and the optimizer stay. If a data source of this package needs
    files, embedded data with the same kind of labels and the same number of channels
    (three if images are neither gray nor RGB) replaces it, and the keys in
    `OF_CLASSES` are left out. Images keep their sizes, up to `LARGEST` pixels per side.
    (Some networks for 224x224 pixels need at least 67 or 75 pixels.)

    Args:
      values: the config file's values, as nested dicts.
      name: the data source on the command line; None if the command line has no
        `data.name`.
    """
    given = values["data"]
    source, set_name = data.source(given["name"])
    used, title, size = source, given["name"], source.embedded
    more: dict[str, Any] = {}
    stand_in = source.stand_in_for(*set_name)
    if stand_in:
        used, title = data.SOURCES[stand_in.name], stand_in.name
        size, more = stand_in.image_size, dict(stand_in.options)
        if given.get("channels") not in (1, 3):
            more["channels"] = stand_in.channels
    known = used.options() | augmentations.OPTIONS
    keys = known.keys() - (used.places() if size else ())
    small = {"name": title, "batch_size": min(given.get("batch_size", 8), 8)}
    small |= {key: count for key, count in EXAMPLES.items() if key in keys}
    if "val" in keys and "val" in given:
        small["val"] = _small_val(given["val"], train=small.get("train_examples"))
    if name:
        replacing, _ = data.source(name)
        known, size = replacing.options(), replacing.embedded or size
    size = given.get("image_size") or size
    if size and "image_size" in known:
        small["image_size"] = _small(size, known["image_size"].hint)
    if stand_in:
        values = without(values, OF_CLASSES)
    train = {key: value for key, value in values["train"].items() if key[0] == "l"}
    if sizes := values["train"].get("image_sizes"):
        train["image_sizes"] = tuple(min(side, LARGEST) for side in sizes)
    return values | {
        "data": {key: given[key] for key in keys & given.keys()} | more | small,
        "train": train | {"steps": 4},
        "eval": {"every_steps": 2},
        "checkpoint": {},
    }


def without(values: Mapping[str, Any], keys: set[str]) -> dict[str, Any]:
    """Returns the values of a config without some keys.

    Args:
      values: the values, as nested dicts.
      keys: the keys to leave out, such as "model.num_classes".
    """
    return {
        group: {k: v for k, v in given.items() if f"{group}.{k}" not in keys}
        if isinstance(given, Mapping)
        else given
        for group, given in values.items()
    }


def _small_val(val: Any, train: int | None) -> Any:
    """Returns the value of `data.val` in a smoke run.

    Embedded data have no splits with names. Generated data have only the few training
    examples of a smoke run.

    Args:
      val: the value in the config.
      train: the number of training examples of the smoke run; None: not limited.
    """
    too_many = type(val) is int and train is not None and val >= train
    return VAL_SHARE if isinstance(val, str) or too_many else val


def _small(size: int | tuple[int, ...], hint: Any) -> int | tuple[int, ...]:
    """Returns the image size of a smoke run: the longer side, but at most `LARGEST`.

    Args:
      size: the config's image size: one number, or a tuple.
      hint: the type of the key `data.image_size`. The result is a tuple if this type
        is a tuple, and otherwise a number.
    """
    side = min(max(size) if isinstance(size, tuple) else size, LARGEST)
    plain = ranges.plain(hint)
    kinds = {typing.get_origin(kind) for kind in (plain, *typing.get_args(plain))}
    return (side,) if tuple in kinds else side
