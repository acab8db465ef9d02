"""Trains runs on this machine, one at a time per accelerator or group of cores."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cnn_jax.core.errors import UserError
from cnn_jax.sweeps import outcome
from cnn_jax.sweeps.experiment import Run
from cnn_jax.sweeps.outcome import Outcome

# A run and its outcome when it has ended; None when it has started.
Event = tuple[Run, Outcome | None]
# A function that says whether a run under way must end.
Ends = Callable[[Run], bool]

PATIENCE = 0.1  # seconds between two polls of the processes
DEVICES = "import jax; d = jax.local_devices(); print(d[0].platform, len(d))"
PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


@dataclass(frozen=True)
class Slot:
    """A part of the machine that trains one run at a time: a GPU or a group of cores.

    Attributes:
      cores: the numbers of the processors; empty means all processors.
      environment: environment variables that select the accelerator.
    """

    cores: tuple[int, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def slots(cores_per_run: int = 1) -> list[Slot]:
    """Returns the slots of this machine.

    Each GPU is a slot. All TPU devices together are a single slot, because only one
    process at a time can use them. Without accelerators, each group of `cores_per_run`
    processors is a slot.

    Raises:
      UserError: if the machine has fewer than `cores_per_run` processors.
    """
    platform, count = _devices()
    if platform in ("gpu", "cuda", "rocm"):
        chosen = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(
            map(str, range(count))
        )
        return [
            Slot(environment={"CUDA_VISIBLE_DEVICES": name})
            for name in chosen.split(",")
        ]
    if platform != "cpu":
        return [Slot()]
    if not hasattr(os, "sched_getaffinity"):  # not Linux: processors cannot be assigned
        return [Slot()]
    cores = sorted(os.sched_getaffinity(0))
    if cores_per_run > len(cores):
        raise UserError(
            f"--cores_per_run={cores_per_run}: there are only {len(cores)} processors. "
            "Set a smaller number."
        )
    groups = len(cores) // cores_per_run
    return [
        Slot(cores=tuple(cores[i * cores_per_run : (i + 1) * cores_per_run]))
        for i in range(groups)
    ]


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
    waiting, free = iter(runs), list(places)
    under_way: list[tuple[Run, Slot, subprocess.Popen]] = []
    told: set[int] = set()  # a second signal would end a run before it has saved
    try:
        while True:
            while free and not stopped and (next_run := next(waiting, None)):
                slot = free.pop(0)
                under_way.append((next_run, slot, _start(next_run, slot)))
                yield next_run, None
            if not under_way:
                return
            for run, _, process in under_way:
                if process.pid not in told and (stopped or ends(run)):
                    told.add(process.pid)
                    process.terminate()
            time.sleep(PATIENCE)
            for entry in list(under_way):
                run, slot, process = entry
                if process.poll() is not None:
                    under_way.remove(entry)
                    free.append(slot)
                    yield run, outcome.end_log(run, process.returncode)
    finally:
        for _, _, process in under_way:
            process.terminate()
        for run, _, process in under_way:
            outcome.end_log(run, process.wait())


def _start(run: Run, slot: Slot) -> subprocess.Popen:
    """Starts the process of a run in a slot."""
    with outcome.begin_log(run).open("ab") as log:
        return subprocess.Popen(
            run.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | slot.environment,
            # A terminal's Ctrl-C must reach only the sweep, which ends its runs.
            start_new_session=True,
            preexec_fn=tied(slot.cores),
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
