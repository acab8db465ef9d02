"""The machine that a run uses: devices, processors and memory."""

import math
import os
import platform
from typing import Any

import jax
import numpy as np

from cnn_jax.core import memory
from cnn_jax.data.splits import Shape
from cnn_jax.training.config import Config


def description() -> dict[str, Any]:
    """Returns a description of JAX's devices and of the processor.

    "platform", "kind" and "count" describe the devices. "processor" is the name of the
    processor, and "cores" is the number of cores that this process may use.
    """
    device = jax.devices()[0]
    return {
        "platform": device.platform,
        "kind": device.device_kind,
        "count": jax.device_count(),
        "processor": _processor(),
        "cores": cores(),
    }


def text(found: dict[str, Any]) -> str:
    """Returns a description in words: `1 x cpu; 2 cores of AMD EPYC`.

    Args:
      found: the result of `description`.
    """
    return (
        f"{found['count']} x {found['kind']}; {found['cores']} core"
        f"{'s' * (found['cores'] > 1)} of {found['processor']}"
    )


def cores() -> int:
    """Returns the number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_stats() -> dict[str, int]:
    """Returns the memory statistics of the first device; empty on a CPU."""
    return jax.local_devices()[0].memory_stats() or {}


def peak_memory() -> int | None:
    """Returns the peak memory of the first device in bytes; None if it is unknown."""
    return memory_stats().get("peak_bytes_in_use")


def check_memory(
    config: Config, image_shape: Shape, image_type: np.dtype, state: Any
) -> None:
    """Raises UserError unless a batch and the state fit in memory.

    The check includes each batch in the host's memory, and before and after its
    normalization in the devices' memory. It does not include feature maps and
    gradients; if these do not fit, JAX reports an error during training.

    Args:
      config: the resolved config.
      image_shape: the shape of an image.
      image_type: the type of an image before its normalization.
      state: the arrays of the state, or their shapes.
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
        values, bytes_each = rows * math.prod(image_shape), image_type.itemsize
        what = f"a batch of {rows:,} images of {'x'.join(map(str, image_shape))}"
        change = f"set config.{group}.batch_size or config.data.image_size lower"
        memory.check(bytes_each * values // jax.process_count(), what, change)
        on_device = (bytes_each + 4) * values // jax.device_count()
        memory.check(on_device, what, change, most)


def _processor() -> str:
    """Returns the name of the processor."""
    try:
        with open("/proc/cpuinfo") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
