"""Ending a run from outside: SIGTERM and Ctrl-C."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


class Stopped(SystemExit):
    """The run was told to end, has saved its state, and can go on from it."""


class Signals(list[signal.Signals]):
    """The signals that came, in order."""

    waits = False

    def waiting(self, items: Iterable[T]) -> Iterator[T]:
        """The items, up to the first that a signal comes for.

        A stopped worker, or a file without an end, may never give the next one.
        """
        iterator = iter(items)
        with contextlib.suppress(_Interrupted):
            while True:
                self.waits = True
                try:
                    item = next(iterator)
                except StopIteration:
                    return
                finally:
                    self.waits = False
                yield item


class _Interrupted(BaseException):
    """A signal came while the main thread waited for an item.

    No reader of files takes it for the fault of a file.
    """


@contextlib.contextmanager
def stop_signals(said: str = "after this step", *, hosts: int = 1) -> Iterator[Signals]:
    """Catches SIGTERM, SIGHUP and SIGINT (Ctrl-C); a second one ends at once.

    With several hosts SIGTERM is JAX's: its preemption service tells the others, and
    so the other signals are passed on as one.

    Args:
      said: when it stops, as the console is told.
    """
    received = Signals()
    before: dict[int, Any] = {}
    alone = hosts == 1
    numbers = [signal.SIGINT, signal.SIGHUP] + [signal.SIGTERM] * alone
    # `nohup`, and a shell that starts a job in the background, have some ignored.
    numbers = [n for n in numbers if signal.getsignal(n) != signal.SIG_IGN]

    def note(number: int, _: Any) -> None:
        received.append(signal.Signals(number))
        text = f"{received[0].name}: stopping {said}; again to end at once\n"
        with contextlib.suppress(OSError):
            os.write(sys.stderr.fileno(), text.encode())
        signal.signal(number, before[number])
        if not alone:
            signal.raise_signal(signal.SIGTERM)
        elif received.waits:
            raise _Interrupted

    for number in numbers:
        before[number] = signal.signal(number, note)
    try:
        yield received
    finally:
        for caught, handler in before.items():
            signal.signal(caught, handler)
