"""Measures how fast a config's training images load, without a network or a device.

The training loop's own loader is timed. It reads, decodes, randomly crops and resamples
images, and puts them into batches, in `data.workers` processes. A data set in memory is
already decoded, so the loader only gathers batches.
"""

import collections
import contextlib
import importlib.metadata
import itertools
import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax import data
from cnn_jax.benchmarks import measure, timing, torch_input, torch_peer
from cnn_jax.benchmarks.measure import Protocol
from cnn_jax.benchmarks.peers import NoPeer
from cnn_jax.data.splits import Arrays, Records
from cnn_jax.training import config as config_lib
from cnn_jax.training import loop, setup
from cnn_jax.training.config import Config

# More steps than are ever taken, so that the batches do not end.
ENDLESS = 2**31 - 1
# Batches that a worker prepares while no batch is taken: two in its queue, two in this
# process's queue (`per_worker_buffer_size`), and one on the way to each queue.
AHEAD = 6
# Memory is sampled `SAMPLES` times over an epoch, but at least over these batches.
FEWEST_BATCHES, SAMPLES = 50, 100


def report(config: Config, protocol: Protocol) -> dict[str, Any]:
    """Returns {"device", "versions", "results": [row]}; see `row`.

    Raises:
      UserError: as `row`.
    """
    return described([row(config, protocol)], protocol)


def described(rows: list[dict[str, Any]], protocol: Protocol) -> dict[str, Any]:
    """Returns a report: the rows, a description of the machine, and package versions.

    Args:
      rows: the results of `row`.
      protocol: how the rows were measured.
    """
    content = measure.described(rows, protocol)
    content["versions"] |= versions(protocol.peer)
    return content


def versions(peer: str | None) -> dict[str, str | None]:
    """Returns the versions of the packages that read images.

    Args:
      peer: the name of the peer, or None. torchvision's version is included if there
        is a peer.
    """
    version = importlib.metadata.version
    found: dict[str, str | None] = {name: version(name) for name in ("pillow", "grain")}
    return found | {"torchvision": version("torchvision") if peer else None}


def row(config: Config, protocol: Protocol) -> dict[str, Any]:
    """Measures the loading of a config's training split.

    Returns:
      A dict. Times are milliseconds per batch. "cores" is the number of decoding
      processes: the workers, or 1 (this process) without workers. "ratio" is our time
      divided by the peer's time. "memory" is the result of `_memory` for our loader.

    Raises:
      UserError: the config's data is missing; an image is damaged; `protocol.peer` is
        not installed; or there is a peer, but the data is already decoded.
    """
    if protocol.peer:
        torch_peer.vision("--input")
    split = data.load(config.data.name, **setup.data_options(config)).splits["train"]
    in_memory = isinstance(split, Arrays)
    if protocol.peer and not isinstance(split, Records):
        raise NoPeer(_nothing_to_decode(config))
    batch_size, workers = config.data.batch_size, config.data.workers
    processes = 0 if in_memory else workers
    # During the other loader's turn, workers prepare batches ahead. The first sample of
    # a turn, which is not timed, takes these batches, and lasts until the other
    # loader's workers are idle.
    steps = (AHEAD + torch_input.AHEAD) * processes or 1
    arguments = config_lib.arguments(config.data, loop.batches)
    with contextlib.ExitStack() as stack:
        ours = loop.batches(split, config.seed, 0, ENDLESS, **arguments)
        stack.enter_context(contextlib.closing(ours))
        memory = _memory(
            ours,
            warmup=protocol.warmup * steps,
            batches=max(-(-len(split) // batch_size), FEWEST_BATCHES),
        )
        runs = [_run(ours)]
        if protocol.peer and isinstance(split, Records):
            theirs = torch_input.batches(
                split, batch_size=batch_size, workers=workers, stop_step=ENDLESS
            )
            stack.enter_context(contextlib.closing(theirs))
            runs.append(_run(theirs))
        times = timing.alternate(
            runs,
            repeats=protocol.repeats,
            warmup=protocol.warmup,
            steps=steps,
            seconds=protocol.seconds,
        )
    steady = all(found.steady for found in times)
    if not steady:
        measure.warn_unsteady(f"input of {config.data.name}, batch of {batch_size}")
    cores = max(processes, 1)
    speeds = [1e3 * batch_size / found.median_ms for found in times]
    return {
        "data": config.data.name,
        "examples": len(split),
        "in_memory": in_memory,
        "image_shape": list(split.image_shape),
        "batch_size": batch_size,
        "workers": workers,
        "cores": cores,
        "warmup": protocol.warmup,
        "repeats": len(times[0].seconds),
        "steps_per_repeat": steps,
        "steady": steady,
        "images_per_second": speeds[0],
        "images_per_second_per_core": speeds[0] / cores,
        "peer_images_per_second": speeds[1] if protocol.peer else None,
        **measure.compared(times, protocol.peer),
        "memory": memory,
    }


def _nothing_to_decode(config: Config) -> str:
    """Returns the error message for a peer on data that is already decoded."""
    name = config.data.name
    hint = ""
    if "in_memory" in data.options(name):
        hint = ", or set --config.data.in_memory=false to read images from the disk"
    return (
        f"--peer=torch compares the decoding of images, but {name} is held in memory "
        f"as decoded images: leave out --peer{hint}."
    )


def _run(batches: Iterator[Any]) -> timing.Run:
    """Returns a function that takes a number of batches and discards them."""

    def take(steps: int) -> None:
        collections.deque(itertools.islice(batches, steps), maxlen=0)

    return take


def _memory(
    loader: Iterator[Any], *, warmup: int, batches: int
) -> dict[str, int] | None:
    """Samples the resident memory of this process and its workers while batches load.

    Args:
      loader: the batches.
      warmup: the number of batches before the first sample.
      batches: the number of batches from the first sample to the last sample.

    Returns:
      {"batches", "samples", "first_bytes", "largest_bytes", "last_bytes",
      "growth_bytes"}. The growth is the last sample minus the first. None if the system
      does not report memory.
    """
    take = _run(loader)
    take(warmup)
    sizes = [resident_bytes()]
    marks = np.linspace(0, batches, min(batches, SAMPLES) + 1).round().astype(int)
    for steps in np.diff(marks).tolist():
        take(steps)
        sizes.append(resident_bytes())
    found = [size for size in sizes if size is not None]
    if len(found) < len(sizes):
        return None
    return {
        "batches": batches,
        "samples": len(found),
        "first_bytes": found[0],
        "largest_bytes": max(found),
        "last_bytes": found[-1],
        "growth_bytes": found[-1] - found[0],
    }


def resident_bytes() -> int | None:
    """Returns the resident memory of this process and its workers; None if unknown.

    A memory page that several processes share is counted once for each process.
    """
    workers = [process.pid for process in multiprocessing.active_children()]
    try:
        pages = [
            int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            for pid in (os.getpid(), *workers)
        ]
    except OSError:
        return None
    return sum(pages) * os.sysconf("SC_PAGE_SIZE")
