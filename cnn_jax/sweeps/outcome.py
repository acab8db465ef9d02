"""How a run's process ended, and the log that it leaves in the run's folder."""

import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cnn_jax.core import disk, records
from cnn_jax.core.errors import UserError
from cnn_jax.runs import run_folder
from cnn_jax.sweeps.experiment import Run, shell_line

LOG = "log.txt"
# The last line that a launcher writes.
EXIT = re.compile(r"\[exit code (-?\d+)\]")
STOPPED = {128 + signal.SIGTERM, 128 + signal.SIGINT, 128 + signal.SIGHUP}


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Attributes:
      status: "done", "failed", "stopped" (it can go on), "unfinished" (it is under way,
        or its process was killed together with the sweep), "unusable" (what lies in
        its folder is damaged, or is not the run's) or "missing".
      reason: why a run failed or is unusable, in one line; empty otherwise.
      results: the results of a run that is done.
    """

    status: str
    reason: str = ""
    results: Mapping[str, Any] = field(default_factory=dict, compare=False)


def begin_log(run: Run) -> Path:
    """The log of a run, with the command that is about to write into it."""
    run.workdir.mkdir(parents=True, exist_ok=True)
    path = run.workdir / LOG
    records.check_regular(path)
    _append(path, f"$ {shell_line(run.command)}\n")
    return path


def end_log(run: Run, code: int, error: str = "") -> Outcome:
    """Notes the exit code in the log, and says what it means.

    Args:
      error: of the launcher, where it is not the run that failed.
    """
    said = f"error: {error}\n" * bool(error) + f"[exit code {code}]\n"
    _append(run.workdir / LOG, said)
    return outcome(run)


def _append(path: Path, text: str) -> None:
    with (
        disk.writing(path),
        path.open("a", encoding="utf-8", errors="backslashreplace") as log,
    ):
        log.write(text)


def outcome(run: Run) -> Outcome:
    """What became of a run, from what lies in its folder."""
    begun, problem = None, ""
    try:
        begun = run_folder.begun(run.workdir, run.config)
        problem = " ".join(begun.damage) if begun else ""
    except UserError as error:
        problem = str(error)
    except OSError as error:
        problem = f"{error.filename}: {error.strerror}"
    if begun and begun.results:
        return Outcome("done", results=begun.results)
    code, lines = _logged(run)
    if code in STOPPED:
        return Outcome("stopped")
    if code:
        return Outcome("failed", _reason(lines or [], code))
    if problem:
        return Outcome("unusable", " ".join(problem.split("\n")))
    if code == 0:
        return Outcome("unusable", f"{run.workdir / 'results.json'} is missing.")
    started = lines is not None or (run.workdir / "config.json").exists()
    return Outcome("unfinished" if started else "missing")


def _logged(run: Run) -> tuple[int | None, list[str] | None]:
    """The exit code that ends a run's log and the lines before; None without them."""
    try:
        records.check_regular(run.workdir / LOG)
        text = (run.workdir / LOG).read_text(encoding="utf-8", errors="replace")
    except (OSError, UserError):
        return None, None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    ended = EXIT.fullmatch(lines[-1]) if lines else None
    return (int(ended[1]), lines[:-1]) if ended else (None, lines)


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
