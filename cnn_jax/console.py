"""The program `cnn-jax COMMAND`, which runs the commands of the package.

It imports only the module of the command.
"""

import importlib
import sys

import cnn_jax
from cnn_jax import command
from cnn_jax.core.errors import unknown

# The module of each command, by the command's name.
COMMANDS = {"train": "main"} | {
    name: name
    for name in ("evaluate", "predict", "summary", "sweep", "benchmark", "convert")
}


def main() -> None:
    name, *flags = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(overview())
    elif name == "--version":
        print(cnn_jax.__version__)
    elif name in COMMANDS:
        sys.argv = [f"{command.PROGRAM} {name}", *flags]
        command.run(importlib.import_module(f"cnn_jax.{COMMANDS[name]}").main)
    else:
        print(f"error: {unknown('command', name, COMMANDS)}", file=sys.stderr)
        raise SystemExit(2)


def overview() -> str:
    """Returns the usage line and one line of description for each command."""
    program = command.PROGRAM
    lines = [f"usage: {program} COMMAND [FLAGS]", ""]
    for name, module in COMMANDS.items():
        text = importlib.import_module(f"cnn_jax.{module}").__doc__ or name
        lines.append(f"  {name:10} {text.splitlines()[0]}")
    lines += ["", f"{program} COMMAND --help lists the flags of a command."]
    return "\n".join(lines)
