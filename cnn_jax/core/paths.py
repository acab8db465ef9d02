"""Paths that users write in a flag or in a config."""

import os
import re
import typing
from pathlib import Path
from typing import Annotated, Any

from cnn_jax.core.errors import UserError

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# `PATH.py` or `PATH.py:ARG`. A folder's name may contain a colon too.
RECIPE = re.compile(r"(.*?\.py)(?::(.*))?", re.DOTALL)
# The type of a config key that holds a path of the user's files.
_PLACE = object()
Place = Annotated[str, _PLACE]
# Linux's limits, in bytes; other systems have the same or larger ones.
NAME_BYTES, PATH_BYTES = 255, 4095


def is_place(hint: Any) -> bool:
    """Returns whether a type hint is `Place`, or has `Place` as an alternative."""
    parts = typing.get_args(hint)
    if typing.get_origin(hint) is Annotated:
        return any(fact is _PLACE for fact in parts[1:])
    return any(map(is_place, parts))


def expanded(text: str) -> str:
    """Returns the path with `~` and `~user` replaced by the user's home folder.

    Raises:
      UserError: the path is empty, is a URL, holds a NUL character, is too long for a
        file system, or names a user who does not exist.
    """
    if not text:
        raise UserError("the path is empty: name a file or a folder.")
    if URL.match(text):
        raise UserError(
            f"'{text}' is a URL: give a path on a local or mounted disk instead."
        )
    if "\0" in text:
        raise UserError(f"the path {text!r} contains a NUL character: remove it.")
    path = os.path.expanduser(text)
    if path[0] == "~" and not os.path.lexists(path):
        user = path[1:].partition("/")[0]
        raise UserError(
            f"'{text}': there is no user '{user}'. If the name of your file or folder "
            f"begins with ~, write ./{text} instead."
        )
    check_length(Path(path))
    return path


def check_length(path: Path) -> None:
    """Raises `UserError` if the path or a name in it is too long for file systems."""
    for name in path.parts:
        if (size := len(os.fsencode(name))) > NAME_BYTES:
            raise UserError(
                f"the name '{name[:20]}...' has {size} bytes, but file systems allow "
                f"at most {NAME_BYTES}: choose a shorter name."
            )
    if (size := len(os.fsencode(path))) > PATH_BYTES:
        raise UserError(
            f"the path '{str(path)[:20]}...' has {size:,} bytes, but the system allows "
            f"at most {PATH_BYTES:,}: choose a shorter path."
        )


def split_recipe(spec: str) -> tuple[str, str]:
    """Splits `PATH.py[:ARG]` into the path and the argument, "" if there is none."""
    if match := RECIPE.fullmatch(spec):
        return match[1], match[2] or ""
    path, _, argument = spec.partition(":")
    return path, argument
