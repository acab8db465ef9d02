"""The user's own pictures, one folder a class."""

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

TEST_NAMES = ("test", "val", "validation", "valid")  # the first that is there

Labeled = list[tuple[str, str]]  # (class, path of a picture)
Found = dict[Hashable, tuple[str, str]]  # the same, by what it is on the disk


def load(
    stored: Stored = STORED,
    *,
    dir: Place = "",
    image_size: Side = 64,
    channels: Channels = 3,
    test_fraction: Fraction = 0.2,
) -> Dataset:
    """Pictures in `dir/<class>/*`, or `dir/<split>/<class>/*`, to classify.

    Splits are the folders `train` and `test` (or `val`, `validation`, `valid`).
    Without them every class gives a fixed `test_fraction` of its pictures, chosen by
    their names alone. Classes are sorted by name, as numbers where all are numbers.
    Hidden files, other files, and folders inside class folders are ignored. A file
    counts once, whatever links lead to it.

    Args:
      stored: how many pictures are used, and where they are held.
      dir: the folder.
      image_size: pixels on a side; pictures are scaled and cropped to a square.
      channels: 3 for RGB, 1 for gray.
      test_fraction: between 0 and 1; not used where there is a test split.

    Raises `UserError` for a folder that is missing, or holds no such pictures, for a
    file in two classes or in both splits, for a link that leads nowhere, and for a
    picture that cannot be read (while training, if pictures are not held in memory).
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
    """The classes under `dir`, and what of a kind there is to train on and to test on.

    Raises `UserError` as `load`.
    """
    split = partial(divided, test_fraction=test_fraction, kind=kind)
    train, test = find(dir, split, kind)
    classes = sort_classes({name for name, _ in train})
    for name, path in test:
        if name not in classes:
            raise UserError(
                f"class '{name}' ({Path(path).parent}) has no {kind.name} to train on."
            )
    return classes, files(train, classes), files(test, classes)


def find(
    dir: str,
    split: Callable[[Labeled], tuple[Labeled, Labeled]],
    kind: Kind = PICTURES,
) -> tuple[Labeled, Labeled]:
    """Returns the pictures, or the things of another kind, under `dir`: those to train
    on and those to test on.

    `split` divides them where no folders do. A class of the test split is spelled as in
    the training split.
    """
    root = existing(dir, holds=kind.name)
    named = {path.name.lower(): path for path in folders(root)}
    inner = folders(named["train"]) if "train" in named else []
    if all(map(kind.is_one, inner)):  # then "train" is a class, if it is there
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
    """Warns of the folders beside those of `splits` that are called as splits are."""
    for place in dict.fromkeys(folder.parent for folder in splits):
        for path in folders(place):
            if path.name.lower() in ("train", *TEST_NAMES) and path not in splits:
                read = " and ".join(dict.fromkeys(map(str, splits)))
                text = f"{path} is not read; training and test read {read}."
                warnings.warn(DataWarning(text), stacklevel=2)


def existing(dir: str, option: str = "dir", holds: str = "pictures") -> Path:
    """The folder that an option of the data names. Raises `UserError` without one."""
    if not dir:
        raise UserError(f"data.{option} is not set: the folder that holds the {holds}.")
    root = Path(dir).expanduser()
    if not root.is_dir():
        missing = "is not a folder" if root.exists() else "does not exist"
        raise UserError(f"data.{option} {root} {missing}.")
    return root


def sort_classes(names: set[str]) -> list[str]:
    """Sorted; if all are whole numbers, by value: "2" before "10"."""
    numbers = all(name.isdecimal() for name in names)
    return sorted(names, key=lambda name: (int(name) if numbers else 0, name))


def _in_classes(root: Path, kind: Kind, allow_empty: bool = False) -> Found:
    """All of a kind in the class folders of `root`, at least one in each of two."""
    found: Found = {}
    named = folders(root)
    _check_spelling(named)
    for folder in named:
        name, paths = names.text(folder.name), once(kind.found(folder), kind)
        if not paths and not allow_empty:
            raise UserError(
                f"class folder {folder} holds no {kind.name} ({kind.stored}); put some "
                f"in, or remove it.{_deeper(folder, kind)}"
            )
        for both in found.keys() & paths.keys():
            raise UserError(
                f"{found[both][1]} and {paths[both]} are the same file, in two "
                "classes: take it out of one of them."
            )
        found |= {key: (name, str(path)) for key, path in paths.items()}
    if not found:
        loose = ", not directly in it" if any(kind.found(root)) else ""
        raise UserError(
            f"{root} holds no {kind.name} to learn from: they belong in "
            f"{root / '<class>'}{loose}."
        )
    if len(named) < 2:
        raise UserError(
            f"{root} holds one class, '{named[0].name}'; there must be at least two."
        )
    return found


def _check_spelling(named: Sequence[Path]) -> None:
    """Raises `UserError` for two folders whose names look the same."""
    known: dict[str, Path] = {}
    for folder in named:
        other = known.setdefault(names.key(folder.name), folder)
        if other is not folder:
            raise UserError(
                f"{folder.parent} has two folders of one name, {other.name!a} and "
                f"{folder.name!a}, in different Unicode normal forms: move their "
                "content into one."
            )


def _deeper(folder: Path, kind: Kind) -> str:
    """A hint for what lies one level too deep."""
    if any(any(kind.found(inner)) for inner in folders(folder)):
        return f" Its subfolders do: is {folder} the data.dir, or a split?"
    return ""


def divided(
    found: Labeled, test_fraction: float, kind: Kind = PICTURES
) -> tuple[Labeled, Labeled]:
    """Returns what to train on and what to test on.

    Each class is divided by a hash of the file names, whatever else there is.

    Raises:
      UserError: no class has two, so none can be set aside.
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
            f"no class has two {kind.name}, so none can be set aside for the test."
        )
    return train, test


@dataclass(frozen=True)
class Files:
    """Pictures, or what else has a path of its own."""

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
    """A reader of what was found; a label is the index of its class in `classes`."""
    number = {name: i for i, name in enumerate(classes)}
    targets = np.array([number[name] for name, _ in found], np.int32)
    return Files([path for _, path in found], targets)
