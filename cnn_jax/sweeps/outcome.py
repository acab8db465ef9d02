"""The outcome of a run, and the log file log.txt in the run's folder."""

import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cnn_jax.core import disk, records
from cnn_jax.core.errors import UserError
from cnn_jax.runs import run_folder
from cnn_jax.sweeps.run import Run, shell_line

LOG = "log.txt"
# The last line of a log, which the launcher writes.
EXIT = re.compile(r"\[exit code (-?\d+)\]")
STOPPED = {128 + signal.SIGTERM, 128 + signal.SIGINT, 128 + signal.SIGHUP}


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run.

    Attributes:
      status: "done", "failed", "stopped" (the run can resume), "unfinished" (the run is
        still running, or was killed together with the sweep), "unusable" (the run's
        folder is damaged or holds another run) or "missing" (the run has not begun).
      reason: why a run failed or is unusable, in one line; empty otherwise.
      results: the results of a run that is done.
    """

    status: str
    reason: str = ""
    results: Mapping[str, Any] = field(default_factory=dict, compare=False)


def begin_log(run: Run) -> Path:
    """Writes a run's command into the run's log, and returns the path of the log."""
    run.workdir.mkdir(parents=True, exist_ok=True)
    path = run.workdir / LOG
    records.check_regular(path)
    _append(path, f"$ {shell_line(run.command)}\n")
    return path


def end_log(run: Run, code: int, error: str = "") -> Outcome:
    """Writes an exit code into a run's log, and returns the outcome of the run.

    Args:
      run: the run.
      code: the exit code of the run's process.
      error: the error of the launcher (such as Ray), if the launcher failed.
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
    """Returns the outcome of a run, as found from the files in the run's folder."""
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
    """Returns the exit code in the last line of a run's log, and the lines before.

    The exit code is None if the last line has no exit code. If there is no log, both
    results are None.
    """
    try:
        records.check_regular(run.workdir / LOG)
        text = (run.workdir / LOG).read_text(encoding="utf-8", errors="replace")
    except (OSError, UserError):
        return None, None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    ended = EXIT.fullmatch(lines[-1]) if lines else None
    return (int(ended[1]), lines[:-1]) if ended else (None, lines)


def _reason(lines: Sequence[str], code: int) -> str:
    """Returns why a run failed, in one line.

    Args:
      lines: the lines of the run's log.
      code: the exit code; negative if a signal killed the process.
    """
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
