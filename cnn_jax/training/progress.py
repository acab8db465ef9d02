"""The progress of a run: metrics since the last log line, speed, and best result."""

import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import Count, NotNegative
from cnn_jax.tasks import metrics
from cnn_jax.tasks.metrics import means


class NonFinite(Exception):
    """The loss or another number of a run is infinite or NaN.

    Args:
      step: the step at which the number was computed.
      value: the infinite or NaN number.
      name: the name of the number, for the error message.
    """

    def __init__(self, step: int, value: float, name: str = "the loss"):
        super().__init__(f"{name} is {value} at step {step}")
        self.step = step


def check_ended(step: int, results: Mapping[str, int | float], variables: Any) -> None:
    """Raises NonFinite unless all results and variables of a run are finite.

    Args:
      step: the last step of the run.
      results: the results of the run by name.
      variables: the variables of the network.
    """
    for name, value in results.items():
        if isinstance(value, float) and not np.isfinite(value):
            raise NonFinite(step, value, name)
    for leaf in jax.tree.leaves(variables):
        if not np.isfinite(np.asarray(leaf.addressable_data(0))).all():
            raise NonFinite(step, np.nan, "a parameter or statistic")


class Progress:
    """The metrics, the speed and the results of a run so far.

    Adding the metrics of a step does not wait until the step is computed: the metrics
    stay on the devices until `drain` fetches them. Checkpoints contain the progress, so
    a resumed run writes the same log as an uninterrupted run.

    Args:
      saved: the result of the method `saved` in the checkpoint from which the run
        resumes; {} for a new run.
      best_metric: the name of the score that decides which evaluation is best; higher
        is better. None: nothing is chosen.
      patience: the run ends early after this number of evaluations in a row without an
        improvement; None: never.
      min_delta: the least increase of the best metric that counts as an improvement.
    """

    def __init__(
        self,
        saved: Mapping[str, Any],
        best_metric: str | None,
        *,
        patience: Count | None = None,
        min_delta: NotNegative = 0.0,
    ):
        self._begun = time.perf_counter() - saved.get("seconds", 0.0)
        self._best_metric = best_metric
        self._totals: metrics.Totals = {
            name: (np.float64(total), count)
            for name, (total, count) in saved.get("totals", {}).items()
        }
        self._pending: list[tuple[int, Any]] = []
        # When the current measurement of speed began; None while it is paused.
        self._clock: float | None = None
        # Examples and seconds: since the last log line, and before it.
        self._recent = np.zeros(2)
        self._measured = np.array(saved.get("measured", [0, 0.0]), np.float64)
        self.results: dict[str, float] = dict(saved.get("results", {}))
        self._patience, self._min_delta = patience, min_delta
        # The score that the next evaluations must exceed (None before the first finite
        # score), and how many did not.
        self._reference, self._waited = saved.get("patience", [None, 0])

    def saved(self) -> dict[str, Any]:
        """Returns the progress as JSON values, for a checkpoint.

        Call `drain` first.
        """
        return {
            "seconds": self.seconds(),
            "totals": {
                name: [np.asarray(total, np.float64).tolist(), count]
                for name, (total, count) in self._totals.items()
            },
            "measured": (self._measured + self._recent).tolist(),
            "results": self.results,
        } | ({"patience": [self._reference, self._waited]} if self._patience else {})

    @property
    def ends_early(self) -> bool:
        """True if the last `patience` evaluations brought no improvement."""
        return self._patience is not None and self._waited >= self._patience

    def seconds(self) -> float:
        """Returns the duration of the run so far in seconds.

        The duration includes compilation and evaluation and, if the run was resumed,
        the time before the interruption.
        """
        return time.perf_counter() - self._begun

    def examples_per_second(self) -> float | None:
        """Returns the training speed, without compilation and evaluation.

        The result is None if the speed has not been measured.
        """
        examples, seconds = self._measured + self._recent
        return float(examples / seconds) if examples else None

    def add(self, step: int, pairs: Any, examples: int) -> None:
        """Adds the metrics of a step.

        Args:
          step: the number of training steps so far.
          pairs: the metrics of the step, as pairs (sum, count) on the devices.
          examples: the number of examples of the step.
        """
        self._pending.append((step, pairs))
        if self._clock is None:
            # The first step after a pause compiles or fills the pipeline, so its time
            # is not counted.
            jax.block_until_ready(pairs)
            self._clock = time.perf_counter()
        else:
            self._recent[0] += examples

    def drain(self) -> None:
        """Waits until all added steps are computed, and adds up their metrics.

        Raises:
          NonFinite: if the loss of a step is not finite.
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
        """Pauses the measurement of speed until the next step. Call `drain` first."""
        self._clock = None

    def row(self) -> dict[str, float]:
        """Returns the mean metrics of all steps since the last call of this method.

        Call `drain` first.
        """
        found = means(self._totals)
        values = {f"train/{name}": value for name, value in found.items()}
        examples, seconds = self._recent
        if examples:
            values["train/examples_per_second"] = float(examples / seconds)
        self._totals = {}
        self._measured += self._recent
        self._recent = np.zeros(2)
        return values

    def evaluated(self, step: int, scores: Mapping[str, float]) -> None:
        """Adds an evaluation to the results, and updates the best result.

        Among equal scores, the latest evaluation is the best. NaN is worse than every
        other score.

        Args:
          step: the number of training steps so far.
          scores: the scores of the evaluation.

        Raises:
          UserError: if `scores` does not contain the best metric.
        """
        if self._best_metric is None:
            self.results = {"step": step, **scores}
            return
        if self._best_metric not in scores:
            raise UserError(
                f"{self._best_metric} cannot be measured: no label in the validation "
                "split counts for this score. Check the labels of the validation split "
                "and config.data.val."
            )
        best, score = f"best/{self._best_metric}", scores[self._best_metric]
        record = {best: score, "best/step": step}
        before = self.results.get(best, np.nan)
        if before > score or (np.isnan(score) and not np.isnan(before)):
            record = {key: self.results[key] for key in record}
        self.results = {"step": step, **scores, **record}
        improved = np.isfinite(score) and (
            self._reference is None or score > self._reference + self._min_delta
        )
        self._waited = 0 if improved else self._waited + 1
        self._reference = score if improved else self._reference
