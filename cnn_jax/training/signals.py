"""Ending a run from outside: SIGTERM and Ctrl-C."""

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

from cnn_jax.training import parallel


class Stopped(SystemExit):
    """The run was told to end, has saved its state, and can go on from it."""


@contextlib.contextmanager
def stop_signals() -> Iterator[list[signal.Signals]]:
    """Catches SIGTERM and SIGINT (Ctrl-C); a second one ends the process at once.

    With several hosts SIGTERM is JAX's: its preemption service tells the others.
    """
    received: list[signal.Signals] = []
    before = {}
    numbers = [signal.SIGINT]
    if parallel.host_shard()[1] == 1:
        numbers.append(signal.SIGTERM)

    def note(number: int, _: Any) -> None:
        received.append(signal.Signals(number))
        signal.signal(number, before[number])

    for number in numbers:
        before[number] = signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
