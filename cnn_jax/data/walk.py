"""The search for the user's files in folders, for all data sources and commands.

A file is identified by its device and inode. So it counts once, even if several links
lead to it.
"""

import importlib.util
import itertools
import os
import warnings
from collections.abc import (
    Callable,
    Hashable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from functools import partial
from pathlib import Path
from typing import NamedTuple

from cnn_jax.core import names
from cnn_jax.core.errors import DataWarning, UserError
from cnn_jax.data.splits import ROLES

KINDS = "bmp gif jpeg jpg pgm png ppm tif tiff webp"  # also in upper case
SUFFIXES = frozenset(f".{kind}" for kind in KINDS.split())
HIDDEN = (".", "__", "@")  # .git, __MACOSX, @eaDir


def identity(path: str | Path) -> tuple[int, int]:
    """Returns the identity of a file or folder on the disk: its device and inode."""
    found = os.stat(path)
    return found.st_dev, found.st_ino


class Kind(NamedTuple):
    """A kind of data in files or folders of the user, such as pictures or clips.

    An item of the kind is one file or one folder, such as one clip.

    Attributes:
      name: the name of the kind in errors, in the plural.
      stored: the file formats of the kind, in words for errors.
      found: a function that returns the paths of all items in a folder, sorted.
      is_one: a function that returns whether a path itself is an item.
      identity: a function that returns equal values for two paths of the same item.
    """

    name: str
    stored: str
    found: Callable[[Path], Iterable[Path]]
    is_one: Callable[[Path], bool] = Path.is_file
    identity: Callable[[Path], Hashable] = identity


def visible_files(folder: Path, suffixes: Iterable[str]) -> Iterator[Path]:
    """Yields the regular files in a folder that end in one of `suffixes`, sorted.

    Hidden files are skipped. Pipes, sockets and devices are skipped with a warning,
    because opening such a file may block forever.

    Raises:
      UserError: a link is broken.
    """
    endings = tuple(suffixes)
    for entry in _entries(folder):
        if not entry.name.lower().endswith(endings) or entry.name.startswith("."):
            continue
        path = folder / entry.name
        found = _type(entry, path)
        if found == "file":
            yield path
        elif found == "special":
            text = f"{path} is a pipe, a socket or a device: it is not read."
            warnings.warn(DataWarning(text), stacklevel=2)


PICTURES = Kind("pictures", KINDS, partial(visible_files, suffixes=SUFFIXES))
# Pictures, and arrays with any number of channels; see `bands`.
BANDED = PICTURES._replace(
    stored=f"{KINDS} npy",
    found=partial(visible_files, suffixes=SUFFIXES | {".npy"}),
)


def package_folder(name: str) -> Path | None:
    """Returns the folder of an installed package, or None if it is not installed.

    The package is not imported, because the import may take a second.
    """
    spec = importlib.util.find_spec(name)
    places = spec.submodule_search_locations if spec else None
    return Path(places[0]) if places else None


def folders(root: Path) -> list[Path]:
    """Returns the folders in a folder, sorted.

    Hidden folders are left out. Links to the folder itself or to a folder above it are
    left out too.

    Args:
      root: the folder.

    Raises:
      UserError: a link is broken.
    """
    found = []
    for entry in _entries(root):
        path = root / entry.name
        if entry.name.startswith(HIDDEN) or _type(entry, path) != "folder":
            continue
        if not (entry.is_symlink() and root.resolve().is_relative_to(path.resolve())):
            found.append(path)
    return found


def below(path: Path, kind: Kind = PICTURES) -> list[Path]:
    """Returns all items of a kind in a folder and in its subfolders at any depth.

    Each item is returned once.

    If `path` is not a folder, or is an item of the kind itself, only `path` is
    returned.

    Args:
      path: the folder, or an item.
      kind: the kind of files or folders to find.

    Raises:
      UserError: see `visible_files`.
    """
    if not path.is_dir() or kind.is_one(path):
        return [path]
    found: list[Path] = []
    waiting, walked, real = [path], set(), None
    while waiting:
        folder = waiting.pop()
        if (known := identity(folder)) in walked:
            continue
        if folder != path and folder.is_symlink():
            real = real or _unlinked(path)
            if known in real:  # the walk also reaches it without the link
                continue
        walked.add(known)
        here = dict.fromkeys(kind.found(folder))
        found += here
        waiting += [inner for inner in folders(folder)[::-1] if inner not in here]
    return list(once(found, kind).values())


def _unlinked(root: Path) -> set[tuple[int, int]]:
    """Returns the identities (see `identity`) of a folder and all folders below it.

    Links to folders are not followed.
    """
    found, waiting = set(), [root]
    while waiting:
        folder = waiting.pop()
        found.add(identity(folder))
        waiting += [inner for inner in folders(folder) if not inner.is_symlink()]
    return found


def once(paths: Iterable[Path], kind: Kind = PICTURES) -> dict[Hashable, Path]:
    """Returns each item in `paths` once, by its identity on the disk.

    The items are in the order of `paths`. If several paths lead to one item, the first
    path that is not a link is kept. If all of these paths are links, the first path is
    kept.

    Args:
      paths: the paths of files or folders.
      kind: the kind of the files or folders.
    """
    found: dict[Hashable, Path] = {}
    for path in paths:
        key = kind.identity(path)
        known = found.get(key)
        if known is None or (known.is_symlink() and not path.is_symlink()):
            found.pop(key, None)  # keeps the order of `paths`
            found[key] = path
    return found


def by_name(paths: Iterable[Path]) -> dict[str, Path]:
    """Returns the paths of files by their names without suffix.

    The names are converted by `names.key`.

    Raises:
      UserError: two files have the same name.
    """
    found: dict[str, Path] = {}
    for path in paths:
        if (other := found.setdefault(names.key(path.stem), path)) is not path:
            raise UserError(
                f"{other} and {path} have the same name without suffix: remove one of "
                "the files."
            )
    return found


def finder() -> Callable[[Path], Path | None]:
    """Returns a function that takes a path and returns the path of the existing file.

    The function returns None if there is no such file. It also finds a file whose name
    on the disk is in another Unicode normal form than the name in the given path.
    """
    listed: dict[Path, dict[str, Path]] = {}

    def find(path: Path) -> Path | None:
        try:
            if path.is_file():
                return path
        except OSError:  # a name that is too long
            return None
        if path.parent not in listed:
            there = path.parent.iterdir() if path.parent.is_dir() else ()
            listed[path.parent] = {names.key(file.name): file for file in there}
        found = listed[path.parent].get(names.key(path.name))
        return found if found and found.is_file() else None

    return find


def check_apart(
    paths: Mapping[str, Sequence[str | Path]], named: Mapping[str, str]
) -> None:
    """Raises `UserError` if a file is in two splits.

    Args:
      paths: the paths of each split's files, by the role of the split.
      named: the names of folders or lists that the config gives for each role, joined
        with +. If a name occurs for two roles, both splits may have the same paths, and
        a warning is given.
    """
    for first, second in itertools.combinations(paths, 2):
        twice = {*named[first].split("+")} & {*named[second].split("+")}
        known = {identity(path): Path(path) for path in paths[first]}
        for path in map(Path, paths[second]):
            same = known.get(identity(path))
            if same is not None and not (twice and same == path):
                raise in_both(same, path, first, second)
        if twice:
            text = (
                f"the {ROLES[second]} split reads the {ROLES[first]} pictures: set "
                f"config.data.{second}_split to other pictures."
            )
            warnings.warn(DataWarning(text), stacklevel=2)


def in_both(
    one: str | Path, other: str | Path, first: str = "train", second: str = "test"
) -> UserError:
    """Returns the error for a file that is in two splits.

    Args:
      one, other: the file's paths in the two splits.
      first, second: the names of the splits.
    """
    paths = f"{one} and {other} are the same file, which" if one != other else one
    return UserError(
        f"{paths} is in the {ROLES[first]} and in the {ROLES[second]} split: remove "
        "the file from one of the splits."
    )


def check_regular(path: Path) -> None:
    """Raises `UserError` if a path is a pipe, a socket or a device.

    Reading such a file may never end.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UserError(f"{path} is a pipe, a socket or a device: name a regular file.")


def _entries(folder: Path) -> list[os.DirEntry]:
    """Returns the entries of a folder, sorted by name."""
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror}.") from None


def _type(entry: os.DirEntry, path: Path) -> str:
    """Returns "file", "folder" or "special" for an entry of a folder.

    "special" is a pipe, a socket or a device. The type of a link is the type of its
    target.

    Args:
      entry: the entry of the folder.
      path: the path of the entry.

    Raises:
      UserError: the entry cannot be read, or is a broken link.
    """
    try:
        if entry.is_file():
            return "file"
        if entry.is_dir():
            return "folder"
        entry.stat()
    except OSError as error:
        if not entry.is_symlink():
            raise UserError(f"{path} cannot be read: {error.strerror}.") from None
        raise UserError(
            f"{path} is a link to {os.readlink(path)}, which cannot be read "
            f"({error.strerror}): restore the target, or remove the link."
        ) from None
    return "special"
