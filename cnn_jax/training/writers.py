"""Writes metrics and images to metrics.jsonl, TensorBoard and the console."""

import contextlib
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tqdm import tqdm

from cnn_jax.core import disk, names, strict_json
from cnn_jax.core.errors import UserError
from cnn_jax.training.metrics_log import MetricsLog

MARKUP = re.compile(r"[&<>|*`~\\\[\]]|\b_|_\b")
SECONDS_BETWEEN_LINES = 5.0
EVENTS = "events"  # prefix of the names of TensorBoard's files
ACCURACIES = ("train/accuracy", "train/pixel_accuracy")  # shown as percentages


class Events:
    """A writer of TensorBoard events.

    The events are written by the thread that calls the methods, not by a background
    thread. So a full disk raises an error instead of silently ending the log.

    Args:
      folder: the folder of the events, which is a run of TensorBoard.
      step: the step from which a run starts or resumes.
      ending: the end of the file's name.
    """

    def __init__(self, folder: Path, step: int = 0, ending: str = ""):
        self._folder = folder
        with self._writing():
            self._events = EventsWriter(str(folder / EVENTS), f".{os.getpid()}{ending}")
        # On this event TensorBoard drops events of this and later steps in earlier
        # files. An open TensorBoard has read the removed files too.
        first = step + 1 if step else 0
        self.write(first, SessionLog(status=SessionLog.START))

    def __enter__(self) -> "Events":
        return self

    def __exit__(self, kind, error, traceback) -> None:
        # If several errors occur, the first one is shown.
        hidden = () if error is None else (OSError, UserError)
        with contextlib.suppress(*hidden):
            self.close()

    def close(self) -> None:
        """Flushes and closes the file."""
        with contextlib.ExitStack() as stack:
            # The stack calls both in reverse order.
            stack.callback(self._close_events)
            stack.callback(self.flush)

    def _writing(self) -> contextlib.AbstractContextManager[None]:
        """Returns a context that turns errors of writing into a `UserError`."""
        return disk.writing(f"TensorBoard events to {self._folder}")

    def _close_events(self) -> None:
        with self._writing():
            self._events.close()

    def flush(self) -> None:
        """Flushes everything written so far to the disk."""
        with self._writing():
            self._events.flush()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes a point in each TensorBoard chart."""
        for name, value in values.items():
            self.write(step, summary.scalar(name, value))

    def image(self, step: int, name: str, picture: np.ndarray) -> None:
        """Writes an image, uint8 (height, width, 3)."""
        self.write(step, summary.image(name, picture, dataformats="HWC"))

    def text(self, step: int, name: str, markdown: str) -> None:
        """Writes a text in Markdown."""
        self.write(step, summary.text(name, markdown))

    def histograms(self, step: int, values: Mapping[str, np.ndarray]) -> None:
        """Writes a histogram of each array's finite values."""
        for name, array in values.items():
            finite = array[np.isfinite(array)]
            if finite.size:
                self.write(step, summary.histogram(name, finite, bins=30))

    def hparams_row(self, values: Mapping[str, Any]) -> None:
        """Writes the run's row of TensorBoard's HParams table.

        Args:
          values: the hyperparameters of the run by name.
        """
        _, start, end = summary.hparams(_shown(values), {})
        self.write(0, start)
        self.write(0, end)

    def hparams_columns(
        self, values: Mapping[str, Any], metrics: Sequence[str]
    ) -> None:
        """Writes the columns of TensorBoard's HParams table.

        TensorBoard takes the columns from any one run. Without columns of a run, it
        finds the columns from all rows.

        Args:
          values: an example of each hyperparameter's value by name.
          metrics: the names of the metrics in the table.
        """
        columns, *_ = summary.hparams(_shown(values), dict.fromkeys(metrics, 0.0))
        self.write(0, columns)

    def write(self, step: int, content: Summary | SessionLog) -> None:
        """Writes a summary, or the start of a session."""
        kind = "summary" if isinstance(content, Summary) else "session_log"
        event = Event(wall_time=time.time(), step=step, **{kind: content})
        with self._writing():
            self._events.write_event(event)


