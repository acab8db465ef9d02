"""What a run goes on: devices, processors and memory, as it notes them."""

import os
import platform
from typing import Any

import jax


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
