"""Writes and reads metrics.jsonl, and removes lines when a run resumes."""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnn_jax.core import disk, records

FILE = "metrics.jsonl"


class MetricsLog:
    """A writer of a run's metrics.jsonl.

    Attributes:
      complaint: a line about damage in the file of a run that resumes; None if the file
        is not damaged.

    Args:
      workdir: the run's folder.
      step: the step from which the run resumes; lines of later steps are removed.
      mark: the result of the method `mark` when the checkpoint of this step was saved;
        None if there is no checkpoint.
    """

    def __init__(self, workdir: Path, step: int, mark: Mapping[str, int] | None):
        path = workdir / FILE
        kept, self.complaint = rewind(path, step, mark)
        self._bytes, self._crc = len(kept), zlib.crc32(kept)
        self._path = path
        self._file = path.open("a", encoding="utf-8")

    def write(self, line: str) -> None:
        """Appends a line to the file.

        Args:
          line: the text of the line, without a newline.
        """
        with disk.writing(self._path):
            self._file.write(f"{line}\n")
        text = f"{line}\n".encode()
        self._bytes, self._crc = self._bytes + len(text), zlib.crc32(text, self._crc)

    def mark(self) -> dict[str, int]:
        """Returns the size ("bytes") and the CRC-32 ("crc32") of all lines so far.

        A checkpoint stores this result, so that a resumed run can detect damage.
        """
        return {"bytes": self._bytes, "crc32": self._crc}

    def flush(self) -> None:
        """Flushes the lines to the disk."""
        with disk.writing(self._path):
            self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        with disk.writing(self._path):
            self._file.close()


def rewind(
    path: Path, step: int, mark: Mapping[str, int] | None = None
) -> tuple[bytes, str | None]:
    """Removes unreadable lines and the lines after `step` from the file.

    Args:
      path: the path of metrics.jsonl.
      step: the step from which the run resumes.
      mark: the size and the CRC-32 of the file at this step, as returned by
        `MetricsLog.mark`; None if unknown.

    Returns:
      The remaining content of the file, and a line about damage. The line is None if
      the lines up to `step` are not damaged.
    """
    records.check_regular(path)
    content = path.read_bytes() if path.exists() else b""
    kept, bad = [], 0
    for line in content.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            continue  # a process was killed while it wrote this line
        row = _row(line)
        if row is None:
            bad += 1
        elif row["step"] <= step:
            kept.append(line)
    complaint = None
    if mark is not None:
        whole = zlib.crc32(content[: mark["bytes"]]) == mark["crc32"]
        bad = 0 if whole else bad
    else:
        whole = not bad
    if step and not whole:
        reason = "lines have changed or are missing."
        if bad:
            lines = "line" if bad == 1 else "lines"
            reason = f"{bad} {lines} cannot be read and will be removed."
        complaint = f"{path} differs from what the run wrote: {reason}"
    left = b"".join(kept)
    if left != content:
        temporary = path.with_suffix(".tmp")
        with disk.writing(path):
            temporary.write_bytes(left)
            temporary.replace(path)
    return left, complaint


def read(workdir: Path, crc: str | None = None) -> tuple[list[dict], str | None]:
    """Returns the readable rows, and a line about damage (None without damage).

    Args:
      workdir: the run's folder.
      crc: the CRC-32 of the whole file, hexadecimal; None if unknown.

    Raises:
      UserError: if the file is not a regular file, or too large.
    """
    path = workdir / FILE
    try:
        content = records.read_bytes(path)
    except FileNotFoundError:
        return [], f"{path} is missing."
    lines = content.splitlines()
    rows = [row for row in map(_row, lines) if row is not None]
    if bad := len(lines) - len(rows):
        return rows, f"{path} is damaged: {bad} of {len(lines)} lines cannot be read."
    if crc is not None and crc != f"{zlib.crc32(content):08x}":
        return rows, f"{path} differs from what the run wrote (its checksum is wrong)."
    return rows, None


def _row(line: bytes) -> dict[str, Any] | None:
    """Returns the metrics in a line as a dict; None if the line is not valid."""
    try:
        row = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    whole = isinstance(row, dict) and type(row.get("step")) is int
    return row if whole else None
