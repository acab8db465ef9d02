"""Things by name: ours, or anybody's by import path."""

import contextlib
import difflib
import hashlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from cnn_jax.core import guard
from cnn_jax.core.errors import UserError, unknown

# The import paths that led to a thing in this process.
FOLLOWED: set[str] = set()


class Origin(NamedTuple):
    """Where a thing came from.

    Attributes:
      folder: the folder from which its modules are imported, an entry of `sys.path`.
      files: the SHA-256 of each source file that defines it, by its path below the
        folder; None of a file that cannot be read.
    """

    folder: str
    files: dict[str, str | None]


def find(
    kind: str,
    name: str,
    known: Mapping[str, Any],
    *,
    accepts: Callable[[Any], bool] | None = None,
    wanted: str = "",
) -> Any:
    """Returns `known[name]`, or what the import path `name` leads to.

    Args:
      kind: what the thing is called in an error: "model", "task".
      name: one of `known`, or a path such as "my_project.nets.MyNet".
      accepts: whether a thing from outside is one of the kind. Nothing is called
        before.
      wanted: what `accepts` accepts, for the error: "a subclass of flax.linen.Module".

    Raises:
      UserError: the name is not known, or the path leads to nothing, to a module that
        fails or may not be imported, or to a thing of another kind.
    """
    if name in known:
        return known[name]
    if not is_path(name):
        raise unknown(kind, name, known)
    _, found = _walk(kind, name)
    if accepts is not None and not accepts(found):
        what = "module" if isinstance(found, ModuleType) else type(found).__name__
        raise UserError(
            f"{kind} '{name}' is no {kind} (its type is {what}): it must be {wanted}."
        )
    FOLLOWED.add(name)
    return found


def is_path(name: str) -> bool:
    """Returns whether a name has the form of an import path, `MODULE.NAME`."""
    parts = name.split(".")
    return len(parts) > 1 and all(
        part.isidentifier() and not part.startswith("__") for part in parts
    )


def origin(name: str) -> Origin:
    """Returns where the thing at an import path came from; imports it if need be.

    Its files are the module that the path names, and those of the same folder that
    define the thing and, of a class, what it inherits from.

    Raises:
      UserError: as `find`.
    """
    module, found = _walk("name", name)
    owners = [getattr(base, "__module__", "") for base in _bases(found)]
    folder = root(name)
    files = {}
    for part in [module, *map(sys.modules.get, owners)]:
        file = getattr(part, "__file__", None)
        if file and folder and Path(file).is_relative_to(folder):
            files[Path(file).relative_to(folder).as_posix()] = digest(file)
    return Origin(folder or "", files)


def root(name: str) -> str | None:
    """Returns the folder from which an import path is imported; None if there is none.

    It executes nothing: only the module's file is looked for.

    Raises:
      UserError: the module may not be imported.
    """
    spec, parts = None, name.split(".")
    for depth in range(1, len(parts)):
        spec = _spec(".".join(parts[:depth]), spec)
        if spec is None:
            return None
        if spec.has_location and spec.origin:
            is_package = spec.submodule_search_locations is not None
            return str(
                Path(os.path.abspath(spec.origin)).parents[depth - 1 + is_package]
            )
    return None


def digest(file: str | Path) -> str | None:
    """Returns the SHA-256 of a file in hexadecimal; None if it cannot be read."""
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except OSError:
        return None


def add(folder: str | Path) -> None:
    """Makes the modules in a folder importable, after all that are installed.

    Nothing is added that lies in a run's folder. Where the folder has a module of the
    name of one that was imported from another folder of the user's, the next import of
    that name is an error.
    """
    place = os.path.abspath(folder)
    importlib.invalidate_caches()  # files may be newer than what was seen of a folder
    if guard.run_of(place):
        guard.REFUSED.append(place)
        return
    if place not in map(os.path.abspath, sys.path):
        sys.path.append(place)
    if place in guard.FOLDERS:
        return
    for name in [name for name in sys.modules if name.isidentifier()]:
        file = getattr(sys.modules[name], "__file__", None)
        if name == "__main__" or not guard.is_users(file):
            continue
        if guard.elsewhere(PathFinder.find_spec(name, [place]), file):
            for loaded in [n for n in sys.modules if f"{n}.".startswith(f"{name}.")]:
                del sys.modules[loaded]
    guard.FOLDERS.append(place)


