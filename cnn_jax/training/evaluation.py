"""Evaluation: every example of a split once, on all devices."""

import heapq
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import Any

import numpy as np

from cnn_jax.tasks.metrics import Totals
from cnn_jax.training import metrics, parallel

# How many of the examples of greatest error are kept to be shown.
WORST = 16


def evaluate(
    eval_step: Callable,
    variables: Any,
    batches: Iterable[Mapping[str, np.ndarray]],
) -> tuple[Totals, list[dict[str, np.ndarray]]]:
    """Sums of the metrics over all hosts, and this host's worst examples.

    Args:
      eval_step: `(variables, batch) -> metrics, predictions`, mapped over devices.
      batches: this host's, padded to one size and masked.

    Returns:
      The sums, and the examples whose `error` in `predictions` is greatest, worst
      first: one dict each with the rows of the batch and of the predictions.
    """
    totals: Totals = {}
    worst: list[tuple[float, int, dict]] = []
    order = count()
    waiting = None

    def collect(rows, pairs, predictions) -> None:
        nonlocal totals
        totals = metrics.add(totals, pairs)
        rows = dict(rows) | parallel.take_rows(predictions)
        error = np.where(rows["mask"] > 0, rows["error"], 0)
        for index in np.argsort(-error, kind="stable")[:WORST]:
            if error[index] > 0:
                row = {key: value[index] for key, value in rows.items()}
                # The earlier of two equal errors counts as the worse one.
                heapq.heappush(worst, (float(error[index]), -next(order), row))
                if len(worst) > WORST:
                    heapq.heappop(worst)

    # The results of a batch are fetched while the next one is computed.
    for rows, on_devices in parallel.prefetch(batches):
        outputs = eval_step(variables, on_devices)
        parallel.hold_back(outputs)
        if waiting:
            collect(*waiting)
        waiting = (rows, *outputs)
    if waiting:
        collect(*waiting)
    return totals, [row for *_, row in sorted(worst, key=lambda w: w[:2], reverse=True)]
