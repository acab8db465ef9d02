"""What the runs of a sweep left behind, as a table."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnn_jax import tasks
from cnn_jax.sweeps.experiment import Experiment, Run
from cnn_jax.sweeps.outcome import Outcome, outcome
from cnn_jax.training import workdir as folder

COSTS = ("parameters", "macs", "examples_per_second")
CSV = "results.csv"


@dataclass(frozen=True)
class Row:
    """A run, what became of it and, if it is done, its results."""

    run: Run
    outcome: Outcome
    results: dict[str, Any]


def read(experiment: Experiment) -> list[Row]:
    """A row for each run, in the experiment's order."""
    return [_row(run) for run in experiment.runs]


def _row(run: Run) -> Row:
    found = outcome(run)
    results = folder.read_results(run.workdir) if found.status == "done" else None
    return Row(run, found, results or {})


def main_metric(experiment: Experiment) -> str:
    """The metric that arms are compared by: that of the task, on the test examples."""
    name = experiment.runs[0].config.task.name
    return f"test/{tasks.TASKS[name].best_metric}"


def other_splits(rows: Sequence[Row], metric: str) -> list[str]:
    """The same metric on further splits: `shifted/accuracy` for `test/accuracy`."""
    name = metric.partition("/")[2]
    found = {
        key
        for row in rows
        for key in row.results
        if key.count("/") == 1 and key.endswith(f"/{name}") and key != metric
    }
    return sorted(found)


def by_seed(rows: Sequence[Row], arm: str, key: str) -> dict[int, float]:
    """A result of an arm's complete runs."""
    return {
        row.run.seed: float(row.results[key])
        for row in rows
        if row.run.arm == arm and row.results.get(key) is not None
    }


def curves(rows: Sequence[Row], arm: str, key: str) -> dict[int, dict[int, float]]:
    """A metric over the steps: {seed: {step: value}} of an arm's complete runs."""
    found = {}
    for row in rows:
        if row.run.arm == arm and row.outcome.status == "done":
            lines = (row.run.workdir / "metrics.jsonl").read_text(encoding="utf-8")
            records = map(json.loads, lines.splitlines())
            found[row.run.seed] = {r["step"]: r[key] for r in records if key in r}
    return found


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """`arm`, `seed`, `status`, costs, every final metric; an empty cell is unknown."""
    names = {key for row in rows for key, v in row.results.items() if _number(v)}
    metrics = sorted(names - {*COSTS})
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["arm", "seed", "status", *COSTS, *metrics])
        for row in rows:
            values = [row.results.get(key) for key in (*COSTS, *metrics)]
            writer.writerow([row.run.arm, row.run.seed, row.outcome.status, *values])
    temporary.replace(path)


def _number(value: Any) -> bool:
    return isinstance(value, int | float)