@contextlib.contextmanager
def blamed(what: str, file: str | Path = "") -> Iterator[None]:
    """Says of what fails within that the user's code is wrong, and where.

    Args:
      what: is said to have failed: "config file 'a.py'".
      file: is not named again if the fault is in it.
    """
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        path, line = _place(error, str(file))
        at = f", line {line}," if path == os.path.abspath(file) else ""
        if path and not at:
            at = f" ({path}, line {line})"
        raise UserError(
            f"{what}{at} failed: {type(error).__name__}: {error}"
        ) from error


def called(kind: str, name: str) -> AbstractContextManager[None]:
    """Blames the code at an import path for what fails within; ours is not blamed."""
    if is_path(name):
        return blamed(f"{kind} '{name}'")
    return contextlib.nullcontext()


def _walk(kind: str, name: str) -> tuple[ModuleType, Any]:
    """The module that an import path names, and what the path leads to."""
    top, *parts = name.split(".")
    if top in sys.stdlib_module_names:
        raise UserError(
            f"{kind} '{name}': '{top}' is a module of Python's standard library, which "
            f"has no {kind}. A module of your own needs another name."
        )
    if _spec(top, None) is None:
        raise _missing(kind, name, top)
    path, module = top, _import(kind, name, top)
    while len(parts) > 1 and _spec(f"{path}.{parts[0]}", module.__spec__):
        path = f"{path}.{parts.pop(0)}"
        module = _import(kind, name, path)
    found = module
    for part in parts:
        if not hasattr(found, part):
            if len(parts) == 1 and _spec(f"{path}.{part}", module.__spec__):
                raise UserError(
                    f"{kind} '{name}' is a module: name the {kind} in it, {name}.NAME."
                )
            near = difflib.get_close_matches(part, dir(found), n=1, cutoff=0.6)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            place = getattr(module, "__file__", None) or path
            raise UserError(f"{kind} '{name}': there is no '{part}' in {place}.{hint}")
        found = getattr(found, part)
    return module, found


def _spec(path: str, parent: ModuleSpec | None) -> ModuleSpec | None:
    """The spec of a module, not executed; `parent` is that of its package."""
    if parent is None:
        with contextlib.suppress(ValueError):  # a module that was made by hand
            return importlib.util.find_spec(path)
        return None
    places = parent.submodule_search_locations
    return None if places is None else guard.Guard.find_spec(path, places)


def _import(kind: str, name: str, module: str) -> ModuleType:
    with blamed(f"{kind} '{name}': the import of {module}"):
        return importlib.import_module(module)


def _missing(kind: str, name: str, top: str) -> Exception:
    """Returns the error for a module that is nowhere, or only in a run's folder."""
    for folder in guard.REFUSED:
        spec = PathFinder.find_spec(top, [folder])
        if spec and (run := guard.run_of(folder)):
            place = spec.origin or os.path.join(folder, top)
            return guard.refusal(top, place, run)
    folders = [entry or os.getcwd() for entry in sys.path if not guard.is_own(entry)]
    return UserError(
        f"{kind} '{name}': no module '{top}' is installed, nor is there one in "
        f"{', '.join(dict.fromkeys(folders)) or 'another folder'}. Start in your "
        "project's folder, or set PYTHONPATH."
    )


def _bases(found: Any) -> tuple[Any, ...]:
    return found.__mro__ if isinstance(found, type) else (found,)


def _place(error: BaseException, file: str) -> tuple[str | None, int | None]:
    """The file of the user's, and its line, in which an error came up."""
    if (
        isinstance(error, SyntaxError)
        and error.filename
        and os.path.isfile(error.filename)
    ):
        return os.path.abspath(error.filename), error.lineno
    found: tuple[str | None, int | None] = (None, None)
    for frame, line in traceback.walk_tb(error.__traceback__):
        path = frame.f_code.co_filename
        users = os.path.isfile(path) and not guard.is_own(os.path.abspath(path))
        if users or (file and os.path.abspath(path) == os.path.abspath(file)):
            found = os.path.abspath(path), line
    return found
