"""The page of all commands: what each prints with `--help`."""

import contextlib
import importlib
import io
import os
import sys
from collections.abc import Iterator
from unittest import mock

from cnn_jax import console
from docs.generators import markdown

INTRODUCTION = """
`cnn-jax COMMAND` and `python -m cnn_jax.MODULE` are the same command. Both print this
text with `--help`. The exit code is 0 on success, 1 after an error that the user can
correct, 2 for a wrong flag, and 130 after Ctrl-C. A run that a signal ended, Ctrl-C
included, saves its state and exits with 128 and the signal's number.

In a value of `--config.GROUP.KEY`, a tuple is written as in Python, in quotes:
`--config.model.head_width='(64,)'`. [Config keys](config_keys.md) lists all keys.
"""
COLUMNS = "88"  # what argparse takes for the width of the terminal


def page() -> str:
    """Returns the page."""
    return markdown.page("Commands", INTRODUCTION, _sections())


def _sections() -> Iterator[str]:
    for name, module in console.COMMANDS.items():
        yield f"## {name}"
        yield f"`cnn-jax {name}` or `python -m cnn_jax.{module}`"
        yield f"```text\n{help_of(module)}\n```"


def help_of(module: str) -> str:
    """Returns what a command prints with `--help`."""
    main = importlib.import_module(f"cnn_jax.{module}").main
    printed = io.StringIO()
    with (
        mock.patch.object(sys, "argv", [module, "--help"]),
        mock.patch.dict(os.environ, {"COLUMNS": COLUMNS, "NO_COLOR": "1"}),
        contextlib.redirect_stdout(printed),
        contextlib.suppress(SystemExit),
    ):
        main()
    return printed.getvalue().rstrip()
