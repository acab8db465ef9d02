"""Orbax's manager of checkpoints, with three faults mended.

Scores have a checksum, a kill leaves no step half deleted, and a full disk ends a save.
"""

import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp

from cnn_jax.core.errors import UserError
from cnn_jax.core.orbax_paths import orbax_path
from cnn_jax.training import checkpoint_notes, parallel

TEMPORARY = ".orbax-checkpoint-tmp"  # in the name of a folder: it is no step


class Manager(ocp.CheckpointManager):
    """Orbax's manager of the checkpoints in a folder.

    Args:
      directory: the folder; it need not exist.
      read_only: nothing is written. Otherwise the folder is made, and steps that a kill
        has left half written or half deleted are removed.
      options: further ones of `CheckpointManagerOptions`.
    """

    def __init__(self, directory: Path, *, read_only: bool, **options: Any):
        deleter = _Deleter(directory)
        if not read_only:
            deleter.finish()
        super().__init__(
            orbax_path(directory),
            item_names=("state", "progress"),
            options=ocp.CheckpointManagerOptions(
                read_only=read_only,
                create=not read_only,
                # Threads wait up to five minutes for a folder that is made in the
                # background, even if making it has failed.
                async_options=ocp.options.AsyncOptions(
                    create_directories_asynchronously=False
                ),
                **options,
            ),
        )
        # Orbax's own option `todelete_subdir` renames, but never deletes.
        self._checkpoint_deleter = deleter

    def metrics(self, step: int) -> Any:
        """Returns the scores of a step; None without any, and where they are damaged.

        They come from the notes, because Orbax's own file of them has no checksum.
        Orbax asks for all of them as it starts.
        """
        try:
            scores = checkpoint_notes.read(Path(self.directory) / str(step)).scores
            scores = super().metrics(step) if scores is None else scores
        except (OSError, ValueError, UserError):
            return None
        return scores if isinstance(scores, dict) and scores else None


class _Deleter:
    """Deletes steps, in Orbax's thread: a rename and then the rest."""

    def __init__(self, directory: Path):
        self._directory = directory

    def delete(self, step: int) -> None:
        """Deletes a step. A kill leaves a whole step, or a folder that is no step."""
        if not parallel.is_main_host():
            return
        folder = self._directory / str(step)
        doomed = folder.with_name(f"{step}{TEMPORARY}-deleted")
        with contextlib.suppress(FileNotFoundError):  # the user has deleted it
            folder.rename(doomed)
            shutil.rmtree(doomed)

    def delete_steps(self, steps: Sequence[int]) -> None:
        """Deletes several steps."""
        for step in steps:
            self.delete(step)

    def finish(self) -> None:
        """Removes steps that were half deleted or half written."""
        if not parallel.is_main_host():
            return
        for path in self._directory.glob(f"[0-9]*{TEMPORARY}*"):
            if path.is_dir() and not path.is_symlink():
                # A thread of a save that has failed may still write there.
                shutil.rmtree(path, ignore_errors=True)

    def close(self) -> None:
        """Does nothing: each deletion has ended when its call returns."""
