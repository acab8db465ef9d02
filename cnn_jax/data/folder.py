"""The user's own pictures, in one folder per class."""

import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from cnn_jax.core import names
from cnn_jax.core.errors import DataWarning, UserError
from cnn_jax.core.paths import Place
from cnn_jax.core.ranges import Channels, Fraction, Side
from cnn_jax.data.dataset import Dataset, assemble
from cnn_jax.data.images import check_shape
from cnn_jax.data.source import DIGITS, Source
from cnn_jax.data.splits import Encoded, Records
from cnn_jax.data.subset import STORED, Stored
from cnn_jax.data.walk import PICTURES, Kind, folders, in_both, once

TEST_NAMES = ("test", "val", "validation", "valid")  # the first existing name is used

Labeled = list[tuple[str, str]]  # (class, path of a picture)
# (class, path of a picture), by the picture's identity on the disk
Found = dict[Hashable, tuple[str, str]]


def load(
    stored: Stored = STORED,
    *,
    dir: Place = "",
    image_size: Side = 64,
    channels: Channels = 3,
    test_fraction: Fraction = 0.2,
) -> Dataset:
    """Returns the pictures in `dir/<class>/*`, or `dir/<split>/<class>/*`, to classify.

    Splits are the folders `train` and `test` (or `val`, `validation`, `valid`). Without
    such folders, the share `test_fraction` of every class is for testing. Which
    pictures these are depends only on the file names. Classes are sorted by name, or by
    value if all class names are numbers. Hidden files, files that are not pictures, and
    folders inside class folders are ignored. A file counts once, even if several links
    lead to it.

    Args:
      stored: how many pictures are used, and whether they are held in memory.
      dir: the folder.
      image_size: pixels on a side; pictures are scaled and cropped to a square.
      channels: 3 for RGB, 1 for gray.
      test_fraction: the share of every class that is for testing, between 0 and 1;
        ignored if there is a test split.

    Raises:
      UserError: the folder is missing or has no such pictures, a file is in two classes
        or in both splits, a link is broken, or a picture cannot be read. Unless
        pictures are held in memory, unreadable pictures are found during training.
    """
    check_shape(image_size, channels)
    classes, train, test = labeled(dir, test_fraction)
    shape = (image_size, image_size, channels)
    return assemble(
        Records(train, shape),
        Records(test, shape),
        classes=classes,
        subset=stored,
        in_memory=stored.in_memory,
        random_crop=True,
    )


SOURCE = Source("folder", load, takes=Stored, stand_in=DIGITS, perturbed=True)


def labeled(
    dir: str, test_fraction: float, kind: Kind = PICTURES
) -> tuple[list[str], "Files", "Files"]:
    """Returns the class names in a folder, and readers of the training and test files.

    Args:
      dir: the folder, with the layout that `load` describes.
      test_fraction: see `load`.
      kind: the kind of files or folders to find.

    Raises:
      UserError: see `load`.
    """
    split = partial(divided, test_fraction=test_fraction, kind=kind)
    train, test = find(dir, split, kind)
    classes = sort_classes({name for name, _ in train})
    for name, path in test:
        if name not in classes:
            raise UserError(
                f"class '{name}' ({Path(path).parent}) has no {kind.name} to train on: "
                f"add {kind.name} to the training split, or remove the class."
            )
    return classes, files(train, classes), files(test, classes)


def find(
    dir: str,
    split: Callable[[Labeled], tuple[Labeled, Labeled]],
    kind: Kind = PICTURES,
) -> tuple[Labeled, Labeled]:
    """Returns the training files and the test files in a folder, with their classes.

    If two folders of one class spell the class name differently, the test files get the
    spelling of the training split.

    Args:
      dir: the folder, with the layout that `load` describes.
      split: a function that divides the files into training and test files; it is
        called unless both splits have a folder.
      kind: the kind of files or folders to find.

    Returns:
      Two lists of (class, path).
    """
    root = existing(dir, holds=kind.name)
    named = {path.name.lower(): path for path in folders(root)}
    inner = folders(named["train"]) if "train" in named else []
    if all(map(kind.is_one, inner)):  # then a folder "train" is a class
        return split(list(_in_classes(root, kind).values()))
    train = _in_classes(named["train"], kind)
    tested = next((named[name] for name in TEST_NAMES if name in named), None)
    if not tested:
        return split(list(train.values()))
    warn_unread([named["train"], tested])
    test = _in_classes(tested, kind, allow_empty=True)
    for both in train.keys() & test.keys():
        raise in_both(train[both][1], test[both][1])
    spelled = {names.key(name): name for name, _ in train.values()}
    return list(train.values()), [
        (spelled.get(names.key(name), name), path) for name, path in test.values()
    ]


def warn_unread(splits: Sequence[Path]) -> None:
    """Warns of folders that are named like a split but are not read.

    The function searches in the folders that contain `splits`.

    Args:
      splits: the folders of the splits that are read.
    """
    for place in dict.fromkeys(folder.parent for folder in splits):
        for path in folders(place):
            if path.name.lower() in ("train", *TEST_NAMES) and path not in splits:
                read = " and ".join(dict.fromkeys(map(str, splits)))
                text = (
                    f"{path} is not read: the training and the test data come from "
                    f"{read}."
                )
                warnings.warn(DataWarning(text), stacklevel=2)


