"""Handles the signals that end a run: SIGTERM, SIGHUP and Ctrl-C."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


class Stopped(SystemExit):
    """A signal ended the run; its state is saved, and the run can resume."""


class Signals(list[signal.Signals]):
    """A list of the received signals, the first signal first."""

    waits = False

    def waiting(self, items: Iterable[T]) -> Iterator[T]:
        """Yields the items, but stops if a signal arrives during the wait for an item.

        Without this method, a signal could have no effect: if a data worker is stopped
        or a file is endless, the next item may never arrive.
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
    """A signal arrived while the main thread waited for an item.

    This class is not a subclass of `Exception`. Otherwise, code that reads files might
    catch it as an error of a damaged file.
    """


@contextlib.contextmanager
def stop_signals(said: str = "after this step", *, hosts: int = 1) -> Iterator[Signals]:
    """Returns a context that catches SIGTERM, SIGHUP and SIGINT (Ctrl-C).

    The context's value is the list of received signals. A second signal ends the
    process at once. With several hosts, JAX handles SIGTERM: JAX's preemption service
    tells the other hosts. SIGHUP and SIGINT are therefore raised again as SIGTERM.

    Args:
      said: the time when the run will stop, in words for the console.
      hosts: the number of hosts.
    """
    received = Signals()
    before: dict[int, Any] = {}
    alone = hosts == 1
    numbers = [signal.SIGINT, signal.SIGHUP] + [signal.SIGTERM] * alone
    # `nohup` and background jobs of a shell ignore some signals: keep that.
    numbers = [n for n in numbers if signal.getsignal(n) != signal.SIG_IGN]

    def note(number: int, _: Any) -> None:
        received.append(signal.Signals(number))
        text = (
            f"{received[0].name}: stopping {said}; send {received[0].name} again to "
            "end at once\n"
        )
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
