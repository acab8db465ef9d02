"""Prints the output of commands about a run, on the main host only."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tabulate import tabulate

from cnn_jax.core import strict_json
from cnn_jax.training import parallel


def say(text: str, *, to_stderr: bool = False) -> None:
    """Prints a text at once. Only the main host of several prints.

    Args:
      text: the text.
      to_stderr: if True, prints to stderr instead of stdout.
    """
    if parallel.is_main_host():
        print(text, file=sys.stderr if to_stderr else sys.stdout, flush=True)


def show(result: Mapping[str, Any], output: str) -> None:
    """Prints the result of a command, as a table or as JSON.

    Args:
      result: names and values, such as the metrics of an evaluation.
      output: the format, "table" or "json".
    """
    say(strict_json.dumps(result) if output == "json" else as_table(result))


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
        (key, f"{value:,}" if isinstance(value, int) else f"{value:,.4f}")
        for key, value in values.items()
        if isinstance(value, int | float)
    ]
    return tabulate(
        rows, tablefmt="plain", colalign=("left", "right"), disable_numparse=True
    )