def existing(dir: str, option: str = "dir", holds: str = "pictures") -> Path:
    """Returns the folder that a config key of the group `data` names.

    Args:
      dir: the value of the key.
      option: the name of the key, without "data.", for errors.
      holds: the expected content of the folder in words, for errors.

    Raises:
      UserError: the key is not set, or the folder does not exist.
    """
    if not dir:
        raise UserError(
            f"data.{option} is not set: set data.{option} to a folder of {holds}."
        )
    root = Path(dir).expanduser()
    if not root.is_dir():
        missing = "is not a folder" if root.exists() else "does not exist"
        raise UserError(
            f"data.{option} is {root}, which {missing}: set data.{option} to a folder "
            f"of {holds}."
        )
    return root


def sort_classes(names: set[str]) -> list[str]:
    """Returns the class names in sorted order.

    If all names are whole numbers, they are sorted by value: "2" before "10".
    """
    numbers = all(name.isdecimal() for name in names)
    return sorted(names, key=lambda name: (int(name) if numbers else 0, name))


def _in_classes(root: Path, kind: Kind, allow_empty: bool = False) -> Found:
    """Returns the files in class folders as {identity on the disk: (class, path)}.

    Args:
      root: the folder that contains the class folders.
      kind: the kind of files or folders to find.
      allow_empty: whether a class folder may have no files.

    Raises:
      UserError: there are fewer than two classes, there are no files, a class folder is
        empty and may not be, or a file is in two classes.
    """
    found: Found = {}
    named = folders(root)
    _check_spelling(named)
    for folder in named:
        name, paths = names.text(folder.name), once(kind.found(folder), kind)
        if not paths and not allow_empty:
            raise UserError(
                f"class folder {folder} holds no {kind.name} ({kind.stored}): add "
                f"{kind.name}, or remove the folder.{_deeper(folder, kind)}"
            )
        for both in found.keys() & paths.keys():
            raise UserError(
                f"{found[both][1]} and {paths[both]} are the same file in two classes: "
                "remove the file from one of the classes."
            )
        found |= {key: (name, str(path)) for key, path in paths.items()}
    if not found:
        loose = f", not directly into {root}" if any(kind.found(root)) else ""
        raise UserError(
            f"{root} holds no {kind.name} in class folders: put the {kind.name} into "
            f"{root / '<class>'}{loose}."
        )
    if len(named) < 2:
        raise UserError(
            f"{root} holds only one class, '{named[0].name}'; there must be at least "
            "two."
        )
    return found


def _check_spelling(named: Sequence[Path]) -> None:
    """Raises `UserError` if two folders have names that look the same."""
    known: dict[str, Path] = {}
    for folder in named:
        other = known.setdefault(names.key(folder.name), folder)
        if other is not folder:
            raise UserError(
                f"{folder.parent} has two folders with the same name, {other.name!a} "
                f"and {folder.name!a}, in different Unicode normal forms: move their "
                "content into one folder."
            )


def _deeper(folder: Path, kind: Kind) -> str:
    """Returns a hint for the error about a class folder without files.

    If the subfolders of the class folder contain such files, the hint says so.
    Otherwise the hint is empty.

    Args:
      folder: the class folder.
      kind: the kind of files or folders to find.
    """
    if any(any(kind.found(inner)) for inner in folders(folder)):
        return (
            f" The subfolders of {folder} hold {kind.name}: set data.dir to {folder} "
            "or, if this folder is a split, name the folder train or test."
        )
    return ""


def divided(
    found: Labeled, test_fraction: float, kind: Kind = PICTURES
) -> tuple[Labeled, Labeled]:
    """Divides the files of every class into training files and test files.

    The choice depends only on a hash of the file names.

    Args:
      found: all files, as (class, path).
      test_fraction: the share of the files of a class that is for testing.
      kind: the kind of the files, for errors.

    Raises:
      UserError: no class has two files, so there is nothing to test on.
    """
    by_class: dict[str, list[str]] = {}
    for name, path in found:
        by_class.setdefault(name, []).append(path)
    train, test = [], []
    for name, paths in by_class.items():
        paths.sort(key=names.digest)
        count = min(max(1, round(len(paths) * test_fraction)), len(paths) - 1)
        test += [(name, path) for path in sorted(paths[:count])]
        train += [(name, path) for path in sorted(paths[count:])]
    if not test:
        raise UserError(
            f"no class has two or more {kind.name}, so no {kind.name} are left to test "
            f"on: add {kind.name}."
        )
    return train, test


@dataclass(frozen=True)
class Files:
    """A reader of files with one class each, such as pictures.

    Attributes:
      paths: the paths of the files.
      targets: the class of each file, int32 [n].
    """

    paths: Sequence[str]
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.paths)

    def labels(self) -> np.ndarray:
        return self.targets

    def read(self, indices: Sequence[int]) -> Iterator[Encoded]:
        for i in indices:
            yield Encoded(self.paths[i], int(self.targets[i]), self.paths[i])


def files(found: Labeled, classes: list[str]) -> Files:
    """Returns a reader of files with one class each.

    Args:
      found: the files, as (class, path).
      classes: the class names; the label of a file is the index of its class in this
        list.
    """
    number = {name: i for i, name in enumerate(classes)}
    targets = np.array([number[name] for name, _ in found], np.int32)
    return Files([path for _, path in found], targets)