class Log(Events):
    """A writer of a run's metrics.jsonl and TensorBoard events.

    Args:
      workdir: the run's folder.
      step: the step from which the run starts or resumes. Metrics that a killed run
        wrote for later steps are removed.
      mark: the size and the checksum of metrics.jsonl at this step, as returned by the
        method `mark`; None if unknown.
    """

    def __init__(self, workdir: Path, step: int, mark: Mapping[str, int] | None = None):
        self._lines = MetricsLog(workdir, step, mark)
        if not step:
            # The run may have been killed before its first checkpoint. It writes all
            # events again, and readers would show texts and images twice.
            for path in workdir.glob(f"{EVENTS}.out.tfevents.*"):
                path.unlink()
        super().__init__(workdir, step)

    @property
    def complaint(self) -> str | None:
        """A line about damage in metrics.jsonl; None without damage."""
        return self._lines.complaint

    def mark(self) -> dict[str, int]:
        """Returns the size and the checksum of metrics.jsonl so far."""
        return self._lines.mark()

    def __enter__(self) -> "Log":
        return self

    def close(self) -> None:
        """Flushes and closes both files."""
        with contextlib.ExitStack() as stack:
            # The stack calls both in reverse order.
            stack.callback(self._lines.close)
            stack.callback(super().close)

    def flush(self) -> None:
        """Flushes everything written so far to the disk."""
        self._lines.flush()
        super().flush()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes a line of metrics.jsonl, and a point in each TensorBoard chart."""
        self._lines.write(strict_json.dumps({"step": step, **values}))
        super().scalars(step, values)
        self.flush()


def _shown(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns hyperparameters as numbers and texts for the HParams table."""
    return {
        key: value if isinstance(value, bool | int | float) else names.text(str(value))
        for key, value in values.items()
    }


def cell(value: Any) -> str:
    """Returns a value as text for a Markdown table, with all markup escaped."""
    return MARKUP.sub(lambda found: f"&#{ord(found[0])};", names.text(str(value)))


def markdown(table: Sequence[Mapping[str, Any]]) -> str:
    """Returns a table in Markdown; numbers have at most four decimal places.

    Args:
      table: the rows; all rows have the same names.
    """
    lines = [list(table[0]), ["---"] * len(table[0])] if table else []
    for row in table:
        lines.append(
            [f"{v:.4f}" if isinstance(v, float) else cell(v) for v in row.values()]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


class Console:
    """The console output of a run: a progress bar and lines of text.

    If stderr is not a terminal, the console prints a line every few seconds instead of
    the progress bar.

    Args:
      total: the number of steps of the whole run.
      step: the step from which the run starts or resumes.
      steps_per_epoch: the number of steps per epoch, to count epochs.
      batch_size: the number of examples per step, to estimate the remaining time.
      enabled: if False, nothing is printed. Only the main host enables its console.
    """

    def __init__(
        self,
        total: int,
        step: int,
        steps_per_epoch: float,
        batch_size: int,
        *,
        enabled: bool = True,
    ):
        self._total, self._batch_size = total, batch_size
        self._steps_per_epoch = steps_per_epoch
        self._enabled = enabled
        self._terminal = enabled and sys.stderr.isatty()
        self._last_line = time.monotonic()
        self._bar = tqdm(
            total=total,
            initial=step,
            unit="step",
            disable=not self._terminal,
            dynamic_ncols=True,
            bar_format="{percentage:3.0f}% {bar} {n_fmt}/{total_fmt}{postfix}, "
            "{remaining} left",
        )

    def __enter__(self) -> "Console":
        return self

    def __exit__(self, *_: Any) -> None:
        self._bar.close()

    def say(self, text: str) -> None:
        """Prints a line."""
        if not self._enabled:
            return
        try:
            tqdm.write(text, file=sys.stderr)
            sys.stderr.flush()
        except BrokenPipeError:
            # The reader of the output (`... | head`) has ended; the run continues.
            self._enabled = False

    def step(self, step: int) -> None:
        """Moves the progress bar to a step."""
        self._bar.update(step - self._bar.n)

    def training(self, step: int, row: Mapping[str, float]) -> None:
        """Shows training metrics.

        Args:
          step: the number of training steps so far.
          row: the mean metrics since the last log line; see `Progress.row`.
        """
        speed = row.get("train/examples_per_second")
        parts = [
            *(f"loss {v:.4f}" for k, v in row.items() if k == "train/loss"),
            *(f"{k[6:]} {v:.2%}" for k, v in row.items() if k in ACCURACIES),
        ]
        if speed:
            parts.append(f"{speed:,.0f} examples/s")
        epoch = step / self._steps_per_epoch
        if self._terminal:
            self._bar.set_postfix_str("  ".join([f"epoch {epoch:.1f}", *parts]))
            return
        now = time.monotonic()
        if now - self._last_line < SECONDS_BETWEEN_LINES and step < self._total:
            return
        self._last_line = now
        progress = f"step {step}/{self._total}  epoch {epoch:.1f}"
        if speed and step < self._total:
            left = (self._total - step) * self._batch_size / speed
            parts.append(f"{timedelta(seconds=round(left))} left")
        self.say("  ".join([progress, *parts]))
