"""The guard of imports: no module in a run's folder is imported.

People share runs: a config and checkpoints. Someone who evaluates another person's run
must not execute a `numpy.py` that came with the run. This module is imported before all
other modules, and imports nothing that could lie in the working directory.
"""

import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any, TypeGuard

CONFIG = "config.json"
# Keys of a run's config.json, in every version.
KEYS = {"config", "config_hash", "dataset", "versions", "git_commit"}
PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Folders of Python and of this package. No run is looked for in them or above them.
OWN = {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix, PACKAGE}
OWN |= {os.path.realpath(place) for place in OWN}
# The checkout of this code is trusted, even if it is also a run's folder.
TRUSTED = OWN | {os.path.dirname(PACKAGE), os.path.dirname(os.path.realpath(PACKAGE))}
# Folders of the user's code: the working directory, and the folders of config files.
FOLDERS: list[str] = []
# Folders of runs that are kept off `sys.path`.
REFUSED: list[str] = []


def is_runs(content: Any) -> bool:
    """Returns whether a value is the content of a run's config.json, of any version.

    Some of the keys may be missing, because the file may be damaged.
    """
    return isinstance(content, dict) and len(content.keys() & KEYS) >= 3


def run_of(path: str) -> str | None:
    """Returns the folder of the run that a path lies in; None if there is none.

    The path may also be the run's folder itself. A symbolic link lies in a run's folder
    if the link or its target does.
    """
    try:
        places = {os.path.abspath(path), os.path.realpath(path)}
    except (OSError, ValueError):  # no working directory; a NUL character
        return None
    for place in sorted(places):
        above = None
        while place not in TRUSTED and place != above:
            if _holds_run(place):
                return place
            above, place = place, os.path.dirname(place)
    return None


def is_own(path: str) -> bool:
    """Returns whether the path belongs to Python, an installed package or `cnn_jax`."""
    path = os.path.normpath(path)
    return any(path.startswith(place + os.sep) for place in OWN)


def is_users(path: str | None) -> TypeGuard[str]:
    """Returns whether the path is code of the user.

    Such a path lies in one of `FOLDERS`, but not in an installed package.
    """
    return (
        path is not None
        and not is_own(path)
        and any(path.startswith(os.path.join(place, "")) for place in FOLDERS)
    )


def elsewhere(spec: ModuleSpec | None, file: str) -> str | None:
    """Returns the path of a module's file if it differs from `file`; otherwise None."""
    if spec is None or not spec.has_location or spec.origin is None:
        return None
    same = os.path.realpath(spec.origin) == os.path.realpath(file)
    return None if same else spec.origin


def protect() -> None:
    """Removes run folders from `sys.path`, and blocks their modules from now on.

    `cnn_jax` calls this function before its other code, because `python -m` puts the
    working directory first on `sys.path`.
    """
    given, standard = sys.path[:], os.path.dirname(os.__file__)
    # Reading a config.json imports modules, which these folders could replace.
    sys.path[:] = [standard, os.path.join(standard, "lib-dynload")]
    refused = [entry for entry in given if isinstance(entry, str) and run_of(entry)]
    sys.path[:] = [entry for entry in given if entry not in refused]
    REFUSED.extend(map(os.path.abspath, refused))
    if refused or run_of(""):
        # Otherwise child processes, such as workers, would search these folders again.
        os.environ["PYTHONSAFEPATH"] = "1"
        kept = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        kept = [entry for entry in kept if entry and not run_of(entry)]
        os.environ["PYTHONPATH"] = os.pathsep.join(kept)
    _error("")  # imports the class while no other module can replace it
    if Guard not in sys.meta_path:
        sys.meta_path.insert(0, Guard)


class Guard:
    """An import finder that asks Python's other finders and refuses modules of runs."""

    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: Any = None):
        """Returns the module's spec, or None.

        Raises:
          UserError: the module lies in a run's folder, or two modules have its name.
        """
        for finder in sys.meta_path[sys.meta_path.index(cls) + 1 :]:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                check(name, spec, path)
                return spec
        return None


def check(name: str, spec: ModuleSpec, path: Any = None) -> None:
    """Raises `UserError` unless a module may be imported.

    Args:
      name: the module's name.
      spec: the spec that Python's finders found.
      path: the search path of the package around the module, if any.
    """
    # Namespace packages and built-in modules execute no file.
    if not spec.has_location or spec.origin is None or is_own(spec.origin):
        return
    if run := run_of(spec.origin):
        raise refusal(name, spec.origin, run)
    if not is_users(spec.origin):
        return
    for place in FOLDERS if path is None else path:
        if other := elsewhere(PathFinder.find_spec(name, [place]), spec.origin):
            raise _error(
                f"two modules have the name '{name}': {spec.origin} and {other}. "
                "Rename one of the modules, or use them in two separate commands."
            )


def refusal(name: str, place: str, run: str) -> Exception:
    """Returns the error for a module that lies in a run's folder.

    Args:
      name: the module's name.
      place: the module's path.
      run: the run's folder.
    """
    return _error(
        f"module '{name}' is not imported: {place} lies in {run}, the folder of a run, "
        "and code in a run's folder is never executed. If this is your own code, move "
        "the code to another folder."
    )


def _error(text: str) -> Exception:
    from cnn_jax.core.errors import UserError

    return UserError(text)


def _holds_run(folder: str) -> bool:
    """Returns whether a folder's config.json belongs to a run, or may belong to one."""
    path = os.path.join(folder, CONFIG)
    if not os.path.isfile(path):
        return False
    import json

    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError:
        return True
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return b"config_hash" in text
    return is_runs(content) or (isinstance(content, dict) and "config_hash" in content)
