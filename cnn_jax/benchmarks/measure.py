"""Measures the speed and memory of a network in training or inference."""

import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax

from cnn_jax.benchmarks import flax_peer, timing, torch_peer
from cnn_jax.benchmarks.subject import Request, Subject, make
from cnn_jax.core.errors import UserError
from cnn_jax.training import machine, parallel

# Other implementations of the network, by name; see `torch_peer.Peer`.
PEERS = {"torch": torch_peer.Peer, "flax_example": flax_peer.Peer}


class DoesNotFit(UserError):
    """The error for a batch that needs more memory than the device has."""

    def __init__(self, batch_size: int):
        super().__init__(
            f"a batch of {batch_size} does not fit into the memory: take a "
            "smaller batch (--batch_sizes), smaller images (--input_shape) or a "
            "smaller network."
        )


@dataclass(frozen=True)
class Protocol:
    """The protocol of a measurement. A sample is one timed group of steps.

    Attributes:
      repeats: the number of timed samples.
      warmup: the number of samples before the timed samples.
      seconds: the time in seconds after which the measurement ends early, with at least
        three samples of each program.
      peer: the peer's name in `PEERS`, or None.
    """

    repeats: int = 20
    warmup: int = 3
    seconds: int | float = 60
    peer: str | None = None


def report(
    requests: Sequence[Request], protocol: Protocol, modes: Sequence[str] = timing.MODES
) -> dict[str, Any]:
    """Measures each request in each mode.

    Args:
      requests: the networks to measure.
      protocol: how to measure.
      modes: "train", "infer" or both.

    Returns:
      {"device", "versions", "results": [...]}, with a result for each request and
      mode; see `_result`.

    Raises:
      UserError: as `subject.make`; also if a batch does not fit into memory, if the
        peer is not installed, or if the peer does not have the network.
    """
    results = []
    for request in requests:
        results += measure(make(request), protocol, modes)
    return described(results, protocol)


def described(results: Sequence[dict[str, Any]], protocol: Protocol) -> dict[str, Any]:
    """Returns a report: the results, a description of the machine, and versions."""
    return {
        "device": machine.description(),
        "versions": _versions(protocol.peer),
        "results": list(results),
    }


