"""Runs on a Ray cluster, whose machines share the sweep's folder."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from typing import Any

from cnn_jax.core import extras, guard
from cnn_jax.core.errors import UserError
from cnn_jax.sweeps import outcome
from cnn_jax.sweeps.experiment import Run
from cnn_jax.sweeps.local import PATIENCE, Event, tied

RETRIES = 3  # of a run whose worker died


def connect(address: str | None) -> Any:
    """The module `ray`, connected: to the cluster at `address`, or to a new one on this
    machine.

    Raises:
      UserError: Ray is not installed, or there is no cluster at the address.
    """
    ray = extras.need("ray", "ray", "--launcher=ray")
    try:
        ray.init(
            address=address or "local",
            log_to_driver=False,
            # Workers find the package where this process did, in no run's folder.
            runtime_env={
                "env_vars": {"PYTHONPATH": "" if guard.run_of("") else os.getcwd()}
            },
            logging_level="warning",
            include_dashboard=None if address else False,
        )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        line = str(error).strip().splitlines()[0]
        raise UserError(f"--ray_address={address}: {line}") from error
    return ray


def launch(
    runs: Sequence[Run],
    stopped: Sequence[object],
    *,
    ray: Any,
    num_cpus: float,
    num_gpus: float,
) -> Iterator[Event]:
    """Hands all runs to the cluster, and tells of the end of each.

    A run whose worker or machine dies is handed out again, and goes on from its newest
    checkpoint.

    Args:
      stopped: empty, until the runs under way are to save their state and end.
      num_cpus, num_gpus: that a run asks of a machine.

    Raises:
      UserError: no machine of the cluster has so many.
    """
    _check(ray, num_cpus, num_gpus)
    task = ray.remote(num_cpus=num_cpus, num_gpus=num_gpus, max_retries=RETRIES)(train)
    pending = {}
    for run in runs:
        log = outcome.begin_log(run)
        pending[task.remote(run.command, str(log.absolute()), os.getcwd())] = run
        yield run, None
    while pending and not stopped:
        ready, _ = ray.wait(list(pending), timeout=PATIENCE)
        for reference in ready:
            run = pending.pop(reference)
            yield run, outcome.end_log(run, *_result(ray, reference))
    for reference in pending:
        ray.cancel(reference)
    for reference, run in pending.items():
        yield run, outcome.end_log(run, *_result(ray, reference))


def train(command: Sequence[str], log: str, folder: str) -> int:
    """What a worker does: executes a run's command and returns its exit code.

    Canceled by the sweep (KeyboardInterrupt), it has the run save its state and end.
    """
    with open(log, "ab") as file:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            preexec_fn=tied(),
        )
    try:
        # Not `wait`, which Ray cannot interrupt.
        while process.poll() is None:
            time.sleep(PATIENCE)
    finally:
        process.terminate()
        process.wait()
    return process.returncode


def _result(ray: Any, reference: Any) -> tuple[int, str]:
    """The exit code of a run's command, and what went wrong with Ray."""
    try:
        return ray.get(reference), ""
    except (ray.exceptions.TaskCancelledError, KeyboardInterrupt):
        return 128 + signal.SIGTERM, ""
    except ray.exceptions.RayError as error:
        return 1, str(error).strip().splitlines()[0]


def _check(ray: Any, num_cpus: float, num_gpus: float) -> None:
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    sizes = [(m.get("CPU", 0), m.get("GPU", 0)) for m in machines]
    if not any(cpus >= num_cpus and gpus >= num_gpus for cpus, gpus in sizes):
        known = ", ".join(f"{cpus:g} and {gpus:g}" for cpus, gpus in sizes)
        raise UserError(
            f"no machine of the Ray cluster has --num_cpus={num_cpus:g} processors and "
            f"--num_gpus={num_gpus:g} GPUs; they have {known}."
        )
