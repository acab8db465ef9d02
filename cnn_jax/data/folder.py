"""The user's own pictures, in one folder per class."""

import itertools
import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnn_jax.core import names
from cnn_jax.core.errors import DataWarning, UserError
from cnn_jax.core.paths import Place
from cnn_jax.core.ranges import Bands, Fraction, Side
from cnn_jax.data.dataset import Dataset, assemble
from cnn_jax.data.images import check_shape
from cnn_jax.data.roles import Roles
from cnn_jax.data.source import BANDED_FILES, DIGITS, Source
from cnn_jax.data.splits import Encoded, Records
from cnn_jax.data.subset import RANGED_PICTURES, RangedPictures
from cnn_jax.data.walk import BANDED, PICTURES, Kind, folders, in_both, once

# The names of the folders of splits, in lower case; the first existing one is used.
TRAIN, TEST_SPLIT, VAL_NAMES = "train", ("test",), ("val", "validation", "valid")

Labeled = list[tuple[str, str]]  # (class, path of a picture)
# (class, path of a picture), by the picture's identity on the disk
Found = dict[Hashable, tuple[str, str]]


def load(
    stored: RangedPictures = RANGED_PICTURES,
    *,
    dir: Place = "",
    image_size: Side = 64,
    channels: Bands = 3,
    test_fraction: Fraction = 0.2,
    test_split: tuple[str, ...] = TEST_SPLIT,
) -> Dataset:
    """Returns the pictures in `dir/<class>/*`, or `dir/<split>/<class>/*`, to classify.

    Splits are the folders `train`, `val` (or `validation`, `valid`) and `test`. If
    there are no split folders, or only `train`, the share `test_fraction` of every
    class is for testing. Which pictures these are depends only on the file names.
    Classes are sorted by name, or by value if all class names are numbers. Hidden
    files, files that are not pictures, and folders inside class folders are ignored. A
    file counts once, even if several links lead to it.

    Args:
      stored: which pictures are used, where they are held, and how they are cropped.
      dir: the folder.
      image_size: pixels on a side; pictures are scaled and cropped to a square.
      channels: 3 for RGB, 1 for gray; other numbers as in `bands`.
      test_fraction: the share of every class that is for testing, between 0 and 1;
        ignored if there is a test split.
      test_split: the names that the folder of the test split may have; the first
        existing folder is used.

    Raises:
      UserError: the folder is missing or has no such pictures, a file is in two classes
        or in two splits, a link is broken, there is a folder `val` but no folder
        `test`, or a picture cannot be read. Unless pictures are held in memory,
        unreadable pictures are found during training.
    """
    check_shape(image_size)
    classes, parts = labeled(dir, Layout(stored, test_fraction, test_split), BANDED)
    shape = (image_size, image_size, channels)
    transform = stored.transform()
    splits = {role: Records(f, shape, **transform) for role, f in parts.items()}
    return assemble(
        stored.of(splits),
        classes=classes,
        in_memory=stored.in_memory,
        root=dir,
    )


SOURCE = Source(
    "folder",
    load,
    takes=RangedPictures,
    stand_in=DIGITS,
    files=BANDED_FILES,
    perturbed=True,
)


class Layout(NamedTuple):
    """Where the splits of a folder are.

    Attributes:
      roles: the config keys that choose the validation split.
      test_fraction, test_split: see `load`.
    """

    roles: Roles
    test_fraction: float = 0.2
    test_split: Sequence[str] = TEST_SPLIT


def labeled(
    dir: str, layout: Layout, kind: Kind = PICTURES
) -> tuple[list[str], dict[str, "Files"]]:
    """Returns the class names in a folder, and a reader of the files of each split.

    Args:
      dir: the folder, with the layout that `load` describes.
      layout: where the splits are.
      kind: the kind of files or folders to find.

    Raises:
      UserError: see `load`.
    """
    divide = partial(divided, test_fraction=layout.test_fraction, kind=kind)
    parts = find(dir, divide, layout, kind)
    classes = sort_classes({name for name, _ in parts[TRAIN]})
    for name, path in itertools.chain(*parts.values()):
        if name not in classes:
            raise UserError(
                f"class '{name}' ({Path(path).parent}) has no {kind.name} to train on: "
                f"add {kind.name} to the training split, or remove the class."
            )
    return classes, {role: files(found, classes) for role, found in parts.items()}


