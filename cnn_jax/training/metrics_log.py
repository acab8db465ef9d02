"""metrics.jsonl: written line by line, taken back to a step, and read."""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnn_jax.core import disk, records

FILE = "metrics.jsonl"


class MetricsLog:
    """The lines of a run's metrics, each on the disk before the next one.

    Attributes:
      complaint: what was found damaged in the lines of a run that goes on, or None.

    Args:
      workdir: the run's folder.
      step: where the run goes on from; the lines of later steps are taken back.
      mark: what `mark` gave to the checkpoint of that step.
    """

    def __init__(self, workdir: Path, step: int, mark: Mapping[str, int] | None):
        path = workdir / FILE
        kept, self.complaint = rewind(path, step, mark)
        self._bytes, self._crc = len(kept), zlib.crc32(kept)
        self._path = path
        self._file = path.open("a", encoding="utf-8")

    def write(self, line: str) -> None:
        """Appends a line, given without its end."""
        with disk.writing(self._path):
            self._file.write(f"{line}\n")
        text = f"{line}\n".encode()
        self._bytes, self._crc = self._bytes + len(text), zlib.crc32(text, self._crc)

    def mark(self) -> dict[str, int]:
        """Returns the size and the CRC-32 of all lines so far."""
        return {"bytes": self._bytes, "crc32": self._crc}

    def flush(self) -> None:
        """Brings the lines to the disk."""
        with disk.writing(self._path):
            self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        with disk.writing(self._path):
            self._file.close()


def rewind(
    path: Path, step: int, mark: Mapping[str, int] | None = None
) -> tuple[bytes, str | None]:
    """Takes the lines of later steps, and those that cannot be read, from the file.

    Returns:
      What is left, and a line about damage to what stood there at `step`.
    """
    records.check_regular(path)
    content = path.read_bytes() if path.exists() else b""
    kept, bad = [], 0
    for line in content.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            continue  # a process was killed as it wrote
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
        reason = "lines have changed, or are missing."
        if bad:
            lines = "line" if bad == 1 else "lines"
            reason = f"{bad} {lines} cannot be read, and will be left out."
        complaint = f"{path} is not as the run wrote it: {reason}"
    left = b"".join(kept)
    if left != content:
        temporary = path.with_suffix(".tmp")
        with disk.writing(path):
            temporary.write_bytes(left)
            temporary.replace(path)
    return left, complaint


def read(workdir: Path, crc: str | None = None) -> tuple[list[dict], str | None]:
    """Returns the rows that can be read, and a line about damage or None.

    Args:
      crc: the checksum of the whole file, where it is known.

    Raises:
      UserError: the file is not a regular one, or too large.
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
        return rows, f"{path} is not as the run wrote it (its checksum is wrong)."
    return rows, None


def _row(line: bytes) -> dict[str, Any] | None:
    """The metrics in a line; None for what is not a line of ours."""
    try:
        row = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    whole = isinstance(row, dict) and type(row.get("step")) is int
    return row if whole else None
