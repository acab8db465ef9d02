"""Small files of a run: replaced as a whole; JSON with checksums and a largest size."""

import json
import os
import stat
import zlib
from pathlib import Path
from typing import Any

from cnn_jax.core import disk, strict_json
from cnn_jax.core.errors import UserError

MAX_BYTES = 2**27


class Damaged(UserError):
    """The error for a file whose content is not what was written."""


def check_regular(path: Path) -> None:
    """Raises `UserError` if the path exists and is not a regular file.

    A program that opens a FIFO would wait until another program writes into it.
    """
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if not stat.S_ISREG(mode):
        raise UserError(
            f"{path} is not a regular file, but a folder, a pipe, a socket or a "
            "device: move it to another place."
        )


def read_bytes(path: Path) -> bytes:
    """Returns the content of a regular file of at most `MAX_BYTES`.

    Raises:
      FileNotFoundError: there is no such file.
      UserError: the path is not a regular file, or the file is too large.
    """
    check_regular(path)
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise UserError(
            f"{path} has more than {MAX_BYTES / 1e6:,.0f} MB, which is too large for "
            "a file with this name: move it to another place."
        )
    return content


def read_json(path: Path) -> Any:
    """Returns the content of a JSON file.

    Raises:
      FileNotFoundError: there is no such file.
      Damaged: the file is not JSON, or too deeply nested.
      UserError: see `read_bytes`.
    """
    content = read_bytes(path)
    try:
        return json.loads(content)
    except RecursionError:
        raise Damaged(
            f"{path} is damaged (its lists or objects are nested too deeply)."
        ) from None
    except ValueError as error:
        raise Damaged(f"{path} is damaged ({error}).") from None


def checksum(value: Any) -> str:
    """Returns the CRC-32 of a value's JSON text, as eight hexadecimal digits."""
    text = json.dumps(json.loads(strict_json.dumps(value)), sort_keys=True)
    return f"{zlib.crc32(text.encode()):08x}"


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file; see `write_bytes`."""
    write_bytes(path, (strict_json.dumps(value, indent=2) + "\n").encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file completely or, if this fails, not at all.

    Raises:
      UserError: the disk is full or not writable.
    """
    temporary = path.with_suffix(".tmp")
    try:
        with disk.writing(path):
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
    except (OSError, UserError):
        temporary.unlink(missing_ok=True)
        raise
