"""How a run's process ended, and the log that it leaves in the run's folder."""

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cnn_jax.sweeps.experiment import Run, shell_line
from cnn_jax.training import workdir as folder

LOG = "log.txt"
# The last line that a launcher writes.
EXIT = re.compile(r"\[exit code (-?\d+)\]")
STOPPED = {128 + signal.SIGTERM, 128 + signal.SIGINT, 128 + signal.SIGHUP}


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Attributes:
      status: "done", "failed", "stopped" (it can go on), "unfinished" (it is under way,
        or its process was killed together with the sweep) or "missing".
      reason: of a failure, in one line; empty otherwise.
    """

    status: str
    reason: str = ""


def begin_log(run: Run) -> Path:
    """The log of a run, with the command that is about to write into it."""
    run.workdir.mkdir(parents=True, exist_ok=True)
    path = run.workdir / LOG
    with path.open("a", encoding="utf-8") as log:
        log.write(f"$ {shell_line(run.command)}\n")
    return path


def end_log(run: Run, code: int, error: str = "") -> Outcome:
    """Notes the exit code in the log, and says what it means.

    Args:
      error: of the launcher, where it is not the run that failed.
    """
    with (run.workdir / LOG).open("a", encoding="utf-8") as log:
        log.write(f"error: {error}\n" * bool(error) + f"[exit code {code}]\n")
    return outcome(run)


def outcome(run: Run) -> Outcome:
    """What became of a run, from what lies in its folder."""
    if (run.workdir / "config.json").exists() and folder.read_results(run.workdir):
        return Outcome("done")
    try:
        text = (run.workdir / LOG).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        started = (run.workdir / "config.json").exists()
        return Outcome("unfinished" if started else "missing")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    ended = EXIT.fullmatch(lines[-1]) if lines else None
    if not ended:
        return Outcome("unfinished")
    code = int(ended[1])
    if code in STOPPED:
        return Outcome("stopped")
    return Outcome("failed", _reason(lines[:-1], code))


def _reason(lines: Sequence[str], code: int) -> str:
    """The error that a log ends with."""
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"killed by {name}"
    errors = [line for line in lines if line.startswith("error: ")]
    if errors:
        return errors[-1].removeprefix("error: ")
    if lines and not lines[-1].startswith("$ "):
        return lines[-1]
    return f"exit code {code}"
