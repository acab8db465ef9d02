"""Devices and hosts. No other file knows how many there are.

A step is written for one device, with collectives over the axis `"batch"`, and mapped
over this host's devices. Each leaf of the state is one replicated array; a batch is
split over the devices.
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
from cnn_jax.training import hosts, roll_call, startup
from cnn_jax.training.config import Config

AXIS = "batch"


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
            f"process {number} of {count} cannot join the others at {address}: "
            f"{str(error).splitlines()[0]}"
        ) from error


def _find_cluster() -> tuple[str, int, int]:
    """Returns the coordinator's address, the number of processes and our index."""
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
            raise ValueError("it found none.")
    except (ValueError, RuntimeError, OSError, KeyError) as error:
        raise UserError(
            "--distributed needs a cluster that JAX can find (Slurm, Open MPI, "
            f"Kubernetes, Cloud TPU): {str(error).splitlines()[0]}"
        ) from error
    return address, count, number


def check_batch_size(name: str, batch_size: int) -> None:
    """Raises UserError unless the batch size is a multiple of the device count."""
    devices = jax.device_count()
    if batch_size < 1:
        raise UserError(f"config.{name}={batch_size} must be at least 1.")
    if batch_size % devices:
        nearest = max(round(batch_size / devices), 1) * devices
        raise UserError(
            f"config.{name}={batch_size} cannot be split evenly over {devices} "
            f"devices: take a multiple of {devices}, such as {nearest}."
        )


def check_batch_sizes(config: Config) -> None:
    """Raises UserError unless all batch sizes are multiples of the device count."""
    check_batch_size("data.batch_size", config.data.batch_size)
    if config.eval.batch_size is not None:
        check_batch_size("eval.batch_size", config.eval.batch_size)


def is_main_host() -> bool:
    """Returns whether this process writes the logs, pictures and results."""
    return jax.process_index() == 0


def wait_for_all(name: str) -> None:
    """Waits until every host calls it; the main host's earlier files then exist."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def host_shard() -> tuple[int, int]:
    """Returns this host's index and the number of hosts, to load only its rows."""
    return jax.process_index(), jax.process_count()


def host_devices() -> int:
    """Returns the number of devices of this host."""
    return jax.local_device_count()


def gather_rows(rows: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """Gathers the rows of all hosts on every host."""
    if jax.process_count() == 1:
        return rows
    return multihost_utils.process_allgather(dict(rows), tiled=True)


def train_step(step: Callable) -> Callable:
    """Maps `step(state, batch) -> state, metrics`, and donates the old state."""
    return jax.pmap(
        step,
        axis_name=AXIS,
        in_axes=(None, 0),
        out_axes=(None, None),
        donate_argnums=0,
    )


def eval_step(step: Callable) -> Callable:
    """Maps `step(variables, batch) -> metrics, predictions` (a row per example)."""
    return jax.pmap(step, axis_name=AXIS, in_axes=(None, 0), out_axes=(None, 0))


def _sharding(spec: PartitionSpec) -> NamedSharding:
    return NamedSharding(Mesh(np.array(jax.local_devices()), (AXIS,)), spec)


def put_batch(batch: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
    """Splits this host's rows over its devices: (rows, ...) to (devices, rows, ...)."""
    devices = jax.local_device_count()
    rows = {
        key: value.reshape(devices, -1, *value.shape[1:])
        for key, value in batch.items()
    }
    return jax.device_put(rows, _sharding(PartitionSpec(AXIS)))


def take_rows(outputs: Any) -> Any:
    """Undoes `put_batch`, on the host: (devices, rows, ...) to (rows, ...)."""
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), jax.device_get(outputs))


def prefetch(
    batches: Iterable[Mapping[str, np.ndarray]], size: int = 2
) -> Iterator[tuple[Mapping[str, np.ndarray], dict[str, jax.Array]]]:
    """Yields each batch, on the host and on the devices, and sends `size` ahead."""
    iterator = iter(batches)
    with startup.CLOCK.part("data"):
        queue = [(batch, put_batch(batch)) for batch in islice(iterator, size)]
    while queue:
        yield queue.pop(0)
        queue.extend((batch, put_batch(batch)) for batch in islice(iterator, 1))


def replicate(tree: Any) -> Any:
    """Copies the values to every device of this host."""
    return jax.device_put(tree, _sharding(PartitionSpec()))


def to_global(tree: Any) -> Any:
    """Turns replicated values into arrays over all hosts, as checkpoints need."""
    if jax.process_count() == 1:
        return tree
    mesh = Mesh(np.array(jax.devices()), (AXIS,))
    return multihost_utils.host_local_array_to_global_array(tree, mesh, PartitionSpec())


def global_sharding() -> NamedSharding:
    """Returns the sharding of a restored checkpoint: replicated over all devices."""
    return NamedSharding(Mesh(np.array(jax.devices()), (AXIS,)), PartitionSpec())


def to_local(tree: Any) -> Any:
    """Undoes `to_global`: returns values replicated over this host's devices."""
    if jax.process_count() == 1:
        return tree
    mesh = Mesh(np.array(jax.devices()), (AXIS,))
    local = multihost_utils.global_array_to_host_local_array(
        tree, mesh, PartitionSpec()
    )
    return replicate(local)


def hold_back(outputs: Any) -> None:
    """Waits for `outputs` if dispatching further steps could deadlock.

    Virtual devices of one CPU share its threads. The collectives of two steps that run
    at once would wait for each other forever.
    """
    if jax.local_device_count() > 1 and jax.default_backend() == "cpu":
        jax.block_until_ready(outputs)


def any_host(flag: bool, step: int) -> bool:
    """Returns whether `flag` is set on any host, so that all hosts stop at one step.

    With several hosts JAX's preemption service decides: after a host receives SIGTERM,
    the hosts agree on a step.
    """
    if jax.process_count() == 1:
        return flag
    return multihost_utils.reached_preemption_sync_point(step)
