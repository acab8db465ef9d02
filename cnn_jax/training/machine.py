"""The machine of a run: devices, processors and memory."""

import math
import os
import platform
from typing import Any

import jax

from cnn_jax.core import memory
from cnn_jax.data.splits import Shape
from cnn_jax.training.config import Config


def description() -> dict[str, Any]:
    """{"platform", "kind", "count"} of JAX's devices, {"processor", "cores"}."""
    device = jax.devices()[0]
    return {
        "platform": device.platform,
        "kind": device.device_kind,
        "count": jax.device_count(),
        "processor": _processor(),
        "cores": cores(),
    }


def text(found: dict[str, Any]) -> str:
    """A description in words: `1 x cpu; 2 cores of AMD EPYC`."""
    return (
        f"{found['count']} x {found['kind']}; {found['cores']} core"
        f"{'s' * (found['cores'] > 1)} of {found['processor']}"
    )


def cores() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_stats() -> dict[str, int]:
    """Of the first device's memory; empty where the backend keeps none (a CPU)."""
    return jax.local_devices()[0].memory_stats() or {}


def peak_memory() -> int | None:
    """The most bytes in use on the first device so far; None where nobody counts."""
    return memory_stats().get("peak_bytes_in_use")


def check_memory(config: Config, image_shape: Shape, state: Any) -> None:
    """Raises UserError unless a batch and the state fit in memory.

    The batch is on the host and, also normalized in float32, on the devices. Maps and
    gradients, which take more, are left to the backend.

    Args:
      state: arrays, or their shapes.
    """
    kept = jax.tree.leaves(state)
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in kept)
    most = memory_stats().get("bytes_limit")
    change = "take a smaller network: look at the widths and classes of config.model"
    memory.check(size, "the parameters and the optimizer's state", change, most)
    for group in ("data", "eval"):
        rows = config[group].batch_size
        if rows is None:
            continue
        pixels = rows * math.prod(image_shape)
        what = f"a batch of {rows:,} images of {'x'.join(map(str, image_shape))}"
        change = f"set config.{group}.batch_size or config.data.image_size lower"
        memory.check(pixels // jax.process_count(), what, change)
        memory.check(5 * pixels // jax.device_count(), what, change, most)


def _processor() -> str:
    """The name of the processor."""
    try:
        with open("/proc/cpuinfo") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
