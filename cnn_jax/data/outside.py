"""Data sources from outside of the package, and what is checked of their data."""

import functools
from dataclasses import replace
from typing import Any

import numpy as np

from cnn_jax.core import imports
from cnn_jax.core.errors import UserError
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.source import Source
from cnn_jax.data.splits import Arrays

IMAGES = "uint8 [n, height, width, channels], or [n, frames, height, width, channels]"


def source(name: str, found: Any) -> Source:
    """Returns what an import path leads to as a source whose data are checked.

    Args:
      name: the import path.
      found: a `Source`, or a function that returns a `Dataset`.

    Raises:
      UserError: it is neither.
    """
    if not callable(found) and not isinstance(found, Source):
        raise UserError(
            f"data set '{name}' is {found!r}; it must be a Source, or a function that "
            "returns a Dataset."
        )
    made = found if isinstance(found, Source) else Source(name, found)

    @functools.wraps(made.loader)
    def checked(*args: Any, **options: Any) -> Dataset:
        with imports.called("data set", name):
            dataset = made.loader(*args, **options)
        check(name, dataset)
        return dataset

    return replace(made, loader=checked)


def check(name: str, dataset: Any) -> None:
    """Raises UserError unless a data set from outside is what training takes.

    Args:
      name: what errors call the data set.
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
            f"data set '{name}': mean and std have {len(dataset.mean)} and "
            f"{len(dataset.std)} entries; each must have one for each of the "
            f"{channels} channels."
        )
    for role, split in dataset.splits.items():
        where = f"data set '{name}', split '{role}'"
        if len(split) == 0:
            raise UserError(f"{where}: there are no examples.")
        if isinstance(split, Arrays):
            _check_arrays(where, split, dataset, role)


def _check_arrays(where: str, split: Arrays, dataset: Dataset, role: str) -> None:
    kind, images, labels = dataset.labels, split.images, split.labels
    if not (_is(images, np.uint8) and images.ndim in (4, 5)):
        raise UserError(f"{where}: images are {_shown(images)}; they must be {IMAGES}.")
    if split.image_shape != dataset.image_shape:
        raise UserError(
            f"{where}: images have the shape {split.image_shape}; image_shape says "
            f"{dataset.image_shape}."
        )
    fits = _is(labels, kind.dtype) and len(labels) == len(images)
    if not fits or not kind.fits(split.label_shape, split.image_shape):
        raise UserError(
            f"{where}: labels are {_shown(labels)}; {kind.described} must be "
            f"{kind.dtype} {kind.expected}, for the {len(images)} images."
        )
    if split.label_shape != dataset.label_shape:
        raise UserError(
            f"{where}: labels have the shape {split.label_shape}; label_shape says "
            f"{dataset.label_shape}."
        )
    unseen = dataset.unseen if role != "train" else ()
    kind.check_range(labels, len(dataset.classes) + len(unseen), role)


def _is(array: Any, dtype: Any) -> bool:
    return isinstance(array, np.ndarray) and array.ndim > 0 and array.dtype == dtype


def _shown(array: Any) -> str:
    if isinstance(array, np.ndarray):
        return f"{array.dtype} {list(array.shape)}"
    return f"of type {type(array).__name__}"
