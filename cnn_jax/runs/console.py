"""Prints the output of commands about a run, on the main host only."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tabulate import tabulate

from cnn_jax.core import strict_json
from cnn_jax.tasks.task import Table
from cnn_jax.training import parallel


def say(text: str, *, to_stderr: bool = False) -> None:
    """Prints a text at once. Only the main host of several prints.

    Args:
      text: the text.
      to_stderr: if True, prints to stderr instead of stdout.
    """
    if parallel.is_main_host():
        print(text, file=sys.stderr if to_stderr else sys.stdout, flush=True)


def show(
    result: Mapping[str, Any], output: str, tables: Mapping[str, Table] | None = None
) -> None:
    """Prints the result of a command, as a table or as JSON.

    Args:
      result: names and values, such as the metrics of an evaluation.
      output: the format, "table" or "json".
      tables: further tables by name, such as the scores of each class.
    """
    tables = tables or {}
    if output == "json":
        say(strict_json.dumps({**result, **tables}))
        return
    say(as_table(result))
    for name, rows in tables.items():
        say(f"\n{name}\n{_with_head(rows)}")


def show_results(results: Mapping[str, Any], workdir: Path) -> None:
    """Prints a run's results, and the command that shows the run in TensorBoard.

    Of the best checkpoint's scores, only the score that chose it is printed.
    """
    chosen = [key for key in results if key.startswith("best/val/")]
    best = {key.replace("/val/", "/test/", 1) for key in chosen}
    shown = {
        key: value
        for key, value in results.items()
        if key in best or not key.startswith("best/test/")
    }
    say(as_table(shown))
    say(f"\ntensorboard --logdir={shlex.quote(str(workdir.parent))}")


def as_table(values: Mapping[str, Any]) -> str:
    """Returns a table with one line for each name whose value is a number."""
    rows = [
        (key, _shown(value))
        for key, value in values.items()
        if isinstance(value, int | float)
    ]
    return tabulate(
        rows, tablefmt="plain", colalign=("left", "right"), disable_numparse=True
    )


def _with_head(rows: Table) -> str:
    """Returns a table with the names of its columns in the first line."""
    cells = [{name: _shown(value) for name, value in row.items()} for row in rows]
    right = [not isinstance(value, str) for value in rows[0].values()]
    return tabulate(
        cells,
        headers="keys",
        colalign=["right" if number else "left" for number in right],
        disable_numparse=True,
    )


def _shown(value: int | float | str) -> str:
    """Returns a value as text; other numbers than integers have four decimal places."""
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4f}"