def sweep(
    request: Request, protocol: Protocol, most: int
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Measures batches of 1, 2, 4, ... images per device, while they fit into memory.

    Args:
      request: the network to measure.
      protocol: how to measure.
      most: the largest batch size to try.

    Returns:
      The results, and {"best", "largest", "does_not_fit"}. "best" has, for each mode,
      the batch size with the most images per second. "largest" is the largest batch
      size that fits. "does_not_fit" is the smallest tried batch size that does not fit,
      or None.

    Raises:
      UserError: as `report`.
    """
    results, refused, largest = [], None, None
    size = jax.device_count()
    while size <= most and refused is None:
        try:
            results += measure(make(request.at(size)), protocol)
            largest, size = size, 2 * size
        except DoesNotFit:
            refused = size
    if not results:
        raise DoesNotFit(size)
    best = {
        mode: max(
            (result for result in results if result["mode"] == mode),
            key=lambda result: result["images_per_second"],
        )["batch_size"]
        for mode in timing.MODES
    }
    return results, {"best": best, "largest": largest, "does_not_fit": refused}


def measure(
    subject: Subject, protocol: Protocol, modes: Sequence[str] = timing.MODES
) -> list[dict[str, Any]]:
    """Returns the measurements of a network, one for each mode.

    Args:
      subject: the network and its steps.
      protocol: how to measure.
      modes: "train", "infer" or both.

    Raises:
      DoesNotFit: if the batch is too large for the memory.
      UserError: if the peer is not installed, or if the peer does not have the network.
    """
    state, peer = jax.device_get(subject.fresh_state()), None
    if protocol.peer:
        peer = PEERS[protocol.peer](subject, state.variables())
    peak = timing.matmul_peak(subject.dtype)
    return [_result(subject, mode, state, peer, peak, protocol) for mode in modes]


def _result(
    subject: Subject, mode: str, state: Any, peer: Any, peak: float, protocol: Protocol
) -> dict[str, Any]:
    """Returns the measurement of a network in one mode.

    Times are milliseconds per step. "ratio" is our time divided by the peer's time.

    Args:
      subject: the network and its steps.
      mode: "train" or "infer".
      state: the training state before the first step, on the host.
      peer: the peer's network, or None.
      peak: the device's peak speed in GFLOP/s; see `timing.matmul_peak`.
      protocol: how to measure.
    """
    rows = subject.batch(mode)
    memory = Memory()
    try:
        arguments = subject.arguments(mode, state, rows)
        begun = time.perf_counter()
        program = _compiled(subject, mode, arguments)
        compile_seconds = time.perf_counter() - begun
        runs = [_run(program, mode, arguments)]
        del arguments
        if peer:
            images = subject.normalized(rows["image"])
            runs.append(
                peer.infer(images)
                if mode == "infer"
                else peer.train(images, rows["label"])
            )
        steps = timing.steps_at_once()
        times = timing.alternate(
            runs,
            repeats=protocol.repeats,
            warmup=protocol.warmup,
            steps=steps,
            seconds=protocol.seconds,
        )
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise DoesNotFit(subject.batch_size) from error
    ours = times[0]
    steady = all(found.steady for found in times)
    if not steady:
        busy_wait = protocol.peer == "torch" and "OMP_WAIT_POLICY" not in os.environ
        warn_unsteady(
            f"{subject.config.model.name}, {mode}, batch of {subject.batch_size}",
            ", and set OMP_WAIT_POLICY=passive" if busy_wait else "",
        )
    size, (bytes_, source) = subject.batch_size, memory.peak(program)
    gflops = timing.flops(subject.macs, size, mode) / ours.median_ms / 1e6
    return {
        "model": subject.config.model.name,
        "mode": mode,
        "batch_size": size,
        "input_shape": list(subject.network.image_shape),
        "dtype": subject.dtype,
        "parameters": subject.parameters,
        "macs": subject.macs,
        "warmup": protocol.warmup,
        "repeats": len(ours.seconds),
        "steps_per_repeat": steps,
        "steady": steady,
        "compile_seconds": compile_seconds,
        "images_per_second": 1e3 * size / ours.median_ms,
        "gflops_per_second": gflops,
        "matmul_gflops_per_second": peak,
        "share_of_peak": gflops / peak,
        "peak_memory_bytes": bytes_,
        "peak_memory_source": source,
        **compared(times, protocol.peer),
    }


def training_run(subject: Subject) -> timing.Run:
    """Returns a function that executes training steps of a network, for `timing`.

    Raises:
      DoesNotFit: if the batch is too large for the memory.
    """
    state = jax.device_get(subject.fresh_state())
    arguments = subject.arguments("train", state, subject.batch("train"))
    program = _compiled(subject, "train", arguments)
    return _run(program, "train", arguments)


def _compiled(subject: Subject, mode: str, arguments: tuple[Any, ...]) -> Any:
    """Returns the compiled step of a network.

    Raises:
      DoesNotFit: if the step needs more memory than the device has.
    """
    program = subject.step(mode).lower(*arguments).compile()
    if _bytes(program) > _available_bytes():
        raise DoesNotFit(subject.batch_size)
    return program


def compared(times: Sequence[timing.Timing], peer: str | None) -> dict[str, Any]:
    """Returns our times, the peer's times, and the ratio of the two medians.

    Args:
      times: our times and, if there is a peer, the peer's times.
      peer: the peer's name, or None.
    """
    ours, theirs = times[0], times[1] if peer else None
    return {
        **_times("step_ms", ours),
        "peer": peer,
        **_times("peer_step_ms", theirs),
        "ratio": ours.median_ms / theirs.median_ms if theirs else None,
        "ratio_of_best": ours.best_ms / theirs.best_ms if theirs else None,
    }


def _times(name: str, found: timing.Timing | None) -> dict[str, float | None]:
    """Returns the median, the best and two percentiles (10, 90) in milliseconds.

    Args:
      name: the key of the median; the other keys begin with this name.
      found: the times; None makes all values None.
    """
    keys = (name, f"{name}_best", f"{name}_p10", f"{name}_p90")
    if found is None:
        return dict.fromkeys(keys)
    ends = (found.percentile_ms(10), found.percentile_ms(90))
    return dict(zip(keys, (found.median_ms, found.best_ms, *ends), strict=True))


def _run(program: Any, mode: str, arguments: tuple[Any, ...]) -> timing.Run:
    """Returns a function that executes a number of our steps.

    Each training step continues from the state after the step before.

    Args:
      program: the compiled step.
      mode: "train" or "infer".
      arguments: the arguments of the step; see `Subject.arguments`.
    """
    held, others = [arguments[0]], arguments[1:]

    def train(steps: int) -> None:
        for _ in range(steps):
            held[0], metrics = program(held[0], *others)
            parallel.hold_back(metrics)
        jax.block_until_ready((held[0], metrics))

    def infer(steps: int) -> None:
        for _ in range(steps):
            outputs = program(held[0], *others)
            parallel.hold_back(outputs)
        jax.block_until_ready(outputs)

    return train if mode == "train" else infer


class Memory:
    """Finds the peak memory of the first device since this object was created."""

    def __init__(self) -> None:
        self._before = machine.peak_memory() or 0

    def peak(self, program: Any) -> tuple[int, str]:
        """Returns the peak memory in bytes, and its source.

        If the device's recorded peak has grown since this object was created, the
        source is "device". Otherwise the peak is the compiler's estimate for `program`,
        and the source is "compiler".
        """
        after = machine.peak_memory() or 0
        if after > self._before:
            return after, "device"
        return _bytes(program), "compiler"


def _bytes(program: Any) -> int:
    """Returns the compiler's estimate of a program's memory on one device, in bytes."""
    analysis = program.memory_analysis()
    return analysis.temp_size_in_bytes + analysis.argument_size_in_bytes


def _available_bytes() -> int:
    """Returns the memory of a device in bytes; on a CPU the machine's free memory.

    The system would kill a CPU program that needs more than the free memory.
    """
    if limit := machine.memory_stats().get("bytes_limit"):
        return limit
    try:
        with open("/proc/meminfo") as lines:
            sizes = dict(line.split(":") for line in lines)
        return int(sizes["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        return sys.maxsize


def warn_unsteady(what: str, hint: str = "") -> None:
    """Warns on stderr that the times of a measurement vary much.

    Args:
      what: the measurement in words.
      hint: further advice, appended to the warning.
    """
    print(
        f"warning: {what}: times vary much. If other programs run on this machine, "
        f"raise --repeats{hint}.",
        file=sys.stderr,
    )


def _versions(peer: str | None) -> dict[str, str | None]:
    """Returns the versions of Python and of the packages that were used.

    Args:
      peer: the peer's name, or None. PyTorch's version is included if the peer is
        "torch".
    """
    version = importlib.metadata.version
    packages = {name: version(name) for name in ("jax", "jaxlib", "flax", "optax")}
    torch = version("torch") if peer == "torch" else None
    return {"python": platform.python_version(), **packages, "torch": torch}
