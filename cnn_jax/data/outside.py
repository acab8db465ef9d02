"""Data sources that the user imports, and the checks of their data."""

import functools
import inspect
import typing
from dataclasses import replace
from typing import Any

from cnn_jax.core import imports
from cnn_jax.core.errors import UserError
from cnn_jax.core.keys import keywords
from cnn_jax.data import array_checks
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.roles import Roles
from cnn_jax.data.source import Source
from cnn_jax.data.splits import ROLES, Arrays


def source(name: str, found: Any) -> Source:
    """Returns the object at an import path as a `Source` with checks of its data.

    Args:
      name: the import path.
      found: the object: a `Source`, or a function with the return type `Dataset`. Other
        functions are refused and not called, because the config of another person may
        name any installed function.

    Raises:
      UserError: the object is neither a `Source` nor such a function.
    """
    if not isinstance(found, Source) and not _returns_data(found):
        raise UserError(
            f"data set '{name}' is {found!r}; it must be a Source, or a function with "
            "the return type Dataset: def load(...) -> Dataset."
        )
    made = found if isinstance(found, Source) else Source(name, found)

    @functools.wraps(made.loader)
    def checked(*args: Any, **options: Any) -> Dataset:
        with imports.called("data set", name):
            dataset = made.loader(*args, **options)
        check(name, dataset)
        return dataset

    taken = keywords(made.loader).keys() & keywords(Roles).keys()
    if made.takes or taken:  # the user's code chooses the validation split
        return replace(made, loader=checked)

    @functools.wraps(made.loader)
    def divided(roles: Roles, *args: Any, **options: Any) -> Dataset:
        dataset = checked(*args, **options)
        given = dataset.splits
        own = {"train": given["train"], "test": given["test"]}
        if (name := roles.own("val")) is not None and name in given:
            own["val"] = given[name]
        further = {role: split for role, split in given.items() if role not in ROLES}
        return replace(dataset, splits=roles.of(own) | further)

    return replace(made, loader=divided, takes=Roles)


def _returns_data(found: Any) -> bool:
    """Returns whether a function's type hints state that it returns a `Dataset`."""
    try:
        return inspect.isfunction(found) and (
            typing.get_type_hints(found).get("return") is Dataset
        )
    except NameError:  # a hint that cannot be evaluated
        return False


def check(name: str, dataset: Any) -> None:
    """Raises `UserError` if training cannot use the data set of the user's code.

    Args:
      name: the data set's name in errors.
      dataset: the object that the user's code returned.
    """
    if not isinstance(dataset, Dataset):
        raise UserError(
            f"data set '{name}' returned {type(dataset).__name__}; it must return a "
            "cnn_jax.data.dataset.Dataset."
        )
    if missing := {"train", "test"} - dataset.splits.keys():
        raise UserError(
            f"data set '{name}' has no split '{min(missing)}'; it must have 'train' "
            "and 'test'."
        )
    channels = dataset.image_shape[-1]
    if not len(dataset.mean) == len(dataset.std) == channels:
        raise UserError(
            f"data set '{name}': mean has {len(dataset.mean)} entries and std has "
            f"{len(dataset.std)} entries; both must have {channels} entries, one per "
            "channel."
        )
    for role, split in dataset.splits.items():
        where = f"data set '{name}', split '{role}'"
        if len(split) == 0:
            raise UserError(
                f"{where}: there are no examples; there must be at least one."
            )
        if isinstance(split, Arrays):
            _check_arrays(where, split, dataset, role)


def _check_arrays(where: str, split: Arrays, dataset: Dataset, role: str) -> None:
    array_checks.check(where, split, dataset.labels)
    if split.image_shape != dataset.image_shape:
        raise UserError(
            f"{where}: images have the shape {split.image_shape}, but image_shape of "
            f"the Dataset is {dataset.image_shape}: use the same shape in both."
        )
    if split.label_shape != dataset.label_shape:
        raise UserError(
            f"{where}: labels have the shape {split.label_shape}, but label_shape of "
            f"the Dataset is {dataset.label_shape}: use the same shape in both."
        )
    unseen = dataset.unseen if role != "train" else ()
    dataset.labels.check_range(split.labels, len(dataset.classes) + len(unseen), role)
