"""Checks that something fits in this machine's memory, before it is allocated."""

import math
import os
from pathlib import Path

from cnn_jax.core.errors import UserError

# The memory limit of a container, in control groups of version 2 and 1; "max" means no
# limit.
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def total() -> int | float:
    """Returns the memory of this machine, or the limit of this container, in bytes."""
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
    """Raises `UserError` if something needs more bytes than are available.

    Args:
      needed: the number of bytes.
      what: the thing that needs the memory, such as "a batch of 512 images".
      change: the advice to the user.
      most: the available bytes; None: `total()`.
    """
    most = total() if most is None else most
    if needed > most:
        raise UserError(
            f"{what} would take {needed / 2**30:,.1f} GiB of memory, and there are "
            f"only {most / 2**30:,.1f} GiB: {change}."
        )
