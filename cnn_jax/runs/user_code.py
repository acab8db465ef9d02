"""Code of the user's that a run needs: where it came from, and whether it changed.

A config names code by its import path. config.json keeps, for each path, the folder it
was imported from and the checksums of its files, so that later commands find it. A
config.json from elsewhere could name any folder: a folder is put on the path only if
the record of it is signed by this user's own key.
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
    """Returns what config.json keeps of the import paths in a config.

    It is `{}` without any, else `{"code": {"names": {PATH: {"folder": FOLDER,
    "files": {FILE: SHA-256}}}, "signature": ...}}`.

    Args:
      before: the content of config.json when the run began. The checksums in it stay.
    """
    known = _names(before or {})
    names = {}
    for name in paths_in(config):
        folder, files = imports.origin(name)
        if name in known:
            files = known[name]["files"]
        # Installed packages are found without help.
        own = not folder or guard.is_own(folder)
        names[name] = {"folder": None if own else folder, "files": files}
    if not names:
        return {}
    return {"code": {"names": names, "signature": _signature(names)}}


def restore(content: Mapping[str, Any], workdir: Path) -> list[str]:
    """Makes the code that a run uses importable, and returns warnings.

    Args:
      content: of the run's config.json.

    Raises:
      UserError: the code is not found, or the user has not signed where it is.
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
    """Raises UserError if code that was imported lies in the folder of a run to be.

    It could not be imported there again.
    """
    place = Path(os.path.abspath(workdir))
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if guard.is_users(file) and Path(file).is_relative_to(place):
            raise UserError(
                f"--workdir={workdir} holds the code of this run, {file}, and nothing "
                f"in a run's folder is imported ('{name}'): take another --workdir."
            )


def paths_in(config: Config) -> list[str]:
    """Returns the import paths in a config that this process has followed, in order."""
    texts = (
        text for value in config_lib.flat(config).values() for text in _texts(value)
    )
    parts = (part for text in texts for part in text.split(":"))
    return [part for part in dict.fromkeys(parts) if part in imports.FOLLOWED]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for element in value:
            yield from _texts(element)


def _changed(folder: str, files: Mapping[str, str | None]) -> list[str]:
    return [
        file
        for file, known in files.items()
        if imports.digest(Path(folder) / file) != known
    ]


def _how_to_find(name: str, folder: str | None, workdir: Path, *, signed: bool) -> str:
    text = f"the run in {workdir} uses '{name}'"
    if not folder:
        return f"{text}: install the package {name.partition('.')[0]}."
    if signed:
        return f"{text} of {folder}, where it is no more: set PYTHONPATH to its folder."
    return (
        f"{text}, and its folder ({folder}) is not searched, since this user did not "
        "train the run: start in the project's folder, or set PYTHONPATH to it. Code "
        "in the folder of a run is never executed."
    )


def _names(content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The record of each import path in a config.json; `{}` if there is no such record.

    The file may be anybody's: what has another form is left out.
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
    """Whether a relative path stays below its folder."""
    return "\0" not in file and not os.path.isabs(file) and ".." not in Path(file).parts


def _is_signed(code: Mapping[str, Any]) -> bool:
    ours = _signature(code["names"])
    theirs = code.get("signature")
    return (
        ours is not None
        and isinstance(theirs, str)
        and hmac.compare_digest(ours.encode(), theirs.encode())
    )


def _signature(names: Mapping[str, Any]) -> str | None:
    """Of a record, by the user's key; None without a key."""
    key = _key()
    if key is None:
        return None
    text = json.dumps(names, sort_keys=True)
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def _key() -> bytes | None:
    """The user's key, made once. None if it cannot be kept, or others could read it."""
    with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: there is no home
        path = startup.cache_folder().with_name("key")
        if not path.exists():
            _make(path)
        facts, key = path.stat(), path.read_bytes()
        secret = facts.st_uid == os.getuid() and not facts.st_mode & 0o077
        return key if secret and len(key) == KEY_BYTES else None
    return None


def _make(path: Path) -> None:
    """Writes a key, unless another process is first."""
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
