"""Faults on request: a command is killed, or its disk fills up, at a chosen place.

    from tests import faults

    places = faults.run(command, folder=folder).calls   # of a run that is left alone
    faults.run(command, folder=folder, at=17)            # killed before the 17th call
    faults.run(command, folder=folder, at=17, mode="half")
    faults.run(command, folder=folder, at=17, mode=errno.ENOSPC)
    faults.run(command, folder=folder, line=("cnn_jax/training/loop.py", 150), at=2)

A place is a system call by which the command, or a process that it starts, changes what
lies below the folder: it opens a file to make or empty it, writes, renames, removes,
truncates, flushes to the disk. Nothing else changes a disk, so a kill at any other
moment leaves what a kill before the next of these calls leaves.
"""

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent


class Call(NamedTuple):
    """A system call: its number, the process, its name, the path below the folder."""

    number: int
    process: int
    name: str
    path: str


class Hung(Exception):
    """A command did not end: its last calls, and where its threads were."""


class Ended(NamedTuple):
    """A command that has ended: its exit code, and what it printed and did.

    `shared` holds the names of the shared memory that was made.
    """

    code: int
    out: str
    err: str
    calls: list[Call]
    shared: list[str]

    @property
    def killed(self) -> bool:
        """The command itself was killed, and not a process that it started."""
        return self.code == -signal.SIGKILL

    @property
    def left_behind(self) -> list[str]:
        """The shared memory that nobody has removed."""
        return [name for name in self.shared if Path(f"/dev/shm{name}").exists()]


@functools.cache
def missing() -> str | None:
    """Why no fault can be made at a system call on this machine; None if it can."""
    if sys.platform != "linux":
        return "faults at system calls need Linux"
    if not shutil.which("cc"):
        return "faults at system calls need a C compiler, cc"
    return None


@functools.cache
def _scratch() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="faults-")


@functools.cache
def library() -> Path:
    """`calls.c`, compiled for this process."""
    path = Path(_scratch().name, "calls.so")
    source = HERE / "calls.c"
    line = ["cc", "-O1", "-shared", "-fPIC", f"-o{path}", str(source), "-ldl"]
    subprocess.run(line, check=True, capture_output=True, text=True)
    return path


def run(
    command: Sequence[str],
    *,
    folder: Path,
    at: int = 0,
    mode: str | int = "before",
    line: tuple[str, int] | None = None,
    group: bool = False,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 300,
) -> Ended:
    """Runs a command to its end, with a fault at the n-th place.

    Args:
      folder: the place is counted among the calls that change what lies below it.
      at: n, counted from 1 over all processes; 0: no fault.
      mode: "before": killed before the call; "half": in its middle, when a write has
        written the first half of its bytes and any other call is done; the number of an
        error, as `errno.ENOSPC`: the call, and each later one that needs space, fails.
      line: (end of a file's path, number): killed before Python runs this line for the
        n-th time in one process.
      group: the process is killed with its group: a program with all its workers.

    Raises:
      Hung: it does not end; it and its group are killed.
    """
    state = Path(tempfile.mkdtemp(dir=_scratch().name))
    (state / "count").write_bytes(bytes(8))
    variables = dict(os.environ if env is None else env) | {
        "FAULTS_FOLDER": str(folder.resolve()),
        "FAULTS_STATE": str(state),
        "FAULTS_AT": str(at if line is None else 0),
        "FAULTS_MODE": str(mode),
        "FAULTS_GROUP": str(int(group)),
        "LD_PRELOAD": str(library()),
        "PYTHONFAULTHANDLER": "1",  # SIGABRT shows what each thread does
    }
    if line is not None:
        paths = [str(HERE / "site"), variables.get("PYTHONPATH", "")]
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        variables["FAULTS_LINE"] = f"{line[0]}:{line[1]}:{at}"
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        last = "\n".join(_lines(state / "calls")[-10:])
        process.send_signal(signal.SIGABRT)
        time.sleep(1)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        _, err = process.communicate()
        raise Hung(
            f"no end after {timeout} s; its last calls:\n{last}\n{err}"
        ) from None
    found = Ended(process.returncode, out, err, _calls(state), _lines(state / "shared"))
    shutil.rmtree(state)
    return found


def _calls(state: Path) -> list[Call]:
    rows = [line.split(" ", 3) for line in _lines(state / "calls")]
    return [Call(int(n), int(process), *rest) for n, process, *rest in rows]


def _lines(path: Path) -> list[str]:
    return path.read_text(errors="replace").splitlines() if path.exists() else []


def line_of(path: Path, text: str) -> tuple[str, int]:
    """The place, as `run` takes it, of the one line of a file that holds a text."""
    lines = path.read_text().splitlines()
    (found,) = [n for n, line in enumerate(lines, 1) if text in line]
    return str(path), found
