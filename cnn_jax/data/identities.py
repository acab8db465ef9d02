"""The user's own pictures of people, in one folder per person.

The people in the test split are not in the training split.
"""

import hashlib
from collections.abc import Iterable
from functools import partial
from typing import Annotated

import numpy as np

from cnn_jax.core.errors import UserError
from cnn_jax.core.paths import Place
from cnn_jax.core.ranges import Channels, Fraction, Range, Side
from cnn_jax.data import digits
from cnn_jax.data.dataset import Dataset, assemble
from cnn_jax.data.folder import Labeled, files, find, sort_classes
from cnn_jax.data.images import check_shape, sides
from cnn_jax.data.source import Source
from cnn_jax.data.splits import Arrays, Records
from cnn_jax.data.subset import STORED, Stored, Subset


def load(
    stored: Stored = STORED,
    *,
    dir: Place = "",
    image_size: tuple[Side, ...] = (64,),
    channels: Channels = 3,
    test_identities: Annotated[int, Range(least=2)] | Fraction = 0.25,
) -> Dataset:
    """Returns the pictures in `dir/<identity>/*`, or in `dir/<split>/<identity>/*`.

    An identity is a person, or any other thing whose pictures are compared. Without
    `dir`, the data are the handwritten digits, and the digits 0 to 9 are ten
    identities.

    No identity is in both splits. `Dataset.classes` are the training identities, and
    `Dataset.unseen` are the test identities. The labels of the test identities follow
    the labels of the training identities. Splits are folders as in `folder.load`.
    Without such folders, a hash of the names chooses the test identities. If
    `test_identities` is a number of identities, a new identity moves at most one other
    identity to another split. Pictures are not cropped at random in training, because
    pictures of faces are aligned.

    Args:
      stored: how many pictures are used, and whether they are held in memory.
      dir, channels: see `folder.load`.
      image_size: a side in pixels, or (height, width). Pictures with another aspect
        ratio are cropped at both ends of their longer side.
      test_identities: the number of test identities, or their share of all identities
        if the value is below 1. Ignored if there is a test split.

    Raises:
      UserError: see `folder.load`; also if there are fewer than two training
        identities, if an identity is in both splits, or if the test split has fewer
        than two identities or no identity with two pictures.
    """
    size = sides(image_size)
    check_shape(min(size), channels)
    if not dir:
        return _digits(size, channels, test_identities, stored)
    train, test = find(dir, partial(split, test_identities=test_identities))
    classes, unseen = (
        sort_classes({name for name, _ in pictures}) for pictures in (train, test)
    )
    if both := set(classes) & set(unseen):
        raise UserError(
            f"identity '{min(both)}' is in the training and in the test split of "
            f"{dir}: remove the identity from one of the splits."
        )
    shape = (*size, channels)
    names = [*classes, *unseen]
    dataset = assemble(
        Records(files(train, names), shape),
        Records(files(test, names), shape),
        classes=classes,
        unseen=unseen,
        subset=stored,
        in_memory=stored.in_memory,
    )
    return comparable(dataset, dir)


SOURCE = Source("identities", load, takes=Stored, embedded=digits.SIDE)


def comparable(dataset: Dataset, dir: str) -> Dataset:
    """Returns the data set unchanged, after a check that test pictures can be compared.

    Args:
      dir: the name of the data in errors.

    Raises:
      UserError: no two test pictures show the same identity, or all test pictures do.
    """
    labels = dataset.splits["test"].known_labels()
    assert labels is not None  # labels of folders and digits are known
    _, counts = np.unique(labels, return_counts=True)
    if counts.max() < 2:
        raise UserError(
            f"no identity in the test split of {dir} has two pictures, so the test "
            "cannot compare pictures of the same identity: use more test pictures."
        )
    if len(counts) < 2:
        raise UserError(
            f"the test split of {dir} has pictures of only one identity, so the test "
            "cannot compare different identities: use more test pictures."
        )
    return dataset


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
    order = [*sorted(set(names) - set(unseen)), *unseen]
    labels = np.array([order.index(name) for name in names], np.int32)[labels]
    known = labels < len(order) - len(unseen)
    dataset = assemble(
        Arrays(pictures[known], labels[known]),
        Arrays(pictures[~known], labels[~known]),
        classes=order[: -len(unseen)],
        unseen=unseen,
        subset=subset,
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
