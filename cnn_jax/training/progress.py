"""How far a run has come: metrics since the last log line, speed, best result."""

import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from cnn_jax.core.errors import UserError
from cnn_jax.tasks import metrics
from cnn_jax.tasks.metrics import means


class NonFinite(Exception):
    """The loss, or another number of a run, became infinite or not a number."""

    def __init__(self, step: int, value: float, name: str = "the loss"):
        super().__init__(f"{name} is {value} at step {step}")
        self.step = step


def check_ended(step: int, results: Mapping[str, int | float], variables: Any) -> None:
    """Raises NonFinite unless the results of a run and its variables are finite."""
    for name, value in results.items():
        if isinstance(value, float) and not np.isfinite(value):
            raise NonFinite(step, value, name)
    for leaf in jax.tree.leaves(variables):
        if not np.isfinite(np.asarray(leaf.addressable_data(0))).all():
            raise NonFinite(step, np.nan, "a parameter or statistic")


class Progress:
    """Counts steps without waiting for them.

    What a step returns stays on the devices until it is drained. A checkpoint holds
    all of this, so the log of a resumed run is the log of one that was left alone.

    Args:
      saved: what `saved()` gave to the checkpoint that the run goes on from.
      best_metric: the one (higher is better) that decides which result is the best.
    """

    def __init__(self, saved: Mapping[str, Any], best_metric: str):
        self._begun = time.perf_counter() - saved.get("seconds", 0.0)
        self._best_metric = best_metric
        self._totals: metrics.Totals = {
            name: (np.float64(total), count)
            for name, (total, count) in saved.get("totals", {}).items()
        }
        self._pending: list[tuple[int, Any]] = []
        # When the running measurement of speed began; None while it rests.
        self._clock: float | None = None
        # Examples and seconds: since the last log line, and of all steps before.
        self._recent = np.zeros(2)
        self._measured = np.array(saved.get("measured", [0, 0.0]), np.float64)
        self.results: dict[str, float] = dict(saved.get("results", {}))

    def saved(self) -> dict[str, Any]:
        """The content of a checkpoint, as JSON. Drain first."""
        return {
            "seconds": self.seconds(),
            "totals": {
                name: [float(total), count]
                for name, (total, count) in self._totals.items()
            },
            "measured": (self._measured + self._recent).tolist(),
            "results": self.results,
        }

    def seconds(self) -> float:
        """Time spent on the run, compilation and evaluation included."""
        return time.perf_counter() - self._begun

    def examples_per_second(self) -> float | None:
        """Training speed, compilation and evaluation left out; None if not known."""
        examples, seconds = self._measured + self._recent
        return float(examples / seconds) if examples else None

    def add(self, step: int, pairs: Any, examples: int) -> None:
        """Notes what a step returned."""
        self._pending.append((step, pairs))
        if self._clock is None:
            # The first step after a rest compiles, or fills the pipeline: what it
            # took says nothing of the speed.
            jax.block_until_ready(pairs)
            self._clock = time.perf_counter()
        else:
            self._recent[0] += examples

    def drain(self) -> None:
        """Waits for the steps that are under way and adds up their metrics.

        Raises:
          NonFinite: the loss of a step is not a finite number.
        """
        for step, pairs in jax.device_get(self._pending):
            total, count = pairs["objective"]
            if not np.isfinite(total):
                raise NonFinite(step, float(total / count))
            self._totals = metrics.add(self._totals, pairs)
        self._pending = []
        if self._clock is not None:
            now = time.perf_counter()
            self._recent[1] += now - self._clock
            self._clock = now

    def rest(self) -> None:
        """Stops the measurement of speed until the next step. Drain first."""
        self._clock = None

    def row(self) -> dict[str, float]:
        """The means since the last row; the next one starts anew. Drain first."""
        found = means(self._totals)
        values = {f"train/{name}": value for name, value in found.items()}
        examples, seconds = self._recent
        if examples:
            values["train/examples_per_second"] = float(examples / seconds)
        self._totals = {}
        self._measured += self._recent
        self._recent = np.zeros(2)
        return values

    def tested(self, step: int, scores: Mapping[str, float]) -> None:
        """Notes an evaluation. Of equally good ones the latest is the best; one that
        is not a number is worse than any other.

        Raises:
          UserError: it lacks the metric by which checkpoints are compared.
        """
        if self._best_metric not in scores:
            raise UserError(
                f"{self._best_metric} cannot be measured: nothing in the test split "
                "counts for it. Look at its labels, and at data.test_examples."
            )
        best, score = f"best/{self._best_metric}", scores[self._best_metric]
        record = {best: score, "best/step": step}
        before = self.results.get(best, np.nan)
        if before > score or (np.isnan(score) and not np.isnan(before)):
            record = {key: self.results[key] for key in record}
        self.results = {"step": step, **scores, **record}
