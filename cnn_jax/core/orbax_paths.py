"""Paths of checkpoints, as Orbax and TensorStore take them."""

import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from etils import epath
from etils.epath.gpath import PosixGPath

from cnn_jax.core.errors import UserError
from cnn_jax.core.paths import PATH_BYTES

# The longest path below a checkpoint's folder that Orbax writes, with some to spare.
INSIDE_BYTES = 256


class _LiteralPath(PosixGPath):
    """A path of etils whose own name is no pattern.

    Orbax collects what it has written with `folder.glob("ocdbt.process_*")`. etils
    takes the folder's name for a part of the pattern: nothing is found in `lr=[0.1]`,
    and the checkpoint is saved without its arrays.
    """

    def glob(self, pattern: str) -> Iterator[Any]:
        """Yields the paths in the folder that match the pattern."""
        found = glob.glob(os.path.join(glob.escape(str(self)), pattern))
        return map(type(self), found)


def orbax_path(path: Path) -> epath.Path:
    """Returns the absolute path, without links and `..`, for Orbax to write or read.

    Raises:
      UserError: TensorStore would write to another place, or nowhere.
    """
    real = os.path.realpath(path)
    for part in ("\\", "gs:/"):
        if part in f"{real}/":
            raise UserError(
                f"checkpoints cannot be kept in {real}: a folder's name holds "
                f"'{part.rstrip('/')}', which TensorStore takes for something else. "
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
            f"bytes, and {PATH_BYTES - INSIDE_BYTES:,} are the most. Choose a shorter "
            "one."
        )
    return _LiteralPath(real)
