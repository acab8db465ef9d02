"""What may be imported: nothing that lies in a run's folder.

People hand on runs: a config and checkpoints. Whoever evaluates a run of another person
must not execute a `numpy.py` that came with it. This module is imported before all
others, and imports nothing that could lie in the working directory.
"""

import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any, TypeGuard

CONFIG = "config.json"
# Of a run's config.json in every version.
KEYS = {"config", "config_hash", "dataset", "versions", "git_commit"}
PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Of Python and of this package: nobody looks for runs there, nor above.
OWN = {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix, PACKAGE}
OWN |= {os.path.realpath(place) for place in OWN}
# A checkout from which this code is executed is trusted, also if it is a run's folder.
TRUSTED = OWN | {os.path.dirname(PACKAGE), os.path.dirname(os.path.realpath(PACKAGE))}
# Folders of the user's code: the working directory, and those of config files.
FOLDERS: list[str] = []
# Folders of runs that are not on `sys.path`, though they were meant to be.
REFUSED: list[str] = []


def is_runs(content: Any) -> bool:
    """Returns whether the value is that of a run's config.json, of any version.

    Damage may have spoiled some of the keys.
    """
    return isinstance(content, dict) and len(content.keys() & KEYS) >= 3


def run_of(path: str) -> str | None:
    """Returns the run's folder that the path lies in, or is; None if there is none.

    Symbolic links are followed: neither they nor their targets may lie in one.
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
    """Returns whether the path lies in Python, an installed package or this one."""
    path = os.path.normpath(path)
    return any(path.startswith(place + os.sep) for place in OWN)


def is_users(path: str | None) -> TypeGuard[str]:
    """Returns whether the path lies in one of `FOLDERS`, in no installed package."""
    return (
        path is not None
        and not is_own(path)
        and any(path.startswith(os.path.join(place, "")) for place in FOLDERS)
    )


def elsewhere(spec: ModuleSpec | None, file: str) -> str | None:
    """Returns the file of a module if it is not `file`; None without such a file."""
    if spec is None or not spec.has_location or spec.origin is None:
        return None
    same = os.path.realpath(spec.origin) == os.path.realpath(file)
    return None if same else spec.origin


def protect() -> None:
    """Takes the folders of runs off `sys.path`, and keeps their modules out for good.

    The first act of the package: `python -m` has put the working directory first.
    """
    given, standard = sys.path[:], os.path.dirname(os.__file__)
    # To read a config.json takes modules, which the folders could replace.
    sys.path[:] = [standard, os.path.join(standard, "lib-dynload")]
    refused = [entry for entry in given if isinstance(entry, str) and run_of(entry)]
    sys.path[:] = [entry for entry in given if entry not in refused]
    REFUSED.extend(map(os.path.abspath, refused))
    if refused or run_of(""):
        # Processes that this one starts, workers too, would search them again.
        os.environ["PYTHONSAFEPATH"] = "1"
        kept = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        kept = [entry for entry in kept if entry and not run_of(entry)]
        os.environ["PYTHONPATH"] = os.pathsep.join(kept)
    _error("")  # loads the class while nothing can be in its way
    if Guard not in sys.meta_path:
        sys.meta_path.insert(0, Guard)


class Guard:
    """Asks Python's finders for each module, and refuses what they must not find."""

    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: Any = None):
        """Returns the module's spec, or None.

        Raises:
          UserError: the module lies in a run's folder, or there are two of its name.
        """
        for finder in sys.meta_path[sys.meta_path.index(cls) + 1 :]:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                check(name, spec, path)
                return spec
        return None


def check(name: str, spec: ModuleSpec, path: Any = None) -> None:
    """Raises UserError unless the module that was found may be imported."""
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
                f"there are two modules '{name}', {spec.origin} and {other}: "
                "rename one of them, or use each in a process of its own."
            )


def refusal(name: str, place: str, run: str) -> Exception:
    """Returns the error for a module that lies in a run's folder."""
    return _error(
        f"module '{name}' is not imported: {place} lies in {run}, the folder of a run, "
        "and nothing that came with a run is executed. Move your own code elsewhere."
    )


def _error(text: str) -> Exception:
    from cnn_jax.core.errors import UserError

    return UserError(text)


def _holds_run(folder: str) -> bool:
    """Returns whether the folder's config.json is a run's, or cannot be ruled out."""
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
