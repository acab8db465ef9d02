"""Trains runs on this machine, one at a time per accelerator or group of cores."""

import contextlib
import ctypes
import json
import math
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cnn_jax.core.errors import UserError
from cnn_jax.sweeps import outcome
from cnn_jax.sweeps.outcome import Outcome
from cnn_jax.sweeps.run import Run

# A run and its outcome when it has ended; None when it has started.
Event = tuple[Run, Outcome | None]
# A function that says whether a run under way must end.
Ends = Callable[[Run], bool]

PATIENCE = 0.1  # seconds between two polls of the processes
WORKER = (sys.executable, "-m", "cnn_jax.sweeps.worker")
DEVICES = "import jax; d = jax.local_devices(); print(d[0].platform, len(d))"
PR_SET_PDEATHSIG = 1  # <sys/prctl.h>
GPUS = ("gpu", "cuda", "rocm")  # JAX's names of the platform
# The share of a GPU's memory that JAX allocates when it starts, and its older name.
MEMORY = ("XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION")
USED = 0.9  # the share of a GPU's memory for all runs; CUDA itself needs the rest


@dataclass(frozen=True)
class Slot:
    """A part of the machine that trains one run at a time.

    A slot is a GPU, a share of a GPU, or a group of cores.

    Attributes:
      cores: the numbers of the processors; empty means all processors.
      environment: environment variables that select the accelerator, and the share of
        its memory.
    """

    cores: tuple[int, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def slots(cores_per_run: int = 1, runs_per_device: int | None = None) -> list[Slot]:
    """Returns the slots of this machine.

    Each GPU has `runs_per_device` slots (default: 1), which share its memory equally.
    All TPU devices together are a single slot, because only one process at a time can
    use them. Without accelerators, each group of `cores_per_run` processors is a slot.

    Raises:
      UserError: if the machine has fewer than `cores_per_run` processors, or if
        `runs_per_device` is given and the machine has no GPU.
    """
    platform, count = _devices()
    if platform in GPUS:
        return _of_gpus(count, runs_per_device or 1)
    if runs_per_device is not None:
        remedy = (
            "there is no GPU. Set --cores_per_run instead."
            if platform == "cpu"
            else f"only one process at a time can use a {platform.upper()}. Leave out "
            "--runs_per_device."
        )
        raise UserError(f"--runs_per_device={runs_per_device}: {remedy}")
    cores = _cores()
    if platform != "cpu" or not cores:
        return [Slot()]
    if cores_per_run > len(cores):
        raise UserError(
            f"--cores_per_run={cores_per_run}: there are only {len(cores)} processors. "
            "Set a smaller number."
        )
    return [Slot(cores=group) for group in _groups(cores, cores_per_run)]


def _of_gpus(count: int, runs_each: int) -> list[Slot]:
    """Returns the slots of a machine with GPUs.

    The first slots are on different GPUs. If GPUs are shared, each slot gets an equal
    share of the processors, as long as there are enough of them.

    Args:
      count: the number of GPUs.
      runs_each: the number of runs that share a GPU.
    """
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(count)))
    names = chosen.split(",") * runs_each
    shared = memory_share(1 / runs_each)
    cores = _cores() if runs_each > 1 else ()
    groups = _groups(cores, len(cores) // len(names))
    return [
        Slot(groups[i] if groups else (), {"CUDA_VISIBLE_DEVICES": name, **shared})
        for i, name in enumerate(names)
    ]


def memory_share(share: float) -> dict[str, str]:
    """Returns the environment of a process that uses a share of a GPU.

    Without this environment, JAX allocates 75% of the GPU's memory when it starts, so
    a second process finds too little memory. A value that the user has set is kept.

    Args:
      share: the share of the GPU, such as 0.25. The environment is empty for no GPU
        (0), a whole GPU and several GPUs.

    Raises:
      UserError: if the user has set a larger share of the memory.
    """
    if not 0 < share < 1:
        return {}
    for name in MEMORY:
        if text := os.environ.get(name):
            if not _number(text) <= share:
                raise UserError(
                    f"{name}={text} in the environment is more than {share:.3g}, the "
                    "share of the GPU that each run has: unset the variable, or set a "
                    "smaller value."
                )
            return {}
    return {MEMORY[0]: f"{USED * share:.3g}"}


def _number(text: str) -> float:
    """Returns the number in a text; NaN if the text is not a number."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _cores() -> tuple[int, ...]:
    """Returns the numbers of this process's processors.

    The result is empty where processors cannot be assigned (only Linux can).
    """
    if not hasattr(os, "sched_getaffinity"):
        return ()
    return tuple(sorted(os.sched_getaffinity(0)))


def _groups(cores: tuple[int, ...], size: int) -> list[tuple[int, ...]]:
    """Returns groups of `size` processors; none if `size` is 0. A rest is left out."""
    count = len(cores) // size if size else 0
    return [cores[i * size : (i + 1) * size] for i in range(count)]


def _devices() -> tuple[str, int]:
    """Returns JAX's platform ("cpu", "gpu", ...) and its number of devices.

    A separate process asks JAX, because a process that asks also reserves the
    accelerator's memory.
    """
    if os.environ.get("JAX_PLATFORMS") == "cpu":
        return "cpu", 1
    found = subprocess.run(
        [sys.executable, "-c", DEVICES], capture_output=True, text=True
    )
    if found.returncode:
        lines = found.stderr.strip().splitlines()
        raise UserError(
            "JAX finds no device. Set JAX_PLATFORMS=cpu to train on the CPU. JAX "
            f"reports: {lines[-1] if lines else 'nothing'}"
        )
    platform, count = found.stdout.split()
    return platform, int(count)


def never(run: Run) -> bool:
    """Returns False: every run goes on to its last step."""
    return False


def launch(
    runs: Iterable[Run],
    stopped: Sequence[object],
    ends: Ends = never,
    *,
    places: Sequence[Slot],
) -> Iterator[Event]:
    """Trains all runs on this machine, one run per slot at a time.

    Args:
      runs: the runs to train. The next run is taken when a slot is free, and after the
        caller has received the ends of the runs before.
      stopped: a list that is empty while the sweep goes on. A signal handler appends
        an element to stop the sweep. Then the current runs save their state and end,
        and no other run is started.
      ends: called often with each run under way. If it returns True, the run saves its
        state and ends.
      places: the slots of the machine.

    Yields:
      The pair (run, None) when a run starts, and the pair (run, outcome) when the run
      ends.
    """
    waiting = iter(runs)
    workers = [Worker(slot) for slot in places]
    free, under_way = list(workers), list[Worker]()
    try:
        while True:
            while free and not stopped and (run := next(waiting, None)):
                worker = free.pop(0)
                worker.begin(run)
                under_way.append(worker)
                yield run, None
            if not under_way:
                return
            for worker in under_way:
                if stopped or ends(worker.run):
                    worker.stop()
            time.sleep(PATIENCE)
            for worker in list(under_way):
                if (code := worker.exit_code()) is not None:
                    under_way.remove(worker)
                    free.append(worker)
                    yield worker.run, outcome.end_log(worker.run, code)
    finally:
        for worker in under_way:
            worker.stop()
        for worker in under_way:
            outcome.end_log(worker.run, worker.wait())
        for worker in workers:
            worker.close()


class Worker:
    """The process of a slot, which trains runs of the same arm one after another.

    A run of another arm gets a new process, because it has another program. So does a
    run that follows a failed run.

    Attributes:
      run: the newest run.
    """

    run: Run

    def __init__(self, slot: Slot):
        self._slot = slot
        self._process: subprocess.Popen[str] | None = None
        self._told = False  # a second signal would end a run before it has saved

    def begin(self, run: Run) -> None:
        """Starts a run. The run before must have ended."""
        log = outcome.begin_log(run)
        if self._process and (self._told or run.arm != self.run.arm):
            self.close()
        self.run, self._told = run, False
        if not self._process:
            self._process = self._started(log)
        assert self._process.stdin
        task = {"command": run.command, "log": str(log)}
        # If the process has ended, its exit code says so.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(task) + "\n")
            self._process.stdin.flush()

    def exit_code(self) -> int | None:
        """Returns the exit code of the run under way; None if the run has not ended."""
        process = self._process
        assert process and process.stdout
        if select.select([process.stdout], [], [], 0)[0] and process.stdout.readline():
            return 0
        code = process.poll()
        if code is not None:
            self.close()
        return code

    def stop(self) -> None:
        """Tells the run under way to save its state and to end."""
        if self._process and not self._told:
            self._told = True
            self._process.terminate()

    def wait(self) -> int:
        """Waits until the process ends, and returns its exit code.

        A run that was stopped too late is complete; its process then waits for a task,
        and ends without one.
        """
        assert self._process
        self._process.communicate()  # closes its standard input
        return self._process.returncode

    def close(self) -> None:
        """Ends the process, if there is one. Its runs have all ended."""
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _started(self, log: Path) -> subprocess.Popen[str]:
        """Returns a new process.

        Args:
          log: the file that gets the errors of the process before its first run.
        """
        with log.open("ab") as file:
            return subprocess.Popen(
                WORKER,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                env=os.environ | self._slot.environment,
                # A terminal's Ctrl-C must reach only the sweep, which ends its runs.
                start_new_session=True,
                preexec_fn=tied(self._slot.cores),
            )


def tied(cores: Sequence[int] = ()) -> Callable[[], None]:
    """Returns a `preexec_fn` for `subprocess.Popen` that ties a child to this process.

    The child process runs on `cores` only. If this process dies, the child process
    receives SIGTERM, so that it saves its state and ends.

    Args:
      cores: the numbers of the processors; empty means all processors.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    parent = os.getpid()

    def prepare() -> None:
        if cores:
            os.sched_setaffinity(0, cores)
        if libc:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:  # the parent died before prctl
                os.kill(os.getpid(), signal.SIGTERM)

    return prepare
