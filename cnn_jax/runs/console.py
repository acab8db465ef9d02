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
    """Prints a text and flushes it; the other hosts print nothing."""
    if parallel.is_main_host():
        print(text, file=sys.stderr if to_stderr else sys.stdout, flush=True)


def show(result: Mapping[str, Any], output: str) -> None:
    """Prints names and numbers, as a "table" or as "json"."""
    say(strict_json.dumps(result) if output == "json" else as_table(result))


def show_results(results: Mapping[str, Any], workdir: Path) -> None:
    """Prints the results of a run, and the command that shows them in TensorBoard."""
    say(as_table(results))
    say(f"\ntensorboard --logdir={shlex.quote(str(workdir.parent))}")


def as_table(values: Mapping[str, Any]) -> str:
    """Returns a table of the names and the values that are numbers, one per line."""
    rows = [
        (key, f"{value:,}" if isinstance(value, int) else f"{value:,.4f}")
        for key, value in values.items()
        if isinstance(value, int | float)
    ]
    return tabulate(
        rows, tablefmt="plain", colalign=("left", "right"), disable_numparse=True
    )