def find(
    dir: str,
    divide: Callable[[Labeled], tuple[Labeled, Labeled]],
    layout: Layout,
    kind: Kind = PICTURES,
) -> dict[str, Labeled]:
    """Returns the files of each split in a folder, with their classes.

    If two folders of one class spell the class name differently, the files get the
    spelling of the training split.

    Args:
      dir: the folder, with the layout that `load` describes.
      divide: a function that divides the files into training and test files; it is
        called if the test split has no folder.
      layout: where the splits are.
      kind: the kind of files or folders to find.

    Returns:
      A list of (class, path) for each of "train", "test" and, if there is one, "val".
    """
    root = existing(dir, holds=kind.name)
    named = {path.name.lower(): path for path in folders(root)}
    inner = folders(named[TRAIN]) if TRAIN in named else []
    if all(map(kind.is_one, inner)):  # then a folder "train" is a class
        return dict(
            zip(
                (TRAIN, "test"),
                divide(list(_in_classes(root, kind).values())),
                strict=True,
            )
        )
    places = _places(root, named, layout)
    warn_unread(list(places.values()))
    found = {
        role: _in_classes(folder, kind, allow_empty=role != TRAIN)
        for role, folder in places.items()
    }
    for (first, ours), (second, theirs) in itertools.combinations(found.items(), 2):
        for both in ours.keys() & theirs.keys():
            raise in_both(ours[both][1], theirs[both][1], first, second)
    spelled = {names.key(name): name for name, _ in found[TRAIN].values()}
    parts = {
        role: [
            (spelled.get(names.key(name), name), path) for name, path in each.values()
        ]
        for role, each in found.items()
    }
    if "test" not in parts:
        parts[TRAIN], parts["test"] = divide(parts[TRAIN])
    return parts


def _places(root: Path, named: Mapping[str, Path], layout: Layout) -> dict[str, Path]:
    """Returns the folder of each split.

    Args:
      root: the folder that contains the folders of the splits.
      named: the folders in `root`, by their names in lower case.
      layout: where the splits are.
    """
    places = {TRAIN: named[TRAIN]}
    tested = [n for n in map(str.lower, layout.test_split) if n in named]
    rest = [name for name in VAL_NAMES if name in named and name not in tested[:1]]
    if tested:
        places["test"] = named[tested[0]]
    elif layout.test_split and rest:
        raise UserError(
            f"{root} has the folders {TRAIN} and {rest[0]}, and no folder "
            f"{layout.test_split[0]}: set config.data.test_split={rest[0]} to test on "
            f"{rest[0]}, or config.data.test_split='()' to test on a part of {TRAIN}."
        )
    if val := layout.roles.own(rest[0] if rest else None):
        if val.lower() not in named:
            raise UserError(
                f"config.data.val='{val}': {root} has no folder with this name."
            )
        places["val"] = named[val.lower()]
    return places


def warn_unread(splits: Sequence[Path]) -> None:
    """Warns of folders that are named like a split but are not read.

    The function searches in the folders that contain `splits`.

    Args:
      splits: the folders of the splits that are read.
    """
    for place in dict.fromkeys(folder.parent for folder in splits):
        for path in folders(place):
            if (
                path.name.lower() in (TRAIN, *TEST_SPLIT, *VAL_NAMES)
                and path not in splits
            ):
                read = " and ".join(dict.fromkeys(map(str, splits)))
                text = f"{path} is not read: the splits come from {read}."
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

    def joined(self, other: "Files") -> "Files":
        targets = np.concatenate([self.targets, other.targets])
        return Files([*self.paths, *other.paths], targets)

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
