"""The progress of a sweep on the console."""

import sys
import time
from datetime import timedelta

from tqdm import tqdm

from cnn_jax.sweeps.outcome import Outcome
from cnn_jax.sweeps.run import Run

BAD = ("failed", "unusable")


class Progress:
    """A display of the numbers of complete, running and failed runs and the time left.

    On a terminal, the display is a line at the bottom. Elsewhere a line is printed when
    a run ends.

    Args:
      done: the number of runs that were complete before.
      todo: the number of runs to train.
      at_once: the number of runs trained at a time, to estimate the time left; None
        takes the number of runs that are running.
    """

    def __init__(self, done: int, todo: int, at_once: int | None):
        self._done, self._total, self._at_once = done, done + todo, at_once
        self._todo, self._failed = todo, 0
        self._started: dict[str, float] = {}
        self._seconds: list[float] = []
        self._bar = tqdm(
            total=self._total,
            initial=done,
            disable=not sys.stderr.isatty(),
            dynamic_ncols=True,
            bar_format="{percentage:3.0f}% {bar} {postfix}",
        )
        self._count()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def show(self, run: Run, outcome: Outcome | None) -> None:
        """Shows that a run has ended with an outcome, or has started (outcome None)."""
        if outcome is None:
            self._started[run.name] = time.monotonic()
            self._count()
            return
        seconds = time.monotonic() - self._started.pop(run.name)
        self._todo -= 1
        self._done += outcome.status in ("done", "pruned")
        self._failed += outcome.status in BAD
        if outcome.status == "done":
            self._seconds.append(seconds)
        self._bar.update()
        duration = timedelta(seconds=round(seconds))
        why = f": {outcome.reason}" if outcome.reason else ""
        text = f"{run.name}: {outcome.status} after {duration}{why}"
        counts = self._count()
        if self._bar.disable:
            text += f" ({counts})"
        tqdm.write(text, file=sys.stderr)

    def _count(self) -> str:
        """Updates the numbers on the display, and returns them as text."""
        parts = [
            f"{self._done}/{self._total} done",
            f"{len(self._started)} running",
            f"{self._failed} failed",
        ]
        if self._seconds and self._todo:
            each = sum(self._seconds) / len(self._seconds)
            left = each * self._todo / (self._at_once or max(len(self._started), 1))
            parts.append(f"{timedelta(seconds=round(left))} left")
        text = ", ".join(parts)
        self._bar.set_postfix_str(text)
        return text
