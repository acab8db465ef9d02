"""Reads the results of a sweep's runs, and writes results.csv."""

import csv
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from cnn_jax import tasks
from cnn_jax.core import disk
from cnn_jax.core.errors import UserError
from cnn_jax.sweeps import predictions
from cnn_jax.sweeps.experiment import Experiment
from cnn_jax.sweeps.outcome import Outcome, outcome
from cnn_jax.sweeps.predictions import Predictions
from cnn_jax.sweeps.run import Run, as_text
from cnn_jax.training import config as config_lib
from cnn_jax.training import metrics_log

COSTS = ("parameters", "macs", "examples_per_second")
CSV = "results.csv"
ACCURACY = "test/accuracy"


class Kept(NamedTuple):
    """A run's kept predictions; None without them, with a complaint if unusable."""

    found: Predictions | None
    complaint: str | None = None


@dataclass(frozen=True)
class Row:
    """A run with its outcome and its results.

    The results are empty unless the run is done.
    """

    run: Run
    outcome: Outcome
    results: Mapping[str, Any]

    @functools.cached_property
    def predictions(self) -> Kept:
        """The predictions on the test split, if the main metric is the accuracy.

        The file is read at the first use.
        """
        if self.outcome.status != "done" or _metric(self.run) != ACCURACY:
            return Kept(None)
        try:
            found = predictions.read(self.run.workdir)
        except UserError as error:
            return Kept(None, str(error))
        except OSError as error:
            return Kept(None, f"{error.filename}: {error.strerror}.")
        if found and not found.agrees(float(self.results[ACCURACY])):
            path = self.run.workdir / predictions.FILE
            return Kept(None, f"{path} does not have the accuracy in results.json.")
        return Kept(found)


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


def by_arm(experiment: Experiment, rows: Sequence[Row]) -> dict[str, dict[int, float]]:
    """Returns the main metric of each arm's complete runs, by seed."""
    metric = main_metric(experiment)
    return {arm.name: by_seed(rows, arm.name, metric) for arm in experiment.arms}


def pairs(
    experiment: Experiment, rows: Sequence[Row]
) -> dict[str, tuple[dict[int, float], dict[int, float]]]:
    """Returns the main metric of each arm and of its base arm, by seed.

    Arms without a base arm are left out.
    """
    found = by_arm(experiment, rows)
    return {
        arm: (found[arm], found[base])
        for arm, base in experiment.against.items()
        if base is not None
    }


def conclusion(experiment: Experiment, rows: Sequence[Row]) -> list[str]:
    """Returns what the experiment's function `conclude` says; [] without the function.

    Raises:
      UserError: the function has an error.
    """
    if experiment.conclude is None:
        return []
    return [experiment.conclude(by_arm(experiment, rows))]


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
    return all_curves(rows, arm).get(key, {})


def all_curves(rows: Sequence[Row], arm: str) -> dict[str, dict[int, dict[int, float]]]:
    """Returns each metric over the training steps: {name: {seed: {step: value}}}.

    See `curves` for the arguments.
    """
    found: dict[str, dict[int, dict[int, float]]] = {}
    for row in rows:
        if row.run.arm != arm or row.outcome.status != "done":
            continue
        lines, complaint = _logged(row)
        for line in [] if complaint else lines:
            for key, value in line.items():
                if key != "step" and _number(value):
                    by_step = found.setdefault(key, {}).setdefault(row.run.seed, {})
                    by_step[line["step"]] = value
    return found


def complaints(rows: Sequence[Row]) -> list[str]:
    """Returns a line for each run that the report, or a part of it, leaves out.

    The line says why the run is left out.
    """
    found = []
    for row in rows:
        if row.outcome.status != "done":
            why = f": {row.outcome.reason}" if row.outcome.reason else ""
            found.append(f"{row.run.name}: {row.outcome.status}{why}")
            continue
        if complaint := _logged(row)[1]:
            found.append(f"{row.run.name}: left out of the curves: {complaint}")
        if complaint := row.predictions.complaint:
            found.append(
                f"{row.run.name}: no interval over test examples: {complaint} To "
                f"repair this, move {row.run.workdir} away and start the sweep again."
            )
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

    The columns are the arm, the seed, the status, the config values that differ between
    the arms (see `swept`), the costs and every final metric. The cell of an unknown
    value is empty.
    """
    names = {key for row in rows for key, v in row.results.items() if _number(v)}
    metrics = sorted(names - {*COSTS})
    configs = swept(rows)
    temporary = path.with_suffix(".tmp")
    with disk.writing(path):
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            columns = sorted({key for values in configs for key in values})
            writer.writerow(["arm", "seed", "status", *columns, *COSTS, *metrics])
            for row, values in zip(rows, configs, strict=True):
                known = row.run.arm, row.run.seed, row.outcome.status
                config = [values.get(key) for key in columns]
                found = [row.results.get(key) for key in (*COSTS, *metrics)]
                writer.writerow([*known, *config, *found])
        temporary.replace(path)


def swept(rows: Sequence[Row]) -> list[dict[str, str | None]]:
    """Returns the config values that differ between the arms, for each row.

    The keys are config keys such as "model.kernel_size". Runs of different arms are
    compared only if they have the same seed. So keys that change with the seed alone
    are left out. A value is written as on the command line, such as `(3, 3)` or `true`.
    The value none is None, so that the cell of a table stays empty.
    """
    configs = [config_lib.flat(row.run.config) for row in rows]
    differing = set()
    for key in {key for config in configs for key in config}:
        values: dict[int, set[str]] = {}
        for row, config in zip(rows, configs, strict=True):
            value = repr(config[key]) if key in config else ""
            values.setdefault(row.run.seed, set()).add(value)
        if any(len(found) > 1 for found in values.values()):
            differing.add(key)
    return [
        {key: _cell(value) for key, value in config.items() if key in differing}
        for config in configs
    ]


def _cell(value: Any) -> str | None:
    """Returns a config value as text for the command line; None for none."""
    if value is None:
        return None
    return as_text(tuple(value) if isinstance(value, list) else value)


def _number(value: Any) -> bool:
    return isinstance(value, int | float)
