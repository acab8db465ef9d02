"""Orbax's checkpoint manager, with three problems solved.

A step is the checkpoint of one training step, and its folder has the number of the
step. In contrast to Orbax's own manager, scores have a checksum; a process that is
killed during a deletion leaves no incomplete step; and a full disk ends a save with an
error instead of blocking it.
"""

import contextlib
import logging
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp

from cnn_jax.core.errors import UserError
from cnn_jax.core.orbax_paths import orbax_path
from cnn_jax.training import checkpoint_notes, parallel

TEMPORARY = ".orbax-checkpoint-tmp"  # marks folders that are no complete step


@contextlib.contextmanager
def _errors_alone() -> Iterator[None]:
    """Hides Orbax's warning that a manager is read only, as the caller intends."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(max(level, logging.ERROR))
    try:
        yield
    finally:
        logger.setLevel(level)


class Manager(ocp.CheckpointManager):
    """An Orbax manager of the checkpoints in a folder.

    Args:
      directory: the folder; it need not exist.
      read_only: if True, the manager writes nothing. Otherwise it creates the folder,
        and removes steps that a killed process has written or deleted only in part.
      options: other options of `CheckpointManagerOptions`.
    """

    def __init__(self, directory: Path, *, read_only: bool, **options: Any):
        deleter = _Deleter(directory)
        if not read_only:
            deleter.finish()
        with _errors_alone() if read_only else contextlib.nullcontext():
            super().__init__(
                orbax_path(directory),
                item_names=("state", "progress"),
                options=ocp.CheckpointManagerOptions(
                    read_only=read_only,
                    create=not read_only,
                    # Threads would wait up to five minutes for a folder that is created
                    # in the background, even if its creation has failed.
                    async_options=ocp.options.AsyncOptions(
                        create_directories_asynchronously=False
                    ),
                    **options,
                ),
            )
        # Orbax's own option `todelete_subdir` renames a step but never deletes it.
        self._checkpoint_deleter = deleter

    def metrics(self, step: int) -> Any:
        """Returns the scores of a step; None if the step has no scores, or damaged
        scores.

        The scores are read from the checkpoint's notes (`checkpoint_notes`), because
        Orbax's own file of scores has no checksum. When a manager is made, Orbax calls
        this method for every step.
        """
        try:
            scores = checkpoint_notes.read(Path(self.directory) / str(step)).scores
            scores = super().metrics(step) if scores is None else scores
        except (OSError, ValueError, UserError):
            return None
        return scores if isinstance(scores, dict) and scores else None


class _Deleter:
    """A deleter of steps that Orbax calls.

    It first renames the folder of a step, and then removes the renamed folder.
    """

    def __init__(self, directory: Path):
        self._directory = directory

    def delete(self, step: int) -> None:
        """Deletes a step.

        If the process is killed during the deletion, there are two cases. Either the
        step is still complete, or its folder has a new name, which neither Orbax nor
        `Checkpoints` takes for a step.
        """
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
        """Removes steps that were deleted or written only in part."""
        if not parallel.is_main_host():
            return
        for path in self._directory.glob(f"[0-9]*{TEMPORARY}*"):
            if path.is_dir() and not path.is_symlink():
                # A thread of a failed save may still write into the folder.
                shutil.rmtree(path, ignore_errors=True)

    def close(self) -> None:
        """Does nothing: every deletion is complete when its call returns."""
