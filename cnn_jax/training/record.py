"""Reports the progress of a run in metrics.jsonl, TensorBoard and the console."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cnn_jax.tasks import pictures
from cnn_jax.training import config as config_lib
from cnn_jax.training import parallel, startup
from cnn_jax.training.evaluation import Evaluation
from cnn_jax.training.setup import Training
from cnn_jax.training.writers import Console, Log, cell, markdown


class Report(contextlib.AbstractContextManager):
    """A report of a run; only the main host writes the report.

    Args:
      workdir: the run's folder.
      training: how the network is trained.
      step: the step from which the run starts or resumes.
      mark: the result of the method `mark` when the checkpoint of this step was saved;
        None if there is no checkpoint.
    """

    def __init__(
        self,
        workdir: Path,
        training: Training,
        step: int,
        mark: Mapping[str, int] | None = None,
    ):
        self._config = training.config
        self._task = training.network.task
        self._schedule = training.schedule
        main = parallel.is_main_host()
        with contextlib.ExitStack() as stack:
            self._console = stack.enter_context(
                Console(
                    training.steps,
                    step,
                    training.steps_per_epoch,
                    self._config.data.batch_size,
                    enabled=main,
                )
            )
            self._log = stack.enter_context(Log(workdir, step, mark)) if main else None
            self._stack = stack.pop_all()
        if self._log and self._log.complaint:
            self.say(f"warning: {self._log.complaint}")

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def mark(self) -> dict[str, int] | None:
        """Returns the size and the checksum of metrics.jsonl; None on other hosts than
        the main host."""
        return self._log.mark() if self._log else None

    def say(self, text: str) -> None:
        """Prints a line on the console."""
        self._console.say(text)

    def begin(
        self,
        table: str,
        tags: Mapping[str, str],
        inputs: Sequence[np.ndarray],
        scores: Sequence[str],
    ) -> None:
        """Writes config, layer table, HParams and training images for TensorBoard.

        Args:
          table: the layer table, in Markdown.
          tags: further names and values for the HParams table, in addition to the
            config.
          inputs: augmented training images, uint8.
          scores: the names of the metrics in the HParams table.
        """
        if not self._log:
            return
        rows = config_lib.flat(self._config)
        lines = "".join(f"\n| {key} | {cell(value)} |" for key, value in rows.items())
        self._log.text(0, "config", f"| key | value |\n|---|---|{lines}")
        self._log.text(0, "summary", table)
        # Unset durations, such as `epochs` beside `steps`, would fill the table.
        values = {key: value for key, value in rows.items() if value is not None}
        self._log.hparams_row({**tags, **values})
        if "arm" not in tags:  # a sweep writes one set of columns for all its runs
            self._log.hparams_columns({**tags, **values}, scores)
        self._log.image(0, "train/augmented", pictures.grid(inputs))
        self._log.flush()

    def step(self, step: int) -> None:
        """Moves the console's progress bar to a step.

        After the first step, this method also prints the startup time.
        """
        self._console.step(step)
        if seconds := startup.CLOCK.stop():
            self.say(startup.line(seconds))

    def training(self, step: int, row: dict[str, float], factor: float) -> None:
        """Writes the training metrics of the steps since the last log line.

        Args:
          step: the number of training steps so far.
          row: the means of the metrics; see `Progress.row`.
          factor: the factor of the schedule's learning rate; see `schedules.factor_of`.
        """
        row["train/learning_rate"] = factor * float(self._schedule(step - 1))
        if self._log:
            self._log.scalars(step, row)
        self._console.training(step, row)

    def evaluation(
        self,
        step: int,
        role: str,
        found: Evaluation,
        scores: Mapping[str, float],
        *,
        pictures: bool = True,
    ) -> None:
        """Writes an evaluation of a split.

        Args:
          step: the number of training steps so far.
          role: the name of the split, such as "test".
          found: the evaluation.
          scores: the scores by name, such as `{"test/loss": 0.1}`. Scores of other
            splits are not written.
          pictures: whether the pictures and tables of the evaluation are drawn.
        """
        scores = {k: v for k, v in scores.items() if k.startswith(f"{role}/")}
        if self._log:
            self._log.scalars(step, scores)
            if pictures:
                for name, picture in self._task.summaries(*found).items():
                    self._log.image(step, f"{role}/{name}", picture)
                for name, table in self._task.tables(found.totals).items():
                    self._log.text(step, f"{role}/{name}", markdown(table))
            self._log.flush()
        detailed = {f"{role}/{name}" for name in self._task.detailed}
        parts = [f"{n} {v:.4f}" for n, v in scores.items() if n not in detailed]
        self.say("  ".join([f"step {step}", *parts]))

    def parameters(self, step: int, params: Any) -> None:
        """Writes histograms of the parameters.

        Args:
          step: the number of training steps so far.
          params: the parameters of the network.
        """
        if self._log:
            self._log.histograms(step, named_leaves(params))
            self._log.flush()


def named_leaves(params: Any) -> dict[str, np.ndarray]:
    """Returns the parameters as NumPy arrays, by paths such as
    `weights/stem/conv/kernel`."""
    leaves, _ = jax.tree_util.tree_flatten_with_path({"weights": params})
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(
            leaf.addressable_data(0)
        )
        for path, leaf in leaves
    }
