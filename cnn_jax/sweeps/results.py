"""Reads the results of a sweep's runs, and writes results.csv."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnn_jax import tasks
from cnn_jax.core import disk
from cnn_jax.core.errors import UserError
from cnn_jax.sweeps.experiment import Experiment, Run
from cnn_jax.sweeps.outcome import Outcome, outcome
from cnn_jax.training import metrics_log

COSTS = ("parameters", "macs", "examples_per_second")
CSV = "results.csv"


@dataclass(frozen=True)
class Row:
    """A run with its outcome and its results.

    The results are empty unless the run is done.
    """

    run: Run
    outcome: Outcome
    results: Mapping[str, Any]


def read(experiment: Experiment) -> list[Row]:
    """Returns a row for each run, in the order of the experiment's runs."""
    return [_row(run) for run in experiment.runs]


def _row(run: Run) -> Row:
    found = outcome(run)
    if found.status == "done" and _metric(run) not in found.results:
        path = run.workdir / "results.json"
        return Row(run, Outcome("unusable", f"{path} has no {_metric(run)}."), {})
    return Row(run, found, found.results)


def _metric(run: Run) -> str:
    return f"test/{tasks.find(run.config.task.name).best_metric}"


def main_metric(experiment: Experiment) -> str:
    """Returns the name of the metric that compares arms, such as "test/accuracy".

    The metric is the task's main metric on the test split.
    """
    return _metric(experiment.runs[0])


def other_splits(rows: Sequence[Row], metric: str) -> list[str]:
    """Returns the names of a metric on further splits that are evaluated to report.

    For the metric "test/accuracy", a name is for example "shifted/accuracy". The
    validation split is not among them, because choices are made on it.
    """
    name = metric.partition("/")[2]
    found = {
        key
        for row in rows
        for key in row.results
        if key.count("/") == 1
        and key.endswith(f"/{name}")
        and key not in (metric, f"val/{name}")
    }
    return sorted(found)


def curve_metric(rows: Sequence[Row], metric: str) -> str:
    """Returns the name of a metric on the split that is evaluated during training.

    The split is the validation split or, for runs without one, the test split.

    Args:
      rows: the rows of all runs.
      metric: the name of the metric on the test split, such as "test/accuracy".
    """
    name = f"val/{metric.partition('/')[2]}"
    return name if any(name in row.results for row in rows) else metric


def by_seed(rows: Sequence[Row], arm: str, key: str) -> dict[int, float]:
    """Returns one result of each complete run of an arm, by seed.

    Args:
      rows: the rows of all runs.
      arm: the name of the arm.
      key: the name of the result, such as "test/accuracy".
    """
    return {
        row.run.seed: float(row.results[key])
        for row in rows
        if row.run.arm == arm and row.results.get(key) is not None
    }


def pairs(
    experiment: Experiment, rows: Sequence[Row]
) -> dict[str, tuple[dict[int, float], dict[int, float]]]:
    """Returns the main metric of each arm and of its base arm, by seed.

    Arms without a base arm are left out.
    """
    metric = main_metric(experiment)
    return {
        arm.name: (
            by_seed(rows, arm.name, metric),
            by_seed(rows, arm.against, metric),
        )
        for arm in experiment.arms
        if arm.against is not None
    }


def conclusion(experiment: Experiment, rows: Sequence[Row]) -> list[str]:
    """Returns what the experiment's function `conclude` says; [] without the function.

    Raises:
      UserError: the function has an error.
    """
    if experiment.conclude is None:
        return []
    metric = main_metric(experiment)
    values = {arm.name: by_seed(rows, arm.name, metric) for arm in experiment.arms}
    return [experiment.conclude(values)]


def curves(rows: Sequence[Row], arm: str, key: str) -> dict[int, dict[int, float]]:
    """Returns a metric over the training steps, for each complete run of an arm.

    Runs with a damaged metrics.jsonl are left out; see `complaints`.

    Args:
      rows: the rows of all runs.
      arm: the name of the arm.
      key: the name of the metric, such as "test/accuracy".

    Returns:
      {seed: {step: value}}.
    """
    found: dict[int, dict[int, float]] = {}
    for row in rows:
        if row.run.arm == arm and row.outcome.status == "done":
            lines, complaint = _logged(row)
            curve = {r["step"]: r[key] for r in lines if _number(r.get(key))}
            if curve and not complaint:
                found[row.run.seed] = curve
    return found


def complaints(rows: Sequence[Row]) -> list[str]:
    """Returns a line for each run that the report or its plot of curves leaves out.

    The line says why the run is left out.
    """
    found = []
    for row in rows:
        if row.outcome.status != "done":
            why = f": {row.outcome.reason}" if row.outcome.reason else ""
            found.append(f"{row.run.name}: {row.outcome.status}{why}")
        elif complaint := _logged(row)[1]:
            found.append(f"{row.run.name}: left out of the curves: {complaint}")
    return found


def _logged(row: Row) -> tuple[list[dict[str, Any]], str | None]:
    """Returns the entries of a run's metrics.jsonl, and None.

    If the file is damaged, the second result is a line that describes the damage.
    """
    try:
        crc = row.results.get("metrics_checksum")
        return metrics_log.read(row.run.workdir, crc)
    except UserError as error:
        return [], str(error)
    except OSError as error:
        return [], f"{error.filename}: {error.strerror}."


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Writes a CSV file with one row per run.

    The columns are the arm, the seed, the status, the costs and every final metric. The
    cell of an unknown value is empty.
    """
    names = {key for row in rows for key, v in row.results.items() if _number(v)}
    metrics = sorted(names - {*COSTS})
    temporary = path.with_suffix(".tmp")
    with disk.writing(path):
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["arm", "seed", "status", *COSTS, *metrics])
            for row in rows:
                values = [row.results.get(key) for key in (*COSTS, *metrics)]
                known = row.run.arm, row.run.seed, row.outcome.status
                writer.writerow([*known, *values])
        temporary.replace(path)


def _number(value: Any) -> bool:
    return isinstance(value, int | float)
