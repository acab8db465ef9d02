"""Lookup of objects by name: of built-in objects, or of objects at an import path."""

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

# The import paths that `find` followed in this process.
FOLLOWED: set[str] = set()


class Origin(NamedTuple):
    """The source files of an object.

    Attributes:
      folder: the entry of `sys.path` from which the object's modules are imported.
      files: the SHA-256 of each source file that defines the object, by its path
        relative to the folder; None for a file that cannot be read.
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
    """Returns `known[name]`, or the object at the import path `name`.

    Args:
      kind: the kind of the object in errors, such as "model" or "task".
      name: one of `known`, or a path such as "my_project.nets.MyNet".
      accepts: returns whether an imported object is of this kind. The object is not
        called before this check.
      wanted: the required kind in words, for the error: "a subclass of
        flax.linen.Module".

    Raises:
      UserError: the name is not known; the path leads to nothing, or to an object of
        another kind; or its module fails or may not be imported.
    """
    if name in known:
        return known[name]
    if not is_path(name):
        raise unknown(kind, name, known)
    _, found = _walk(kind, name)
    if accepts is not None and not accepts(found):
        what = "module" if isinstance(found, ModuleType) else type(found).__name__
        raise UserError(
            f"{kind} '{name}' has the wrong type ({what}): it must be {wanted}."
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
    """Returns the origin of the object at an import path; imports it if needed.

    The files of the origin are the module in the path, and the modules in the same
    folder that define the object or, for a class, its base classes.

    Raises:
      UserError: see `find`.
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
    """Returns the folder that holds the module of an import path; None if none does.

    The folder is an entry of `sys.path`. The module is searched for, but not executed.

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
    """Makes the modules in a folder importable, after all installed modules.

    A folder inside a run's folder is not added. If a module of the same name was
    imported from another folder of the user, the next import of this name is an error.
    """
    place = os.path.abspath(folder)
    importlib.invalidate_caches()  # files may be newer than the caches
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
    """Turns an error inside the `with` block into a `UserError` about the user's code.

    The error names the file and the line, if they are known.

    Args:
      what: the subject of the error, such as "config file 'a.py'".
      file: the file that `what` names, if any. An error in this file is reported with
        its line alone, so that the message does not name the file twice.
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
    """Returns a context that turns errors in a user's object into `UserError`s.

    Args:
      kind: the kind of the object in errors, such as "model".
      name: the object's import path. With the name of a built-in object, the context
        does not change errors.
    """
    if is_path(name):
        return blamed(f"{kind} '{name}'")
    return contextlib.nullcontext()


def _walk(kind: str, name: str) -> tuple[ModuleType, Any]:
    """Imports the module in an import path; returns the module and the object in it."""
    top, *parts = name.split(".")
    if top in sys.stdlib_module_names:
        raise UserError(
            f"{kind} '{name}': '{top}' is a module of Python's standard library, which "
            f"has no {kind}. Give your own module another name."
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
                    f"{kind} '{name}' is a module, not a {kind}: add the name of the "
                    f"{kind} in this module, {name}.NAME."
                )
            near = difflib.get_close_matches(part, dir(found), n=1, cutoff=0.6)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            place = getattr(module, "__file__", None) or path
            raise UserError(f"{kind} '{name}': there is no '{part}' in {place}.{hint}")
        found = getattr(found, part)
    return module, found


def _spec(path: str, parent: ModuleSpec | None) -> ModuleSpec | None:
    """Returns the spec of a module without executing it.

    Args:
      parent: the spec of the package around the module, if any.
    """
    if parent is None:
        with contextlib.suppress(ValueError):  # a module without a spec
            return importlib.util.find_spec(path)
        return None
    places = parent.submodule_search_locations
    return None if places is None else guard.Guard.find_spec(path, places)


def _import(kind: str, name: str, module: str) -> ModuleType:
    with blamed(f"{kind} '{name}': the import of {module}"):
        return importlib.import_module(module)


def _missing(kind: str, name: str, top: str) -> Exception:
    """Returns the error for a module that does not exist, or lies in a run's folder.

    Args:
      kind: the kind of the object in the error, such as "model".
      name: the import path of the object.
      top: the name of the missing module: the first part of the import path.
    """
    for folder in guard.REFUSED:
        spec = PathFinder.find_spec(top, [folder])
        if spec and (run := guard.run_of(folder)):
            place = spec.origin or os.path.join(folder, top)
            return guard.refusal(top, place, run)
    folders = [entry or os.getcwd() for entry in sys.path if not guard.is_own(entry)]
    return UserError(
        f"{kind} '{name}': no module '{top}' is among the installed packages or in "
        f"{', '.join(dict.fromkeys(folders)) or 'another folder'}. Start the command "
        f"in the folder that contains '{top}', or add this folder to PYTHONPATH."
    )


def _bases(found: Any) -> tuple[Any, ...]:
    return found.__mro__ if isinstance(found, type) else (found,)


def _place(error: BaseException, file: str) -> tuple[str | None, int | None]:
    """Returns the user's file and the line in which an error occurred, or None twice.

    Args:
      file: a file that counts as the user's, wherever it lies; "" for none.
    """
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
