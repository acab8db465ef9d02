"""Saves and restores checkpoints with Orbax, and detects damage.

A checkpoint keeps a checksum of every leaf, because Orbax restores a flipped byte in
array data silently. A listed step may be damaged, or half deleted by an older version.
Therefore the newest complete checkpoint is found by reading it.
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


class Checkpoints:
    """The checkpoints of a run: the best one and the `keep` newest.

    Use it in a `with` block: the end of the block waits for the save in progress.

    Args:
      directory: the folder of the checkpoints.
      best_metric: the metric that decides which checkpoint is best; higher is better.
      keep: the number of newest checkpoints to keep.
      read_only: if True, writes nothing and removes no leftovers.
    """

    def __init__(
        self, directory: Path, *, best_metric: str, keep: int = 1, read_only=False
    ):
        self.directory = directory.absolute()
        self.best_metric = best_metric
        self._keep, self._read_only = keep, read_only

        def score(metrics: Mapping[str, Any]) -> float:
            value = metrics.get(best_metric)
            # In old files, without a checksum, damage may leave another type.
            return value if isinstance(value, int | float) else -math.inf

        policy = checkpoint_managers.AnyPreservationPolicy(
            [
                checkpoint_managers.LatestN(keep),
                checkpoint_managers.BestN(
                    get_metric_fn=score,
                    n=1,
                    keep_checkpoints_without_metrics=False,
                ),
            ]
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
        """Starts a save. The caller may change the state when this returns.

        Args:
          step: the number of training steps so far.
          state: the state to save.
          progress: the progress of the run; see `Progress.saved`.
          metrics: the scores of the step's evaluation; None without one.

        Raises:
          UserError: if this save or an earlier one cannot be written.
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

    def steps(self) -> list[int]:
        """Returns the steps that Orbax lists, in order; some may be damaged."""
        return sorted(self._manager.all_steps())

    def best_step(self) -> int | None:
        """Returns the step with the best evaluation, the latest of equally good ones.

        Raises:
          UserError: if the scores of a checkpoint are damaged, and no newer checkpoint
            says which one is best.
        """
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
                f"{damage} The best checkpoint is therefore unknown: choose a "
                "checkpoint by its step."
            )
        if damage:
            return best
        return max(scores, key=lambda step: (scores[step], step), default=None)

    def scores(self, step: int) -> dict[str, float]:
        """Returns the scores of a step; {} if it has none or is of an old version.

        Raises:
          UserError: if the notes of the step are damaged.
        """
        return self._noted(step).scores or {}

    def _noted(self, step: int) -> checkpoint_notes.Notes:
        """Returns the notes of a step."""
        try:
            return checkpoint_notes.read(self.directory / str(step))
        except records.Damaged as error:
            raise UserError(
                f"the checkpoint of step {step} in {self.directory} is damaged: {error}"
            ) from error

    def _damaged(self, steps: Sequence[int]) -> Iterator[str]:
        """Yields a line for each step whose notes are damaged."""
        for step in steps:
            try:
                self._noted(step)
            except FileNotFoundError:
                pass  # half deleted
            except UserError as error:
                yield str(error)

    def _without_old(self, steps: Sequence[int]) -> list[int]:
        """Deletes the old steps among those before the newest.

        A process that is killed between a save and the deletion leaves old steps.

        Returns:
          The steps that are kept.
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

        It also deletes old steps that a killed run has left.

        Args:
          like: a state of the same structure, or its shapes.

        Returns:
          The state (None if there is no checkpoint), the progress, and a line for each
          damaged checkpoint: newer ones that were skipped, and older ones.

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
                " Start again with --overwrite."
            )
        return None, {}, []

    def restore(self, step: int, like: Any) -> tuple[Any, dict[str, Any]]:
        """Returns the state of a step, with the structure of `like`, and the progress.

        Args:
          step: the step of the checkpoint.
          like: a state or a part of one, or its shapes.

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
    """Returns the CRC-32 of every leaf's bytes, by path."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): zlib.crc32(
            np.ascontiguousarray(_on_host(leaf)).reshape(-1).view(np.uint8).data
        )
        for path, leaf in leaves
    }


def _on_host(leaf: jax.Array) -> np.ndarray:
    """Returns the value of a replicated array; every host has a copy."""
    return np.asarray(leaf.addressable_data(0))
