"""Runs on this machine: one at a time for each accelerator or group of cores."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cnn_jax.core.errors import UserError
from cnn_jax.sweeps import outcome
from cnn_jax.sweeps.experiment import Run
from cnn_jax.sweeps.outcome import Outcome

# What a launcher tells of a run: that it was started, or what became of it.
Event = tuple[Run, Outcome | None]

PATIENCE = 0.1  # seconds between two looks at the processes
DEVICES = "import jax; d = jax.local_devices(); print(d[0].platform, len(d))"
PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


@dataclass(frozen=True)
class Slot:
    """A part of the machine that one run has for itself.

    Attributes:
      cores: processors; empty: all of them.
      environment: variables that show it its accelerator.
    """

    cores: tuple[int, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def slots(cores_per_run: int = 1) -> list[Slot]:
    """The parts of this machine.

    GPUs make one each. A TPU's cores belong to one process at a time, and so to one
    run. Without accelerators each group of `cores_per_run` processors makes one.

    Raises:
      UserError: there are fewer processors than that.
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
    if not hasattr(os, "sched_getaffinity"):  # not Linux: nothing can be divided
        return [Slot()]
    cores = sorted(os.sched_getaffinity(0))
    if cores_per_run > len(cores):
        raise UserError(
            f"--cores_per_run={cores_per_run}: there are {len(cores)} processors."
        )
    groups = len(cores) // cores_per_run
    return [
        Slot(cores=tuple(cores[i * cores_per_run : (i + 1) * cores_per_run]))
        for i in range(groups)
    ]


def _devices() -> tuple[str, int]:
    """The platform and the number of JAX's devices.

    Asked of another process: this one would take an accelerator's memory for itself.
    """
    if os.environ.get("JAX_PLATFORMS") == "cpu":
        return "cpu", 1
    found = subprocess.run(
        [sys.executable, "-c", DEVICES], capture_output=True, text=True
    )
    if found.returncode:
        lines = found.stderr.strip().splitlines()
        raise UserError(f"JAX finds no device: {lines[-1] if lines else 'no reason'}")
    platform, count = found.stdout.split()
    return platform, int(count)


def launch(
    runs: Sequence[Run], stopped: Sequence[object], places: Sequence[Slot]
) -> Iterator[Event]:
    """Runs all, as many at once as there are slots, and tells of each start and end.

    Args:
      stopped: empty, until the runs under way are to save their state and end; no
        further one is started then.
    """
    waiting, free = list(runs), list(places)
    under_way: list[tuple[Run, Slot, subprocess.Popen]] = []
    told = False
    try:
        while under_way or (waiting and not stopped):
            while waiting and free and not stopped:
                run, slot = waiting.pop(0), free.pop(0)
                under_way.append((run, slot, _start(run, slot)))
                yield run, None
            if stopped and not told:
                told = True
                for _, _, process in under_way:
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
    with outcome.begin_log(run).open("ab") as log:
        return subprocess.Popen(
            run.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | slot.environment,
            # A terminal's Ctrl-C is for the sweep, which tells its runs.
            start_new_session=True,
            preexec_fn=tied(slot.cores),
        )


def tied(cores: Sequence[int] = ()) -> Callable[[], None]:
    """What a new process does before its program starts: keep to `cores`, and be told
    to save its state and end (SIGTERM) should this process die."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    parent = os.getpid()

    def prepare() -> None:
        if cores:
            os.sched_setaffinity(0, cores)
        if libc:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:  # it died before this
                os.kill(os.getpid(), signal.SIGTERM)

    return prepare
