"""Evaluates every example of a split once, on all devices."""

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.tasks import metrics
from cnn_jax.tasks.metrics import Rows, Totals
from cnn_jax.training import parallel

# The number of examples with the largest errors that are kept to be shown.
WORST = 16


class Evaluation(NamedTuple):
    """The result of the evaluation of a split.

    Attributes:
      totals: the metrics' sums and counts over all hosts.
      worst: this host's examples with the largest `error` in the predictions, the
        worst first. Each is a dict of the rows of the batch and of the predictions.
      rows: the collected entries of each example of all hosts, in order.
    """

    totals: Totals
    worst: Rows
    rows: Rows


def evaluate(
    eval_step: Callable,
    variables: Any,
    batches: Iterable[Mapping[str, np.ndarray]],
    collected: Sequence[str] = (),
) -> Evaluation:
    """Evaluates every example of `batches`.

    Args:
      eval_step: `(variables, batch) -> metrics, predictions`, mapped over devices.
      variables: the model's variables, replicated on this host's devices.
      batches: this host's batches, padded to one size and masked.
      collected: the entries of batches and predictions to keep for every example.
    """
    totals: Totals = {}
    kept: list[tuple[int, dict]] = []
    worst: list[tuple[float, int, dict]] = []
    order = count()
    waiting = None

    def collect(rows, pairs, predictions) -> None:
        nonlocal totals
        totals = metrics.add(totals, pairs)
        rows = dict(rows) | parallel.take_rows(predictions)
        if collected:
            names = (*collected, "index", "mask")
            everywhere = parallel.gather_rows({name: rows[name] for name in names})
            for i in np.flatnonzero(everywhere["mask"] > 0):
                row = {name: everywhere[name][i] for name in collected}
                kept.append((int(everywhere["index"][i]), row))
        error = np.where(rows["mask"] > 0, rows["error"], 0)
        for index in np.argsort(-error, kind="stable")[:WORST]:
            if error[index] > 0:
                row = {key: value[index] for key, value in rows.items()}
                # The earlier of two equal errors counts as the worse one.
                heapq.heappush(worst, (float(error[index]), -next(order), row))
                if len(worst) > WORST:
                    heapq.heappop(worst)

    # The results of a batch are fetched while the next batch is computed.
    for rows, on_devices in parallel.prefetch(batches):
        outputs = eval_step(variables, on_devices)
        parallel.hold_back(outputs)
        if waiting:
            collect(*waiting)
        waiting = (rows, *outputs)
    if waiting:
        collect(*waiting)
    return Evaluation(
        totals,
        [row for *_, row in sorted(worst, key=lambda w: w[:2], reverse=True)],
        [row for _, row in sorted(kept, key=lambda pair: pair[0])],
    )
