"""The user's own pictures of people, in one folder per person.

The people in the test split are not in the training split.
"""

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Annotated

import numpy as np

from cnn_jax.core.errors import UserError
from cnn_jax.core.paths import Place
from cnn_jax.core.ranges import Channels, Fraction, Range, Side
from cnn_jax.data import digits
from cnn_jax.data.dataset import Dataset, assemble
from cnn_jax.data.folder import (
    TEST_SPLIT,
    Labeled,
    Layout,
    files,
    find,
    sort_classes,
)
from cnn_jax.data.images import check_shape, sides
from cnn_jax.data.roles import Roles
from cnn_jax.data.source import Source
from cnn_jax.data.splits import ROLES, Arrays, Records
from cnn_jax.data.subset import PICTURES, Pictures, Subset


def load(
    stored: Pictures = PICTURES,
    *,
    dir: Place = "",
    image_size: tuple[Side, ...] = (64,),
    channels: Channels = 3,
    test_identities: Annotated[int, Range(least=2)] | Fraction = 0.25,
    test_split: tuple[str, ...] = TEST_SPLIT,
) -> Dataset:
    """Returns the pictures in `dir/<identity>/*`, or in `dir/<split>/<identity>/*`.

    An identity is a person, or any other thing whose pictures are compared. Without
    `dir`, the data are the handwritten digits, and the digits 0 to 9 are ten
    identities.

    No identity is in two splits. `Dataset.classes` are the training identities, and
    `Dataset.unseen` are the validation identities, then the test identities. Their
    labels follow the labels of the training identities. Splits are folders as in
    `folder.load`.
    Without such folders, a hash of the names chooses the test identities. If
    `test_identities` is a number of identities, a new identity moves at most one other
    identity to another split.

    Args:
      stored: which pictures are used, where they are held, and how they are cropped.
        Pictures of faces are aligned, so random boxes rarely help.
      dir, channels: see `folder.load`.
      image_size: a side in pixels, or (height, width). Pictures with another aspect
        ratio are cropped at both ends of their longer side.
      test_identities: the number of test identities, or their share of all identities
        if the value is below 1. Ignored if there is a test split.
      test_split: see `folder.load`.

    Raises:
      UserError: see `folder.load`; also if there are fewer than two training
        identities, if an identity is in two splits, or if the validation or the test
        split has fewer than two identities or no identity with two pictures.
    """
    size = sides(image_size)
    check_shape(min(size), channels)
    if not dir:
        return _digits(size, channels, test_identities, stored)
    divide = partial(split, test_identities=test_identities)
    parts = find(dir, divide, Layout(stored, test_split=test_split))
    parts = _validated(parts, stored)
    names = {
        role: sort_classes({name for name, _ in found}) for role, found in parts.items()
    }
    for first, second in itertools.combinations(names, 2):
        if both := set(names[first]) & set(names[second]):
            raise UserError(
                f"identity '{min(both)}' is in the {ROLES[first]} and in the "
                f"{ROLES[second]} split of {dir}: remove it from one of the splits."
            )
    classes, unseen = names.pop("train"), list(itertools.chain(*names.values()))
    shape = (*size, channels)
    splits = {
        role: Records(files(found, [*classes, *unseen]), shape, **stored.transform())
        for role, found in parts.items()
    }
    dataset = assemble(
        stored.settled().of(splits),
        classes=classes,
        unseen=unseen,
        in_memory=stored.in_memory,
        root=dir,
    )
    return comparable(dataset, dir)


SOURCE = Source("identities", load, takes=Pictures, embedded=digits.SIDE)


def comparable(dataset: Dataset, dir: str) -> Dataset:
    """Returns the data set unchanged, after a check that pictures can be compared.

    Args:
      dir: the name of the data in errors.

    Raises:
      UserError: in the validation or the test split, no two pictures show the same
        identity, or all pictures do.
    """
    for role in dataset.splits.keys() - {"train"}:
        labels = dataset.splits[role].known_labels()
        assert labels is not None  # labels of folders and digits are known
        _, counts = np.unique(labels, return_counts=True)
        if counts.max() < 2:
            raise UserError(
                f"no identity in the {ROLES[role]} split of {dir} has two pictures, so "
                "no pictures of the same identity can be compared: use more pictures."
            )
        if len(counts) < 2:
            raise UserError(
                f"the {ROLES[role]} split of {dir} has pictures of only one identity, "
                "so no different identities can be compared: use more pictures."
            )
    return dataset


