"""Paths of checkpoints in the form that Orbax and TensorStore accept."""

import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from etils import epath
from etils.epath.gpath import PosixGPath

from cnn_jax.core.errors import UserError
from cnn_jax.core.paths import PATH_BYTES

# Bytes reserved for the longest path that Orbax writes below a checkpoint's folder.
INSIDE_BYTES = 256


class _LiteralPath(PosixGPath):
    """An etils path whose own name is not treated as a pattern.

    Orbax collects its files with `folder.glob("ocdbt.process_*")`. etils treats the
    folder's name as part of the pattern, so nothing is found in `lr=[0.1]`, and the
    checkpoint is saved without its arrays.
    """

    def glob(self, pattern: str) -> Iterator[Any]:
        """Yields the paths in the folder that match the pattern."""
        found = glob.glob(os.path.join(glob.escape(str(self)), pattern))
        return map(type(self), found)


def orbax_path(path: Path) -> epath.Path:
    """Returns the absolute path, without links and `..`, for Orbax to write or read.

    Raises:
      UserError: TensorStore cannot write to this path, or would write to another one.
    """
    real = os.path.realpath(path)
    for part in ("\\", "gs:/"):
        if part in f"{real}/":
            raise UserError(
                f"checkpoints cannot be kept in {real}: a folder's name contains "
                f"'{part.rstrip('/')}', which has a special meaning for TensorStore. "
                "Choose another folder."
            )
    try:
        size = len(real.encode("utf-8"))
    except UnicodeEncodeError:
        raise UserError(
            f"checkpoints cannot be kept in {real!r}: the path is not valid UTF-8. "
            "Choose another folder."
        ) from None
    if size + INSIDE_BYTES > PATH_BYTES:
        raise UserError(
            f"checkpoints cannot be kept in {real[:20]}...: the path has {size:,} "
            f"bytes, but at most {PATH_BYTES - INSIDE_BYTES:,} are allowed. Choose a "
            "shorter path."
        )
    return _LiteralPath(real)
