"""The predictions on every example of a split: columns, and files with these columns.

Every run whose task has such predictions keeps the predictions of its last checkpoint
on the test split, in `FILE` in the run's folder. Other files of predictions are for
people: they have the names of the classes.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.core import disk, records, strict_json
from cnn_jax.core.errors import UserError
from cnn_jax.tasks.metrics import Rows
from cnn_jax.tasks.task import Task

FILE = Path("predictions", "test.npz")  # in a run's folder
SUFFIXES = (".jsonl", ".csv")

# One value for each example of a split, by the name of the column.
Columns = Mapping[str, np.ndarray]


def columns(task: Task, rows: Rows, identities: Sequence[str]) -> Columns:
    """Returns the predictions on a split.

    The columns are `identity`, `index` (the number of the example in the split) and
    those of `task.records`, such as label, prediction, probability and loss. The result
    is empty if the task has no such predictions.

    Args:
      task: the task.
      rows: the entries of `task.kept` of every example, in the order of the split.
      identities: the identity of every example; see `Dataset.identities`.
    """
    if not task.kept or not rows or not rows[0].keys() >= {*task.kept}:
        return {}
    index = np.arange(len(rows), dtype=np.int32)
    return {"identity": np.array(identities), "index": index, **task.records(rows)}


def write(workdir: Path, found: Columns) -> None:
    """Writes predictions into a run's folder, as compressed NumPy arrays.

    Raises:
      UserError: the disk is full or not writable.
    """
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **found)
    path = workdir / FILE
    with disk.writing(path):
        path.parent.mkdir(exist_ok=True)
    records.write_bytes(path, content.getvalue())


def check_file(path: Path) -> None:
    """Raises `UserError` unless a file of predictions may be written at `path`."""
    if path.suffix not in SUFFIXES:
        raise UserError(
            f"--predictions={path} must be a file with the suffix .jsonl (JSON lines) "
            "or .csv."
        )
    if path.is_dir():
        raise UserError(f"--predictions={path} is a folder: choose another name.")
    if path.exists():
        raise UserError(
            f"--predictions={path} exists: choose another name, or remove the file."
        )


def missing(name: str) -> UserError:
    """Returns the error about a task that has no predictions to write.

    Args:
      name: the name of the task.
    """
    return UserError(
        f"the task {name} does not give each example a predicted class or predicted "
        "numbers: leave out --predictions."
    )


def write_text(path: Path, found: Columns, task: Task) -> None:
    """Writes predictions as JSON lines or as CSV, one line for each example.

    Classes have their names. A value that is not finite, and the class -1, are null in
    JSON and empty in CSV. The folder of the file is made if it does not exist.

    Args:
      path: the file, with a suffix of `SUFFIXES`.
      found: the predictions.
      task: the task, which knows the names of the classes.

    Raises:
      UserError: the disk is full or not writable.
    """
    named = {
        name: _values(name, found[name], task) for name in found if name != "index"
    }
    rows = zip(*named.values(), strict=True)
    lines = [dict(zip(named, row, strict=True)) for row in rows]
    if path.suffix == ".jsonl":
        text = "".join(strict_json.dumps(line) + "\n" for line in lines)
    else:
        file = io.StringIO()
        writer = csv.DictWriter(file, list(named), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
        text = file.getvalue()
    with disk.replacing(path) as new:
        new.write_text(text, encoding="utf-8")


def _values(name: str, column: np.ndarray, task: Task) -> list[Any]:
    """Returns the values of a column, as a file of text has them."""
    if name in ("label", "prediction"):
        return [task.class_name(i) if i >= 0 else None for i in column]
    if column.dtype.kind != "f":
        return column.tolist()
    # The shortest text of a float32, and not of the float64 of the same value.
    floats = (float(str(value)) for value in column)
    return [value if math.isfinite(value) else None for value in floats]
