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
      totals: the sum and the count of each metric over all hosts.
      worst: this host's examples with the largest "error", the largest first. Each
        example is a dict with the example's entries of the batch and the predictions.
      rows: the collected entries of every example of all hosts, in the order of the
        examples.
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
      eval_step: the function `(variables, batch) -> metrics, predictions`, mapped over
        this host's devices; see `parallel.eval_step`.
      variables: the model's variables, replicated on this host's devices.
      batches: this host's batches. All batches have the same size; padding rows have a
        "mask" of 0.
      collected: the names of the entries of batches and predictions that are kept for
        every example. Names without an entry are ignored: a user's subclass of a task
        may have other predictions.
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
            known = [name for name in collected if name in rows]
            names = (*known, "index", "mask")
            everywhere = parallel.gather_rows({name: rows[name] for name in names})
            for i in np.flatnonzero(everywhere["mask"] > 0):
                row = {name: everywhere[name][i] for name in known}
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
