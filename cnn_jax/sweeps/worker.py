"""A process that trains several runs, one after another.

To start Python and to compile a network often takes longer than a short run itself.
Runs in the same process share its compiled programs (`training.programs`).

The process reads a task from each line of standard input: the command of a run, and the
log that gets the output of the run. If the command succeeds, the process writes a line
to standard output, and waits for the next task. Otherwise the process ends with the
exit code of the command.
"""

import json
import os
import runpy
import sys
from typing import IO

from cnn_jax.training import startup

DONE = "done\n"


def work() -> None:
    """Executes the commands of all tasks until standard input ends.

    A command is `python -m MODULE [ARGUMENT ...]`.
    """
    tasks, replies = _kept(0, "r"), _kept(1, "w")
    _redirect(0, os.devnull, "rb")  # a run must not read the next task
    for line in tasks:
        task = json.loads(line)
        for number in (1, 2):
            _redirect(number, task["log"], "ab")
        module, *arguments = task["command"][2:]
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        sys.stdout.flush()
        replies.write(DONE)
        replies.flush()


def _kept(number: int, mode: str) -> IO[str]:
    """Returns a file that stays open when its descriptor gets another meaning."""
    return os.fdopen(os.dup(number), mode, encoding="utf-8")


def _redirect(number: int, path: str, mode: str) -> None:
    """Makes a file the standard input (0), output (1) or error (2) of this process."""
    with open(path, mode) as file:
        os.dup2(file.fileno(), number)


if __name__ == "__main__":
    startup.use_huge_pages()
    work()
