"""Trains runs on a Ray cluster whose machines share the sweep's folder."""

import math
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from cnn_jax.core import extras, guard
from cnn_jax.core.errors import UserError
from cnn_jax.sweeps import outcome
from cnn_jax.sweeps.local import PATIENCE, Ends, Event, memory_share, never, tied
from cnn_jax.sweeps.run import Run

RETRIES = 3  # restarts of a run whose worker has died


def connect(address: str | None) -> Any:
    """Connects to a Ray cluster and returns the module `ray`.

    Args:
      address: the cluster's address, HOST:PORT; None starts a cluster on this machine.

    Raises:
      UserError: if Ray is not installed, or there is no cluster at the address.
    """
    ray = extras.need("ray", "ray", "--launcher=ray")
    try:
        ray.init(
            address=address or "local",
            log_to_driver=False,
            # Workers import the package from the same folder, but never a run's.
            runtime_env={
                "env_vars": {"PYTHONPATH": "" if guard.run_of("") else os.getcwd()}
            },
            logging_level="warning",
            include_dashboard=None if address else False,
        )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        line = str(error).strip().splitlines()[0]
        raise UserError(
            f"--ray_address={address}: cannot connect to a Ray cluster: {line}"
        ) from error
    return ray


def launch(
    runs: Iterable[Run],
    stopped: Sequence[object],
    ends: Ends = never,
    *,
    ray: Any,
    num_cpus: float,
    num_gpus: float,
) -> Iterator[Event]:
    """Trains all runs on the cluster.

    If a worker or a machine dies, the run is submitted again and resumes from its
    newest checkpoint.

    Args:
      runs: the runs to train. A sequence is submitted at once, so that a cluster that
        grows sees all runs. Of another iterable, the next run is taken when the cluster
        has room, and after the caller has received the ends of the runs before.
      stopped: a list that is empty while the sweep goes on. A signal handler appends
        an element to stop the sweep. Then the current runs save their state and end.
      ends: called often with each pending run. If it returns True, the run saves its
        state and ends.
      ray: the module `ray`, connected to the cluster.
      num_cpus, num_gpus: the CPUs and GPUs that a run requests. Runs that share a GPU
        also share its memory; see `local.memory_share`.

    Yields:
      The pair (run, None) when a run is submitted, and the pair (run, outcome) when
      the run ends.

    Raises:
      UserError: if no machine of the cluster has so many CPUs and GPUs, or if the user
        has set a larger share of a GPU's memory than `num_gpus`.
    """
    _check(ray, num_cpus, num_gpus)
    memory_share(num_gpus)  # an error of this machine's environment comes early
    task = ray.remote(num_cpus=num_cpus, num_gpus=num_gpus, max_retries=RETRIES)(train)
    waiting = iter(runs)
    pending: dict[Any, Run] = {}
    told: set[Any] = set()  # a second interrupt would end a run before it has saved
    while not stopped:
        room = (
            math.inf if isinstance(runs, Sequence) else _room(ray, num_cpus, num_gpus)
        )
        while len(pending) < room and not stopped and (run := next(waiting, None)):
            log = str(outcome.begin_log(run).absolute())
            pending[task.remote(run.command, log, os.getcwd(), num_gpus)] = run
            yield run, None
        if not pending:
            return
        for reference, run in pending.items():
            if reference not in told and ends(run):
                told.add(reference)
                ray.cancel(reference)
        ready, _ = ray.wait(list(pending), timeout=PATIENCE)
        for reference in ready:
            run = pending.pop(reference)
            yield run, outcome.end_log(run, *_result(ray, reference))
    for reference in pending.keys() - told:
        ray.cancel(reference)
    for reference, run in pending.items():
        yield run, outcome.end_log(run, *_result(ray, reference))


def train(command: Sequence[str], log: str, folder: str, num_gpus: float = 0.0) -> int:
    """Executes a run's command in a Ray worker, and returns the exit code.

    If the sweep cancels the run (KeyboardInterrupt), the run saves its state and ends.

    Args:
      command: the command.
      log: the file that the command's output is appended to.
      folder: the working directory.
      num_gpus: the number of GPUs of the run, or its share of a GPU.
    """
    with open(log, "ab") as file:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=os.environ | memory_share(num_gpus),
            preexec_fn=tied(),
        )
    try:
        # Ray cannot interrupt `wait`, so poll.
        while process.poll() is None:
            time.sleep(PATIENCE)
    finally:
        process.terminate()
        process.wait()
    return process.returncode


def _result(ray: Any, reference: Any) -> tuple[int, str]:
    """Returns the exit code of a run's command, and Ray's error message or "".

    Args:
      ray: the module `ray`.
      reference: Ray's reference to the result of `train`.
    """
    try:
        return ray.get(reference), ""
    except (ray.exceptions.TaskCancelledError, KeyboardInterrupt):
        return 128 + signal.SIGTERM, ""
    except ray.exceptions.RayError as error:
        return 1, str(error).strip().splitlines()[0]


def _sizes(ray: Any) -> list[tuple[float, float]]:
    """Returns the number of CPUs and of GPUs of each machine of the cluster."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [(m.get("CPU", 0.0), m.get("GPU", 0.0)) for m in machines]


def _room(ray: Any, num_cpus: float, num_gpus: float) -> int:
    """Returns the number of runs that the cluster trains at a time, at least 1.

    Args:
      ray: the module `ray`, connected to the cluster.
      num_cpus, num_gpus: the CPUs and GPUs that a run requests. A run that requests
        neither counts as a run with one CPU.
    """
    if not num_cpus and not num_gpus:
        num_cpus = 1.0
    fitting = 0
    for cpus, gpus in _sizes(ray):
        pairs = ((cpus, num_cpus), (gpus, num_gpus))
        fitting += int(min(there // each for there, each in pairs if each))
    return max(fitting, 1)


def _check(ray: Any, num_cpus: float, num_gpus: float) -> None:
    """Raises UserError if no machine of the cluster has enough CPUs and GPUs.

    Args:
      ray: the module `ray`, connected to the cluster.
      num_cpus, num_gpus: the CPUs and GPUs that a run requests.
    """
    sizes = _sizes(ray)
    if not any(cpus >= num_cpus and gpus >= num_gpus for cpus, gpus in sizes):
        known = ", ".join(f"{cpus:g} and {gpus:g}" for cpus, gpus in sizes)
        raise UserError(
            f"no machine of the Ray cluster has --num_cpus={num_cpus:g} CPUs and "
            f"--num_gpus={num_gpus:g} GPUs: set smaller numbers. CPUs and GPUs of the "
            f"machines: {known}."
        )
