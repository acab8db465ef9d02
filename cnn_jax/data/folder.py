"""The user's own pictures, one folder a class."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnn_jax.data.dataset import Dataset, assemble
from cnn_jax.data.images import check_shape
from cnn_jax.data.splits import Encoded, Records
from cnn_jax.errors import UserError
from cnn_jax.ranges import Channels, Examples, Fraction, Seed, Share, Side

KINDS = "bmp gif jpeg jpg pgm png ppm tif tiff webp"  # in upper case too
SUFFIXES = frozenset(f".{kind}" for kind in KINDS.split())
TEST_NAMES = ("test", "val", "validation", "valid")  # the first that is there

Labelled = list[tuple[str, str]]  # (class, path of a picture)


class Kind(NamedTuple):
    """What class folders hold: what it is called, how it is stored, which of the things
    in a folder are such, in order, and whether a folder is one itself."""

    name: str
    stored: str
    found: Callable[[Path], Iterable[Path]]
    is_one: Callable[[Path], bool] = Path.is_file


def visible_files(folder: Path, suffixes: Iterable[str]) -> Iterator[Path]:
    """The files of a folder that end in one of `suffixes`, sorted."""
    endings = tuple(suffixes)
    for path in sorted(folder.iterdir()):
        if path.name.lower().endswith(endings) and not path.name.startswith("."):
            yield path


PICTURES = Kind("pictures", KINDS, partial(visible_files, suffixes=SUFFIXES))


def load(
    *,
    dir: str = "",
    image_size: Side = 64,
    channels: Channels = 3,
    test_fraction: Fraction = 0.2,
    in_memory: bool | None = None,
    train_examples: Examples | Share | None = None,
    test_examples: Examples | Share | None = None,
    subset_seed: Seed = 0,
) -> Dataset:
    """Pictures in `dir/<class>/*`, or `dir/<split>/<class>/*`, to classify.

    Splits are the folders `train` and `test` (or `val`, `validation`, `valid`).
    Without them every class gives a fixed `test_fraction` of its pictures, chosen by
    their names alone. Classes are sorted by name, as numbers where all are numbers.
    Hidden files, other files, and folders inside class folders are ignored.

    Args:
      dir: the folder.
      image_size: pixels on a side; pictures are scaled and cropped to a square.
      channels: 3 for RGB, 1 for grey.
      test_fraction: between 0 and 1; not used where there is a test split.
      in_memory: hold all decoded pictures in memory; None: if they need less than
        2 GiB. Otherwise they are read and cropped at random while training.
      train_examples, test_examples: use only that many or, below 1, only that share
        of them (1.0: all), classes in proportion.
      subset_seed: another number takes other examples to train on.

    Raises `UserError` for a folder that is missing, or holds no such pictures, and
    for one that cannot be read (while training, if they are not held in memory).
    """
    check_shape(image_size, channels)
    classes, train, test = labelled(dir, test_fraction)
    shape = (image_size, image_size, channels)
    return assemble(
        Records(train, shape),
        Records(test, shape),
        classes=classes,
        train_examples=train_examples,
        test_examples=test_examples,
        subset_seed=subset_seed,
        in_memory=in_memory,
        random_crop=True,
    )


def labelled(
    dir: str, test_fraction: float, kind: Kind = PICTURES
) -> tuple[list[str], "Files", "Files"]:
    """The classes under `dir`, and what of a kind there is to train on and to test on.

    Raises `UserError` as `load`.
    """
    split = partial(_split, test_fraction=test_fraction, kind=kind)
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
    split: Callable[[Labelled], tuple[Labelled, Labelled]],
    kind: Kind = PICTURES,
) -> tuple[Labelled, Labelled]:
    """The pictures, or what else of a kind, under `dir` to train on and to test on.

    `split` divides them where there are no folders to say so.
    """
    root = existing(dir, holds=kind.name)
    named = {path.name.lower(): path for path in folders(root)}
    inner = folders(named["train"]) if "train" in named else []
    if all(map(kind.is_one, inner)):  # then "train" is a class, if it is there
        return split(_in_classes(root, kind))
    train = _in_classes(named["train"], kind)
    for name in TEST_NAMES:
        if name in named:
            return train, _in_classes(named[name], kind, allow_empty=True)
    return split(train)


def existing(dir: str, option: str = "dir", holds: str = "pictures") -> Path:
    """The folder that an option of the data names. Raises `UserError` without one."""
    if not dir:
        raise UserError(f"data.{option} is not set: the folder that holds the {holds}.")
    root = Path(dir).expanduser()
    if not root.is_dir():
        missing = "is not a folder" if root.exists() else "does not exist"
        raise UserError(f"data.{option} {root} {missing}.")
    return root


def below(path: Path, kind: Kind = PICTURES) -> list[Path]:
    """The path itself, if it is of a kind or no folder, or all that are of the kind in
    it and the folders in it, hidden ones left out."""
    if not path.is_dir() or kind.is_one(path):
        return [path]
    found = list(kind.found(path))
    for inner in folders(path):
        if inner not in found:
            found += below(inner, kind)
    return found


def sort_classes(names: set[str]) -> list[str]:
    """Sorted; if all are whole numbers, by value: "2" before "10"."""
    numbers = all(name.isdecimal() for name in names)
    return sorted(names, key=lambda name: (int(name) if numbers else 0, name))


def folders(root: Path) -> list[Path]:
    """The folders in a folder, sorted, hidden ones left out."""
    hidden = (".", "__", "@")  # .git, __MACOSX, @eaDir
    return sorted(
        path
        for path in root.iterdir()
        if path.is_dir() and not path.name.startswith(hidden)
    )


def _in_classes(root: Path, kind: Kind, allow_empty: bool = False) -> Labelled:
    """All of a kind in the class folders of `root`, at least one in each of two."""
    found: Labelled = []
    named = folders(root)
    for folder in named:
        paths = [(folder.name, str(path)) for path in kind.found(folder)]
        if not paths and not allow_empty:
            raise UserError(
                f"class folder {folder} holds no {kind.name} ({kind.stored}); put some "
                f"in, or remove it.{_deeper(folder, kind)}"
            )
        found += paths
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


def _deeper(folder: Path, kind: Kind) -> str:
    """A hint for what lies one level too deep."""
    if any(any(kind.found(inner)) for inner in folders(folder)):
        return f" Its subfolders do: is {folder} the data.dir, or a split?"
    return ""


def _split(
    found: Labelled, test_fraction: float, kind: Kind
) -> tuple[Labelled, Labelled]:
    """Divides each class by a hash of the file names, whatever else there is."""
    by_class: dict[str, list[str]] = {}
    for name, path in found:
        by_class.setdefault(name, []).append(path)
    train, test = [], []
    for name, paths in by_class.items():
        paths.sort(key=lambda path: hashlib.sha256(Path(path).name.encode()).digest())
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


def files(found: Labelled, classes: list[str]) -> Files:
    """A reader of what was found; a label is the index of its class in `classes`."""
    number = {name: i for i, name in enumerate(classes)}
    targets = np.array([number[name] for name, _ in found], np.int32)
    return Files([path for _, path in found], targets)
