"""Saves and restores checkpoints with Orbax, and detects damage.

A checkpoint contains a checksum of every leaf of the state, because Orbax restores
array data with a flipped byte without an error. A step that Orbax lists may be damaged,
or deleted only in part by an older version of this package. To find the newest complete
checkpoint, checkpoints are therefore read, from the newest to the oldest.
"""

import contextlib
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import serialization
from orbax.checkpoint import checkpoint_managers

from cnn_jax.core import disk, records
from cnn_jax.core.errors import UserError
from cnn_jax.core.orbax_paths import orbax_path
from cnn_jax.training import checkpoint_notes, parallel
from cnn_jax.training.checkpoint_manager import Manager
from cnn_jax.training.state import State


class Checkpoints:
    """The stored checkpoints of a run: the best checkpoint and the newest checkpoints.

    Use an instance in a `with` block: the end of the block waits until the save in
    progress is complete.

    Args:
      directory: the folder of the checkpoints.
      best_metric: the name of the score that decides which checkpoint is best. The
        checkpoint with the highest score is the best. None: no checkpoint is.
      keep: how many of the newest checkpoints are kept, in addition to the best.
      read_only: if True, nothing is written or removed.
    """

    def __init__(
        self,
        directory: Path,
        *,
        best_metric: str | None,
        keep: int = 1,
        read_only=False,
    ):
        self.directory = directory.absolute()
        self.best_metric = best_metric
        self._keep, self._read_only = keep, read_only

        def score(metrics: Mapping[str, Any]) -> float:
            value = metrics.get(best_metric or "")
            # In old files, without a checksum, damage may leave another type.
            return value if isinstance(value, int | float) else -math.inf

        newest = checkpoint_managers.LatestN(keep)
        best = checkpoint_managers.BestN(
            get_metric_fn=score, n=1, keep_checkpoints_without_metrics=False
        )
        policy = checkpoint_managers.AnyPreservationPolicy(
            [newest, best] if best_metric else [newest]
        )
        with self._writing():
            self._manager = Manager(
                self.directory,
                read_only=read_only,
                preservation_policy=None if read_only else policy,
                best_fn=score,  # Orbax writes metrics only with this
            )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind, error, traceback) -> None:
        if error is None:
            with self._writing():
                self._manager.wait_until_finished()
                self._manager.close()
        else:
            # The first error is the one to show.
            with contextlib.suppress(Exception):
                self._manager.close()

    def _writing(self) -> contextlib.AbstractContextManager[None]:
        """Turns errors of writing into a `UserError`."""
        return disk.writing(f"checkpoints to {self.directory}")

    def save(
        self,
        step: int,
        state: Any,
        progress: Mapping[str, Any],
        metrics: Mapping[str, float] | None,
    ) -> None:
        """Starts to save a checkpoint in the background.

        The caller may change the state as soon as this method returns.

        Args:
          step: the number of training steps so far.
          state: the state to save.
          progress: the progress of the run; see `Progress.saved`.
          metrics: the scores of the evaluation at this step; None if there was no
            evaluation.

        Raises:
          UserError: if this checkpoint or an earlier checkpoint cannot be written.
        """
        tree = parallel.to_global(serialization.to_state_dict(state))
        noted = checkpoint_notes.sealed(progress, checksums(tree), metrics or {})
        with self._writing():
            if step in self._manager.all_steps():
                # A damaged one: the run would have resumed from it otherwise.
                self._manager.delete(step)
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.PyTreeSave(tree),
                    progress=ocp.args.JsonSave(noted),
                ),
                metrics=dict(metrics) if metrics else None,
                force=True,
            )

    def wait(self) -> None:
        """Waits until the save in progress is complete.

        Raises:
          UserError: if the checkpoint cannot be written.
        """
        with self._writing():
            self._manager.wait_until_finished()

    def steps(self) -> list[int]:
        """Returns the steps of all checkpoints in ascending order.

        Damaged checkpoints are included.
        """
        return sorted(self._manager.all_steps())

    def best_step(self) -> int | None:
        """Returns the step of the checkpoint with the best score.

        Among equal scores, the latest checkpoint is the best. The result is None if no
        checkpoint has a score, or if there is no best metric.

        Raises:
          UserError: if the scores of a checkpoint are damaged, and no newer checkpoint
            states which checkpoint is the best.
        """
        if self.best_metric is None:
            return None
        scores, damage, best = {}, None, None
        for step in self.steps():
            try:
                noted = self._noted(step)
            except FileNotFoundError:
                continue  # half deleted
            except UserError as error:
                damage, best = error, None
                continue
            best = noted.progress.get("results", {}).get("best/step")
            found = self._manager.metrics(step) or {}
            if isinstance(value := found.get(self.best_metric), int | float):
                scores[step] = value
        if damage and best not in scores:
            raise UserError(
                f"{damage} The best checkpoint is therefore unknown: give "
                "--checkpoint=STEP."
            )
        if damage:
            return best
        return max(scores, key=lambda step: (scores[step], step), default=None)

    def scores(self, step: int) -> dict[str, float]:
        """Returns the scores of a checkpoint by its step.

        The result is {} if the checkpoint has no scores, or was written by an old
        version.

        Raises:
          UserError: if the notes of the step are damaged.
        """
        return self._noted(step).scores or {}

    def _noted(self, step: int) -> checkpoint_notes.Notes:
        """Returns the notes of a checkpoint by its step.

        Raises:
          FileNotFoundError: if there are no notes.
          UserError: if the notes are damaged.
        """
        try:
            return checkpoint_notes.read(self.directory / str(step))
        except records.Damaged as error:
            raise UserError(
                f"the checkpoint of step {step} in {self.directory} is damaged: {error}"
            ) from error

    def _damaged(self, steps: Sequence[int]) -> Iterator[str]:
        """Yields an error message for each of these steps whose notes are damaged."""
        for step in steps:
            try:
                self._noted(step)
            except FileNotFoundError:
                pass  # half deleted
            except UserError as error:
                yield str(error)

    def _without_old(self, steps: Sequence[int]) -> list[int]:
        """Deletes old checkpoints: neither the best nor among the newest.

        A process that is killed after a save, but before Orbax has deleted older
        checkpoints, leaves such checkpoints.

        Args:
          steps: the steps of all checkpoints except for the newest.

        Returns:
          The steps of the checkpoints that are kept, without the newest.
        """
        if self._read_only:
            return [*steps]
        try:
            best = self.best_step()
        except UserError:
            return [*steps]  # any of them may be the best
        old = {*steps[: max(0, len(steps) + 1 - self._keep)]} - {best}
        with self._writing():
            for step in sorted(old):
                self._manager.delete(step)
        return [step for step in steps if step not in old]

    def restore_newest(self, like: Any) -> tuple[Any, dict[str, Any], list[str]]:
        """Restores the newest complete checkpoint.

        If the newest checkpoint is complete, old checkpoints that a killed run has left
        are deleted.

        Args:
          like: a state of the same structure, or its shapes.

        Returns:
          Three values: the state (None if there is no checkpoint), the progress, and a
          list with an error message for each damaged checkpoint.

        Raises:
          UserError: if there are checkpoints, but none can be read.
        """
        complaints = []
        steps = self.steps()
        for number, step in reversed([*enumerate(steps)]):
            try:
                found = self.restore(step, like)
            except UserError as error:
                complaints.append(str(error))
            else:
                older = steps[:number]
                if not complaints:
                    older = self._without_old(older)
                return (*found, [*complaints, *self._damaged(older)])
        if complaints:
            raise UserError(
                f"no checkpoint in {self.directory} can be read. {' '.join(complaints)}"
                " To remove the run and train it again, add --overwrite."
            )
        return None, {}, []

    def variables(self, step: int, like: State) -> Any:
        """Returns a checkpoint's variables for evaluation; see `State.variables`.

        Args:
          step: the step of the checkpoint.
          like: a state, or its shapes.
        """
        if like.ema is not None:
            return self.restore(step, {"ema": like.ema})[0]["ema"]
        return self.restore(step, like.variables())[0]

    def restore(self, step: int, like: Any) -> tuple[Any, dict[str, Any]]:
        """Returns the state and the progress of a checkpoint.

        Args:
          step: the step of the checkpoint.
          like: a state or a part of a state, or its shapes. The returned state has the
            same structure.

        Raises:
          UserError: if the checkpoint is damaged, or has another structure.
        """
        target = serialization.to_state_dict(like)
        sharding = parallel.global_sharding()
        abstract = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), target
        )
        try:
            noted = self._noted(step)
            # The manager itself reads only with the handlers of its saves.
            with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as reader:
                restored = reader.restore(
                    orbax_path(self.directory) / str(step),
                    args=ocp.args.Composite(
                        state=ocp.args.PyTreeRestore(
                            abstract,
                            restore_args=ocp.checkpoint_utils.construct_restore_args(
                                abstract
                            ),
                            partial_restore=True,
                        ),
                    ),
                )
            tree = restored["state"]
            damaged = [
                name
                for name, value in checksums(tree).items()
                if noted.checksums.get(name) != value
            ]
        except UserError:
            raise
        except Exception as error:
            reason = str(error).strip().splitlines()
            raise UserError(
                f"the checkpoint of step {step} in {self.directory} cannot be read "
                f"({type(error).__name__}: {reason[0] if reason else 'no reason'})."
            ) from error
        if damaged:
            raise UserError(
                f"the checkpoint of step {step} in {self.directory} is damaged: the "
                f"checksum of {damaged[0]} is wrong."
            )
        return serialization.from_state_dict(
            like, parallel.to_local(tree)
        ), noted.progress


def checksums(tree: Any) -> dict[str, int]:
    """Returns the CRC-32 of the bytes of every leaf, by the leaf's path."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): zlib.crc32(
            np.ascontiguousarray(_on_host(leaf)).reshape(-1).view(np.uint8).data
        )
        for path, leaf in leaves
    }


def _on_host(leaf: jax.Array) -> np.ndarray:
    """Returns a replicated array as a NumPy array, from this host's own copy."""
    return np.asarray(leaf.addressable_data(0))
