"""The user's own pictures of people, one folder each: trained on some, tested on
others."""

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
    """Pictures in `dir/<identity>/*`, or `dir/<split>/<identity>/*`, to recognize.

    Without a folder they are the digits: 0 to 9 as ten identities.

    No identity is in both splits: `Dataset.classes` are those of the training split,
    and `Dataset.unseen` those of the test split, whose labels follow. Splits are
    folders as those of `folder.load`; without them `test_identities` are chosen by a
    hash of their names, so that an identity more moves at most one other where they are
    a number. While training, pictures are not cropped at random: those of faces are
    aligned.

    Args:
      stored: how many pictures are used, and where they are held.
      dir, channels: see `folder.load`.
      image_size: a side in pixels, or (height, width). Pictures of another shape lose
        as much of their longer side as that takes, the same on both ends.
      test_identities: how many, or, below 1, which share of all. Not used where there
        is a test split.

    Raises `UserError` as `folder.load`, for fewer than two identities to train on, an
    identity in both splits, and a test split without two pictures of one identity or
    without two identities.
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
            f"'{min(both)}' is in the training and in the test split of {dir}; those "
            "who are tested must not be trained on."
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
    """The data set, if its test split has two pictures of one identity, and two of
    different ones.

    Raises `UserError` otherwise.
    """
    labels = dataset.splits["test"].known_labels()
    assert labels is not None  # folders and digits have them
    _, counts = np.unique(labels, return_counts=True)
    if counts.max() < 2:
        raise UserError(
            f"nobody in the test split of {dir} has two pictures, so none can be "
            "compared with another."
        )
    if len(counts) < 2:
        raise UserError(
            f"the test split of {dir} has pictures of one identity alone, so none can "
            "be compared with another's."
        )
    return dataset


def _digits(
    size: tuple[int, int], channels: int, test_identities: int | float, subset: Subset
) -> Dataset:
    """All digits, those of some classes to train on and of the others to test on."""
    if size[0] != size[1]:
        raise UserError(f"data.image_size is {size}: the digits are square.")
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
    """Those of the identities to train on, and of those to test on.

    Raises `UserError` as `tested`.
    """
    unseen = tested({name for name, _ in pictures}, test_identities)
    return (
        [(name, path) for name, path in pictures if name not in unseen],
        [(name, path) for name, path in pictures if name in unseen],
    )


def tested(names: Iterable[str], count: int | float) -> set[str]:
    """The identities to test on, by a hash of their names.

    Args:
      count: how many or, below 1, which share.

    Raises `UserError` unless at least two identities are left to train on and two to
    test on.
    """
    order = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    given = count
    if isinstance(count, float):
        count = max(2, round(count * len(order)))
    if not 2 <= count <= len(order) - 2:
        raise UserError(
            f"data.test_identities={given} of {len(order)} identities: at "
            "least two must be tested and two trained on."
        )
    return set(order[:count])
