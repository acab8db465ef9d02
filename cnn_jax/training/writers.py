"""Where numbers and pictures go: metrics.jsonl, TensorBoard, the console."""

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
from tqdm import tqdm

from cnn_jax.core import disk, names, strict_json
from cnn_jax.core.errors import UserError
from cnn_jax.training.metrics_log import MetricsLog

MARKUP = re.compile(r"[&<>|*`~\\\[\]]|\b_|_\b")
SECONDS_BETWEEN_LINES = 5.0
EVENTS = "events"  # how the names of TensorBoard's files begin
ACCURACIES = ("train/accuracy", "train/pixel_accuracy")  # of those that tasks measure


class Log:
    """Writes a run's metrics.jsonl and TensorBoard events.

    Events are written by the caller's thread, so that a full disk ends the run
    and not, silently, its record.

    Args:
      workdir: the run's folder.
      step: where the run goes on from. What was written for later steps by a run
        that was killed is taken back.
      mark: of the lines that stood in metrics.jsonl at that step.
    """

    def __init__(self, workdir: Path, step: int, mark: Mapping[str, int] | None = None):
        self._workdir = workdir
        self._lines = MetricsLog(workdir, step, mark)
        if not step:
            # A run that was killed before its first checkpoint: all of its events are
            # written again, and readers would show texts and pictures twice.
            for path in workdir.glob(f"{EVENTS}.out.tfevents.*"):
                path.unlink()
        with self._writing():
            self._events = EventsWriter(str(workdir / EVENTS), f".{os.getpid()}")
        # TensorBoard drops the events of this step and of later ones in earlier files;
        # one that is open has read those that are removed.
        first = step + 1 if step else 0
        self._event(first, session_log=SessionLog(status=SessionLog.START))

    @property
    def complaint(self) -> str | None:
        """What was found damaged in metrics.jsonl."""
        return self._lines.complaint

    def mark(self) -> dict[str, int]:
        """Returns the size and the checksum of metrics.jsonl so far."""
        return self._lines.mark()

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, kind, error, traceback) -> None:
        # Of several errors the first one is shown.
        hidden = () if error is None else (OSError, UserError)
        with contextlib.suppress(*hidden), contextlib.ExitStack() as stack:
            # The stack calls all three, the last one first.
            for end in (self._lines.close, self._close_events, self.flush):
                stack.callback(end)

    def _writing(self) -> contextlib.AbstractContextManager[None]:
        return disk.writing(f"TensorBoard events to {self._workdir}")

    def _close_events(self) -> None:
        with self._writing():
            self._events.close()

    def flush(self) -> None:
        """Brings everything written so far to the disk."""
        self._lines.flush()
        with self._writing():
            self._events.flush()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """A line of metrics.jsonl and a point in each of TensorBoard's charts."""
        self._lines.write(strict_json.dumps({"step": step, **values}))
        for name, value in values.items():
            self._event(step, summary=summary.scalar(name, value))
        self.flush()

    def image(self, step: int, name: str, picture: np.ndarray) -> None:
        """A picture, uint8 (height, width, 3)."""
        self._event(step, summary=summary.image(name, picture, dataformats="HWC"))

    def text(self, step: int, name: str, markdown: str) -> None:
        """Markdown, as TensorBoard shows it."""
        self._event(step, summary=summary.text(name, markdown))

    def histograms(self, step: int, values: Mapping[str, np.ndarray]) -> None:
        """The distribution of each array's finite values."""
        for name, array in values.items():
            finite = array[np.isfinite(array)]
            if finite.size:
                self._event(step, summary=summary.histogram(name, finite, bins=30))

    def hparams(self, values: Mapping[str, Any], metrics: Sequence[str]) -> None:
        """The run's row in TensorBoard's HParams table, and its result columns."""
        values = {
            key: value
            if isinstance(value, bool | int | float)
            else names.text(str(value))
            for key, value in values.items()
        }
        for part in summary.hparams(values, dict.fromkeys(metrics, 0.0)):
            self._event(0, summary=part)

    def _event(self, step: int, **content: Any) -> None:
        with self._writing():
            self._events.write_event(Event(wall_time=time.time(), step=step, **content))


def cell(value: Any) -> str:
    """Returns a value as text in a Markdown table, where no character is markup."""
    return MARKUP.sub(lambda found: f"&#{ord(found[0])};", names.text(str(value)))


class Console:
    """A progress bar, or a line every few seconds where the output is no terminal.

    Args:
      total: steps of the whole run.
      step: where it starts.
      steps_per_epoch: to count epochs.
      batch_size: to tell the time left from the examples a second.
      enabled: False on all hosts but the first.
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
        """A line of its own."""
        if not self._enabled:
            return
        try:
            tqdm.write(text, file=sys.stderr)
            sys.stderr.flush()
        except BrokenPipeError:
            # Whoever read along (`... | head`) has left; the run goes on.
            self._enabled = False

    def step(self, step: int) -> None:
        """Counts a step on the bar."""
        self._bar.update(step - self._bar.n)

    def training(self, step: int, row: Mapping[str, float]) -> None:
        """Shows the metrics of the last steps."""
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