def _validated(parts: dict[str, Labeled], roles: Roles) -> dict[str, Labeled]:
    """Returns the pictures of each role, after moving identities to validation.

    Args:
      parts: the pictures of "train" and "test" and, if the data set has a validation
        split, of "val".
      roles: the config keys that choose the validation split.
    """
    if "val" in parts and roles.fold is None:
        return parts
    pool = parts["train"] + parts.get("val", [])
    kept, chosen = roles.divide(len(pool), groups=[name for name, _ in pool])
    parts["train"] = [pool[i] for i in kept]
    if len(chosen):
        parts["val"] = [pool[i] for i in chosen]
    return parts


def _digits(
    size: tuple[int, int], channels: int, test_identities: int | float, subset: Subset
) -> Dataset:
    """Returns all handwritten digits as a data set of ten identities.

    Some of the digits 0 to 9 are for training, and the others are for testing.

    Args:
      size: (height, width) of the images.
      channels, test_identities: see `load`.
      subset: how many examples are used, and which ones.
    """
    if size[0] != size[1]:
        raise UserError(
            f"data.image_size={size} must be square, because the images of the digits "
            "are square."
        )
    splits = digits.load(image_size=size[0], channels=channels).arrays.values()
    pictures = np.concatenate([split.images for split in splits])
    labels = np.concatenate([split.labels for split in splits])
    names = [str(digit) for digit in range(10)]
    unseen = sorted(tested(names, test_identities))
    kept = sorted(set(names) - set(unseen))
    (rest,) = np.nonzero(np.isin(labels, [int(name) for name in kept]))
    _, chosen = subset.divide(len(rest), groups=labels[rest].tolist())
    validating = sorted({names[label] for label in labels[rest[chosen]]})
    kept = sorted(set(kept) - set(validating))
    if len(kept) < 2:
        raise UserError(
            f"config.data.val={subset.val} leaves fewer than two identities to train "
            "on: set it lower."
        )
    order = [*kept, *validating, *unseen]
    labels = np.array([order.index(name) for name in names], np.int32)[labels]

    def part(names: Sequence[str]) -> Arrays:
        own = np.isin(labels, [order.index(name) for name in names])
        return Arrays(pictures[own], labels[own])

    parts = {"train": part(kept), "test": part(unseen)}
    if validating:
        parts["val"] = part(validating)
    dataset = assemble(
        subset.settled().of(parts),
        classes=kept,
        unseen=order[len(kept) :],
        in_memory=True,
    )
    return comparable(dataset, "the digits")


def split(pictures: Labeled, test_identities: int | float) -> tuple[Labeled, Labeled]:
    """Divides pictures into pictures of training identities and of test identities.

    Args:
      pictures: all pictures, as (identity, path).
      test_identities: see `load`.

    Raises:
      UserError: see `tested`.
    """
    unseen = tested({name for name, _ in pictures}, test_identities)
    return (
        [(name, path) for name, path in pictures if name not in unseen],
        [(name, path) for name, path in pictures if name in unseen],
    )


def tested(names: Iterable[str], count: int | float) -> set[str]:
    """Returns the names of the test identities, chosen by a hash of the names.

    Args:
      names: the names of all identities.
      count: the number of test identities, or their share of all identities if the
        value is below 1.

    Raises:
      UserError: there are fewer than two training identities or fewer than two test
        identities.
    """
    order = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    given = count
    if isinstance(count, float):
        count = max(2, round(count * len(order)))
    if not 2 <= count <= len(order) - 2:
        raise UserError(
            f"data.test_identities={given} does not fit the {len(order)} identities: "
            "the training and the test split need at least two identities each."
        )
    return set(order[:count])
