"""Measures a network in a mode, with a batch size."""

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
    """The batch needs more memory than the device has."""

    def __init__(self, batch_size: int):
        super().__init__(
            f"a batch of {batch_size} does not fit into the memory: take a smaller one "
            "with --batch_sizes."
        )


@dataclass(frozen=True)
class Protocol:
    """How to measure.

    Attributes:
      repeats: the number of timed samples.
      warmup: the number of samples before the timed ones.
      seconds: the time after which three samples of each program are enough.
      peer: a name in `PEERS`, or None.
    """

    repeats: int = 20
    warmup: int = 3
    seconds: int | float = 60
    peer: str | None = None


def report(
    requests: Sequence[Request], protocol: Protocol, modes: Sequence[str] = timing.MODES
) -> dict[str, Any]:
    """Measures requests in each mode.

    Returns:
      {"device", "versions", "results": [...]}, with a result for each request and
      mode; see `_result`.

    Raises:
      UserError: as `subject.make`; also if a batch does not fit, or the peer is not
        installed or has no such network.
    """
    results = []
    for request in requests:
        results += measure(make(request), protocol, modes)
    return described(results, protocol)


def described(results: Sequence[dict[str, Any]], protocol: Protocol) -> dict[str, Any]:
    """Returns the results with the machine and the versions."""
    return {
        "device": machine.description(),
        "versions": _versions(protocol.peer),
        "results": list(results),
    }


def sweep(
    request: Request, protocol: Protocol, most: int
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Measures batches of 1, 2, 4, ... images per device, as long as they fit.

    Args:
      request: the network to measure.
      protocol: how to measure.
      most: the largest batch size to try.

    Returns:
      The results, and {"best": {mode: batch size with the most images/s}, "largest":
      the largest size that fits, "does_not_fit": the smallest that does not, or None}.

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
    """Returns the results of a subject, one for each mode.

    Raises:
      DoesNotFit: if the batch is too large for the memory.
      UserError: if the peer is not installed or has no such network.
    """
    state, peer = jax.device_get(subject.fresh_state()), None
    if protocol.peer:
        peer = PEERS[protocol.peer](subject, state.variables())
    peak = timing.matmul_peak(subject.dtype)
    return [_result(subject, mode, state, peer, peak, protocol) for mode in modes]


def _result(
    subject: Subject, mode: str, state: Any, peer: Any, peak: float, protocol: Protocol
) -> dict[str, Any]:
    """Returns the measurement of a subject in a mode.

    Times are milliseconds per step, rates are GFLOP/s, and `ratio` is our time divided
    by the peer's.

    Args:
      subject: the network and its steps.
      mode: "train" or "infer".
      state: a state before the first step, on the host.
      peer: the peer's network, or None.
      peak: the speed of a matrix product, in GFLOP/s.
      protocol: how to measure.
    """
    rows = subject.batch(mode)
    memory = Memory()
    try:
        batch = parallel.put_batch(rows)
        inputs = subject.inputs(mode, state)
        begun = time.perf_counter()
        program = subject.step(mode).lower(inputs, batch).compile()
        compile_seconds = time.perf_counter() - begun
        if _bytes(program) > _available_bytes():
            raise DoesNotFit(subject.batch_size)
        runs = [_run(program, mode, inputs, batch)]
        del inputs
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


def compared(times: Sequence[timing.Timing], peer: str | None) -> dict[str, Any]:
    """Returns our and the peer's milliseconds per step, and `ratio`, ours / theirs."""
    ours, theirs = times[0], times[1] if peer else None
    return {
        **_times("step_ms", ours),
        "peer": peer,
        **_times("peer_step_ms", theirs),
        "ratio": ours.median_ms / theirs.median_ms if theirs else None,
        "ratio_of_best": ours.best_ms / theirs.best_ms if theirs else None,
    }


def _times(name: str, found: timing.Timing | None) -> dict[str, float | None]:
    """Returns the median, best and percentiles of times; None without times."""
    keys = (name, f"{name}_best", f"{name}_p10", f"{name}_p90")
    if found is None:
        return dict.fromkeys(keys)
    ends = (found.percentile_ms(10), found.percentile_ms(90))
    return dict(zip(keys, (found.median_ms, found.best_ms, *ends), strict=True))


def _run(program: Any, mode: str, inputs: Any, batch: Any) -> timing.Run:
    """Returns a run of our steps; each training step continues from the last one."""
    held = [inputs]

    def train(steps: int) -> None:
        for _ in range(steps):
            held[0], metrics = program(held[0], batch)
            parallel.hold_back(metrics)
        jax.block_until_ready((held[0], metrics))

    def infer(steps: int) -> None:
        for _ in range(steps):
            outputs = program(held[0], batch)
            parallel.hold_back(outputs)
        jax.block_until_ready(outputs)

    return train if mode == "train" else infer


class Memory:
    """A watch on the memory in use on the first device."""

    def __init__(self) -> None:
        self._before = machine.peak_memory() or 0

    def peak(self, program: Any) -> tuple[int, str]:
        """Returns the peak memory in bytes, and its source.

        The source is "device" if the device's recorded peak has grown since the watch
        began; otherwise it is "compiler", the estimate for the compiled `program`.
        """
        after = machine.peak_memory() or 0
        if after > self._before:
            return after, "device"
        return _bytes(program), "compiler"


def _bytes(program: Any) -> int:
    """Returns the compiler's estimate of a program's memory on one device."""
    analysis = program.memory_analysis()
    return analysis.temp_size_in_bytes + analysis.argument_size_in_bytes


def _available_bytes() -> int:
    """Returns the memory of a device; on a CPU the free memory of the machine.

    A CPU program that needs more would be killed.
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
    """Warns on stderr that the times of a result vary much."""
    print(
        f"warning: {what}: times vary; if other programs run on this machine, raise "
        f"--repeats{hint}.",
        file=sys.stderr,
    )


def _versions(peer: str | None) -> dict[str, str | None]:
    """Returns the versions of Python and the packages; torch's only if it was timed."""
    version = importlib.metadata.version
    packages = {name: version(name) for name in ("jax", "jaxlib", "flax", "optax")}
    torch = version("torch") if peer == "torch" else None
    return {"python": platform.python_version(), **packages, "torch": torch}
