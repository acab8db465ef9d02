"""Records and finds the user's code that a run needs.

A config names the user's code by an import path, such as `my_project.nets.Layer`. For
each import path, config.json records the folder that the code was imported from, and
the checksums of the code's files. So later commands find the code. A config.json from a
stranger could name any folder. Therefore a recorded folder is added to `sys.path` only
if the record is signed with this user's own key.
"""

import contextlib
import hmac
import json
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cnn_jax.core import guard, imports
from cnn_jax.core.errors import UserError
from cnn_jax.training import config as config_lib
from cnn_jax.training import startup
from cnn_jax.training.config import Config

KEY_BYTES = 32


def record(config: Config, before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Returns the record of the import paths in a config, for config.json.

    The record is `{"code": {"names": {PATH: {"folder": FOLDER, "files": {FILE:
    SHA-256}}}, "signature": ...}}`, or `{}` if the config has no import paths.

    Args:
      config: the resolved config.
      before: the content of config.json if the run resumes. The checksums in it are
        kept, because they belong to the code that the run began with.
    """
    known = _names(before or {})
    names = {}
    for name in paths_in(config):
        folder, files = imports.origin(name)
        if name in known:
            files = known[name]["files"]
        # Installed packages are found without a folder.
        own = not folder or guard.is_own(folder)
        names[name] = {"folder": None if own else folder, "files": files}
    if not names:
        return {}
    return {"code": {"names": names, "signature": _signature(names)}}


def restore(content: Mapping[str, Any], workdir: Path) -> list[str]:
    """Makes the user's code of a run importable.

    Returns a list with a warning if the code has changed since the run began, and
    otherwise an empty list.

    Args:
      content: the content of the run's config.json.
      workdir: the run's folder.

    Raises:
      UserError: if the code is not found, or this user has not signed its folder.
    """
    names, changed = _names(content), []
    signed = bool(names) and _is_signed(content["code"])
    for name, kept in names.items():
        folder, files = kept["folder"], kept["files"]
        here = imports.root(name)
        there = folder and any((Path(folder) / file).exists() for file in files)
        if signed and there and (here is None or _changed(here, files)):
            imports.add(folder)
            here = imports.root(name)
        if here is None:
            raise UserError(_how_to_find(name, folder, workdir, signed=signed))
        changed += [str(Path(here) / file) for file in _changed(here, files)]
    if not changed:
        return []
    listed = ", ".join(dict.fromkeys(changed))
    return [f"the code in {listed} has changed since the run in {workdir} began."]


def check_place(workdir: Path) -> None:
    """Raises UserError if imported user code lies in the folder of the run.

    Later commands could not import the code, because a run's folder is never added to
    `sys.path`.
    """
    place = Path(os.path.abspath(workdir))
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if guard.is_users(file) and Path(file).is_relative_to(place):
            raise UserError(
                f"--workdir={workdir} holds {file}, the code of '{name}'. Code in a "
                "run's folder is never imported: take another --workdir."
            )


def paths_in(config: Config) -> list[str]:
    """Returns the import paths in a config whose code this process has imported.

    The import paths are in the order of the config's keys.
    """
    texts = (
        text for value in config_lib.flat(config).values() for text in _texts(value)
    )
    parts = (
        part.partition("(")[0]  # an augmentation has options
        for text in texts
        for part in text.split(":")
    )
    return [part for part in dict.fromkeys(parts) if part in imports.FOLLOWED]


def _texts(value: Any) -> Iterator[str]:
    """Yields the strings in a config value: a string, or a (nested) list of strings."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for element in value:
            yield from _texts(element)


def _changed(folder: str, files: Mapping[str, str | None]) -> list[str]:
    """Returns the files of the user's code that have changed.

    Args:
      folder: the folder of the code.
      files: the recorded checksum of each file, by path below the folder.
    """
    return [
        file
        for file, known in files.items()
        if imports.digest(Path(folder) / file) != known
    ]


def _how_to_find(name: str, folder: str | None, workdir: Path, *, signed: bool) -> str:
    """Returns the error message for code that was not found.

    Args:
      name: the import path of the code.
      folder: the recorded folder; None for an installed package.
      workdir: the run's folder.
      signed: whether the record is signed with this user's key.
    """
    text = f"the run in {workdir} uses '{name}'"
    if not folder:
        return (
            f"{text}, which is not found: install the package {name.partition('.')[0]}."
        )
    if signed:
        return (
            f"{text}, which is no longer in {folder}: set PYTHONPATH to the folder "
            "that holds this code."
        )
    return (
        f"{text}, but its folder ({folder}) is not searched, because this user did not "
        "train the run: start the command in the project's folder, or set PYTHONPATH "
        "to the project's folder. Code in the folder of a run is never executed."
    )


def _names(content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the recorded folder and checksums of each import path in a config.json.

    Returns `{}` if nothing is recorded. The file may come from a stranger, so a record
    of another form is left out.
    """
    code = content.get("code")
    names = code.get("names") if isinstance(code, dict) else None
    return {
        name: kept
        for name, kept in (names.items() if isinstance(names, dict) else ())
        if imports.is_path(name)
        and isinstance(kept, dict)
        and isinstance(kept.get("folder"), str | None)
        and isinstance(files := kept.get("files"), dict)
        and all(isinstance(known, str | None) for known in files.values())
        and all(_is_below(file) for file in files)
    }


def _is_below(file: str) -> bool:
    """Returns whether a path is relative and does not leave its folder by `..`."""
    return "\0" not in file and not os.path.isabs(file) and ".." not in Path(file).parts


def _is_signed(code: Mapping[str, Any]) -> bool:
    """Returns whether a record is signed with this user's key.

    Args:
      code: the entry "code" of a config.json; see `record`.
    """
    ours = _signature(code["names"])
    theirs = code.get("signature")
    return (
        ours is not None
        and isinstance(theirs, str)
        and hmac.compare_digest(ours.encode(), theirs.encode())
    )


def _signature(names: Mapping[str, Any]) -> str | None:
    """Returns the signature of the recorded import paths, made with the user's key.

    Returns None if there is no key; see `_key`.
    """
    key = _key()
    if key is None:
        return None
    text = json.dumps(names, sort_keys=True)
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def _key() -> bytes | None:
    """Returns the user's secret key for signatures. The first call makes the key.

    Returns None if the key cannot be stored, or if other users could read the key.
    """
    with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: there is no home
        path = startup.cache_folder().with_name("key")
        if not path.exists():
            _make(path)
        facts, key = path.stat(), path.read_bytes()
        secret = facts.st_uid == os.getuid() and not facts.st_mode & 0o077
        return key if secret and len(key) == KEY_BYTES else None
    return None


def _make(path: Path) -> None:
    """Writes a new key into a file, unless another process has written a key first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f"key.{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        with open(os.open(temporary, flags, 0o600), "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
