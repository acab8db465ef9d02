"""Functions for several devices and several hosts.

The code of a training or evaluation step (`training.step`) is for one device, with
collectives over the mapped axis `"batch"`. This module maps a step over the devices of
this host. The state is replicated on all devices, and each batch is split over the
devices.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import jax
import numpy as np
from jax._src.clusters import ClusterEnv  # JAX has no public function for this
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cnn_jax.core.errors import UserError
from cnn_jax.training import hosts, programs, roll_call, startup
from cnn_jax.training.config import Config

AXIS = "batch"
AUTO = "auto"  # the value of `train.accumulate` that depends on the memory


def initialize() -> None:
    """Joins this process to the other processes of a run on several hosts.

    JAX detects Slurm, Open MPI, Kubernetes and Cloud TPU.

    Raises:
      UserError: if JAX detects no cluster, or the other processes cannot be reached.
    """
    if jax.config.values["jax_platforms"] == "cpu":
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
    address, count, number = _find_cluster()
    service, bind = roll_call.join(address, count, number)
    try:
        jax.distributed.initialize(
            service,
            count,
            number,
            coordinator_bind_address=bind,
            initialization_timeout=roll_call.SECONDS,
            # JAX's own timeout aborts the process, so it must be longer than ours.
            heartbeat_timeout_seconds=round(3 * hosts.SILENT_SECONDS),
        )
    except (ValueError, RuntimeError) as error:
        raise UserError(
            f"process {number} of {count} cannot join the run at {address}: "
            f"{str(error).splitlines()[0]}"
        ) from error


def _find_cluster() -> tuple[str, int, int]:
    """Returns the coordinator's address, the number of processes, and the index of this
    process."""
    try:
        address, count, number, _ = ClusterEnv.auto_detect_unset_distributed_params(
            os.environ.get("JAX_COORDINATOR_ADDRESS"),
            num_processes=None,
            process_id=None,
            local_device_ids=None,
            cluster_detection_method=None,
            initialization_timeout=roll_call.SECONDS,
        )
        if address is None or count is None or number is None:
            raise ValueError("JAX found no cluster.")
    except (ValueError, RuntimeError, OSError, KeyError) as error:
        raise UserError(
            "--distributed needs a cluster that JAX can find (Slurm, Open MPI, "
            f"Kubernetes, Cloud TPU): {str(error).splitlines()[0]}"
        ) from error
    return address, count, number


def check_batch_size(name: str, batch_size: int) -> None:
    """Raises UserError unless the batch size is a multiple of the number of devices.

    Args:
      name: the config key of the batch size, without "config.", for the error.
      batch_size: the number of examples of a batch, over all hosts.
    """
    devices = jax.device_count()
    if batch_size < 1:
        raise UserError(f"config.{name}={batch_size} must be at least 1.")
    if batch_size % devices:
        nearest = max(round(batch_size / devices), 1) * devices
        raise UserError(
            f"config.{name}={batch_size} cannot be split evenly over {devices} "
            f"devices: set a multiple of {devices}, such as {nearest}."
        )


def check_batch_sizes(config: Config) -> None:
    """Raises UserError unless the batch sizes of training and evaluation are multiples
    of the number of devices."""
    check_batch_size("data.batch_size", config.data.batch_size)
    if config.eval.batch_size is not None:
        check_batch_size("eval.batch_size", config.eval.batch_size)


def check_parts(config: Config) -> None:
    """Raises UserError unless `train.accumulate` divides the examples of a device."""
    rows, parts = config.data.batch_size // jax.device_count(), config.train.accumulate
    if parts == AUTO:
        return
    if isinstance(parts, str):
        raise UserError(
            f"config.train.accumulate={parts} must be a number, or '{AUTO}'."
        )
    if rows % parts:
        divisors = [number for number in range(1, rows + 1) if rows % number == 0]
        nearest = min(divisors, key=lambda number: abs(number - parts))
        raise UserError(
            f"config.train.accumulate={parts} does not divide the {rows:,} examples of "
            f"each device into equal parts: set a divisor of {rows:,}, such as "
            f"{nearest}."
        )


def is_main_host() -> bool:
    """Returns whether this process writes the logs, pictures and results."""
    return jax.process_index() == 0


def wait_for_all(name: str) -> None:
    """Waits until every host has called this function with the same name.

    After this call, files that the main host wrote before its own call exist.
    """
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def host_shard() -> tuple[int, int]:
    """Returns the index of this host, and the number of hosts.

    Data loading uses both numbers to load only this host's part of each batch.
    """
    return jax.process_index(), jax.process_count()


def host_devices() -> int:
    """Returns the number of devices of this host."""
    return jax.local_device_count()


def gather_rows(rows: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """Returns the rows of all hosts, concatenated; the result is equal on every host.

    Args:
      rows: arrays with one row for each of this host's examples.
    """
    if jax.process_count() == 1:
        return rows
    return multihost_utils.process_allgather(dict(rows), tiled=True)


def train_step(step: Callable) -> Callable:
    """Returns a training step mapped over this host's devices.

    The old state is donated: JAX reuses its memory for the new state. Equal steps of
    several runs are compiled once; see `programs`.

    Args:
      step: the function `(state, batch, key) -> state, metrics` for one device.
    """
    mapped = jax.pmap(
        step,
        axis_name=AXIS,
        in_axes=(None, 0, None),
        out_axes=(None, None),
        donate_argnums=0,
    )
    return programs.Shared(mapped)


def eval_step(step: Callable) -> Callable:
    """Returns an evaluation step mapped over this host's devices.

    Args:
      step: the function `(variables, batch) -> metrics, predictions` for one device.
        Predictions are arrays with one row for each example.
    """
    mapped = jax.pmap(step, axis_name=AXIS, in_axes=(None, 0), out_axes=(None, 0))
    return programs.Shared(mapped)


def statistics_step(step: Callable) -> Callable:
    """Returns a step that computes batch statistics, mapped over this host's devices.

    Args:
      step: the function `(variables, batch, key) -> statistics` for one device.
    """
    axes = (None, 0, None)
    mapped = jax.pmap(step, axis_name=AXIS, in_axes=axes, out_axes=None)
    return programs.Shared(mapped)


def _sharding(spec: PartitionSpec) -> NamedSharding:
    return NamedSharding(Mesh(np.array(jax.local_devices()), (AXIS,)), spec)


def put_batch(batch: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
    """Splits this host's part of a batch over the devices of this host.

    The shape of each array changes from (rows, ...) to (devices, rows per device, ...).
    """
    devices = jax.local_device_count()
    rows = {
        key: value.reshape(devices, -1, *value.shape[1:])
        for key, value in batch.items()
    }
    return jax.device_put(rows, _sharding(PartitionSpec(AXIS)))


def take_rows(outputs: Any) -> Any:
    """Returns outputs of all devices of this host as NumPy arrays.

    The shape of each array changes from (devices, rows per device, ...) to (rows, ...),
    so this function is the inverse of `put_batch`.
    """
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), jax.device_get(outputs))


def prefetch(
    batches: Iterable[Mapping[str, np.ndarray]], size: int = 2
) -> Iterator[tuple[Mapping[str, np.ndarray], dict[str, jax.Array]]]:
    """Yields each batch twice: as NumPy arrays, and as arrays on the devices.

    Args:
      batches: this host's batches.
      size: the number of batches that are sent to the devices before they are needed.
    """
    iterator = iter(batches)
    with startup.CLOCK.part("data"):
        queue = [(batch, put_batch(batch)) for batch in islice(iterator, size)]
    while queue:
        yield queue.pop(0)
        queue.extend((batch, put_batch(batch)) for batch in islice(iterator, 1))


def replicate(tree: Any) -> Any:
    """Returns the tree with every array copied to each device of this host."""
    return jax.device_put(tree, _sharding(PartitionSpec()))


def to_global(tree: Any) -> Any:
    """Returns replicated arrays as arrays over all hosts, which checkpoints need."""
    if jax.process_count() == 1:
        return tree
    mesh = Mesh(np.array(jax.devices()), (AXIS,))
    return multihost_utils.host_local_array_to_global_array(tree, mesh, PartitionSpec())


def global_sharding() -> NamedSharding:
    """Returns the sharding of a restored checkpoint: replicated on all devices of all
    hosts."""
    return NamedSharding(Mesh(np.array(jax.devices()), (AXIS,)), PartitionSpec())


def to_local(tree: Any) -> Any:
    """Returns arrays over all hosts as arrays replicated on this host's devices.

    This function is the inverse of `to_global`.
    """
    if jax.process_count() == 1:
        return tree
    mesh = Mesh(np.array(jax.devices()), (AXIS,))
    local = multihost_utils.global_array_to_host_local_array(
        tree, mesh, PartitionSpec()
    )
    return replicate(local)


def hold_back(outputs: Any) -> None:
    """Waits until `outputs` are computed, if starting further steps could deadlock.

    A deadlock is possible with several virtual devices on one CPU. These devices share
    the threads of the CPU. If two steps ran at the same time, their collectives could
    wait for each other forever.
    """
    if jax.local_device_count() > 1 and jax.default_backend() == "cpu":
        jax.block_until_ready(outputs)


def any_host(flag: bool, step: int) -> bool:
    """Returns whether all hosts should stop after this step.

    With one host, the result is `flag`. With several hosts, JAX's preemption service
    decides, and `flag` is ignored: after a host has received SIGTERM, all hosts agree
    on the step at which they stop.

    Args:
      flag: whether this process has received a signal.
      step: the number of training steps so far.
    """
    if jax.process_count() == 1:
        return flag
    return multihost_utils.reached_preemption_sync_point(step)
