"""Whether something fits in this machine's memory, asked before it is made."""

import math
import os
from pathlib import Path

from cnn_jax.core.errors import UserError

# What a container may use, by control groups of version 2 and 1; "max" is no limit.
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def total() -> int | float:
    """Bytes of memory that this machine has, or this container may use."""
    found = [math.inf]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for path in map(Path, LIMITS):
        try:
            found.append(int(path.read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue
    return min(found)


def check(needed: int, what: str, change: str, most: int | float | None = None) -> None:
    """Raises UserError for something that needs more bytes than there are.

    Args:
      what: needs the memory, such as "a batch of 512 images".
      change: what to do about it.
      most: bytes that there are; None: `total()`.
    """
    most = total() if most is None else most
    if needed > most:
        raise UserError(
            f"{what} would take {needed / 2**30:,.1f} GiB of memory, and there are "
            f"{most / 2**30:,.1f} GiB: {change}."
        )
