"""Worker processes that load batches, and the handling of their failures."""

import contextlib
import functools
import multiprocessing
import os
import queue
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

from cnn_jax.core import extras
from cnn_jax.core.errors import DataWarning, UserError
from cnn_jax.data import shared_memory

SIGNALS = (signal.SIGINT, signal.SIGTERM)
TRACKER_QUIET = "ignore:resource_tracker:UserWarning"
# In seconds of waiting for a batch. A slow disk has no time limit.
NOTICE = 10
SLOW = 60
STOPPED = 120
CLOSE = 5


def in_workers(
    make: Callable[[int], Any], start: int, stop: int, workers: int
) -> Generator[Any, None, None]:
    """Yields the batch `make(step)` for each step, in the order of the steps.

    A worker process makes a whole batch. If a signal (SIGSTOP) has stopped a worker and
    the run waits two minutes for its batch, the worker is killed. A slow worker is not
    killed.

    Args:
      make: a function from a step to its batch.
      start: the first step.
      stop: the step after the last one.
      workers: the number of worker processes.

    Raises:
      UserError: `make` raised it in a worker, or a worker died or was killed.
    """
    # Grain takes a second to import, so this is not at the top.
    grain = extras.need("grain", "input", "config.data.workers")
    from absl import flags

    if not flags.FLAGS.is_parsed():  # grain reads its own flags there
        flags.FLAGS.mark_as_parsed()
    # If a run ends early, unread batches remain in shared memory. Python's resource
    # tracker frees them with a warning. The tracker process starts with this process's
    # warning options.
    if TRACKER_QUIET not in sys.warnoptions:
        sys.warnoptions.append(TRACKER_QUIET)
    # The thread that starts the tracker gets its signals unblocked, and so would the
    # workers.
    resource_tracker.ensure_running()
    prefix = shared_memory.claim()
    batches = iter(
        grain.MapDataset.range(start, stop)
        .map(_Outcome(make))
        .to_iter_dataset(grain.ReadOptions(num_threads=0))
        .mp_prefetch(
            grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=2),
            functools.partial(_start_worker, prefix),
        )
    )
    watch = _Watch()
    try:
        with watch.waiting():
            batch = _first(batches)
        while batch is not None:
            made, texts = batch
            for text in texts:
                warnings.warn(DataWarning(text), stacklevel=2)
            if isinstance(made, UserError):
                raise made
            yield made
            with watch.waiting():
                batch = next(batches, None)
    except RuntimeError as error:
        if "Worker process" not in str(error):
            raise
        raise UserError(
            watch.ended
            or "a worker process that loads data died. If no message above says why, "
            "the machine had too little memory: set data.workers lower."
        ) from None
    finally:
        watch.close(batches)


@dataclass(frozen=True)
class _Outcome:
    """A function from a step to a pair: its batch or its error, and texts of warnings.

    A worker returns the warnings, and the main process shows them. A worker also
    returns an error instead of raising it, because a raised error would lose its type
    on the way to the main process.

    Attributes:
      make: a function from a step to its batch.
    """

    make: Callable[[int], Any]

    def __call__(self, step: int) -> tuple[Any, list[str]]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", DataWarning)
            try:
                made = self.make(step)
            except UserError as error:
                made = error
        return made, [str(warning.message) for warning in caught]


def _first(batches: Iterator[Any]) -> Any:
    """Returns the first batch, or None if there are no batches.

    The workers start when the first batch is requested. A separate thread, in which
    signals are blocked, makes this request, so the workers start with blocked signals.
    Signals to the whole process group cannot end a worker before it ignores them. The
    calling thread still receives signals.
    """
    answer: queue.SimpleQueue = queue.SimpleQueue()

    def fetch() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            answer.put((next(batches, None), None))
        except BaseException as error:
            answer.put((None, error))

    threading.Thread(target=fetch, daemon=True).start()
    batch, error = answer.get()
    if error is not None:
        raise error
    return batch


def _start_worker(prefix: str, index: int, workers: int) -> None:
    """Prepares a worker process so that the main process decides when the worker ends.

    Ctrl-C and a scheduler's SIGTERM reach every process. The main process may need more
    batches before it stops, so workers ignore both signals. A worker exits if its
    parent process ends.

    Args:
      prefix: the prefix for the names of the worker's shared memory.
      index, workers: not used; grain passes them.
    """
    del index, workers

    def follow() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None  # this process is a worker
        parent.join()
        os._exit(1)

    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=follow, daemon=True).start()
    shared_memory.use(prefix)


class _Watch:
    """A thread that looks for stopped and slow workers while the run waits for a batch.

    Attributes:
      ended: why a worker was killed; None if no worker was killed.
    """

    def __init__(self) -> None:
        self.ended: str | None = None
        self._others = {child.pid for child in multiprocessing.active_children()}
        self._waits = self._told = False
        self._seconds = self._stopped = 0
        self._closed = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Tells the thread that the run waits for a batch inside the `with` block."""
        self._seconds = self._stopped = 0
        self._waits = True
        try:
            yield
        finally:
            self._waits = False

    def close(self, batches: Any) -> None:
        """Ends the workers.

        Without this method, grain would wait until the workers have made their next
        batches.

        Args:
          batches: grain's iterator over the batches.
        """
        self._closed.set()
        late = threading.Timer(CLOSE, self._kill_all)
        late.daemon = True
        late.start()
        try:
            batches.close()
        finally:
            late.cancel()

    def second(self) -> None:
        """Checks the workers. The thread calls this method once a second.

        The method counts the seconds itself. So the seconds in which the whole job is
        suspended do not count.
        """
        if not self._waits:
            return
        self._seconds += 1
        if self._seconds < NOTICE:
            return
        stopped = [pid for pid in self._pids() if _is_stopped(pid)]
        self._stopped = self._stopped + 1 if stopped else 0
        names = ", ".join(map(str, stopped))
        if self._stopped == 1:
            self._tell(
                f"the process {names}, which loads data, is stopped. Continue it with "
                f"`kill -CONT {names}`; otherwise the run ends in {STOPPED} s"
            )
        elif self._stopped > STOPPED:
            self.ended = (
                f"the process {names}, which loads data, was stopped (SIGSTOP) for "
                f"{STOPPED} s. Start the same command again: the run continues from "
                "the last checkpoint."
            )
            for pid in stopped:
                _kill(pid)
        elif self._seconds == SLOW and not (stopped or self._told):
            self._told = True
            self._tell(
                f"no batch was loaded for {SLOW} s: reading the data is slow, or waits "
                "for a file. The run keeps waiting"
            )

    def _run(self) -> None:
        while not self._closed.wait(1):
            self.second()

    def _pids(self) -> list[int]:
        pids = {child.pid for child in multiprocessing.active_children()}
        return [pid for pid in pids - self._others if pid is not None]

    def _kill_all(self) -> None:
        for pid in self._pids():
            _kill(pid)

    @staticmethod
    def _tell(text: str) -> None:
        print(f"warning: {text}", file=sys.stderr, flush=True)


def _is_stopped(pid: int) -> bool:
    """Returns whether a signal has stopped a process, such as SIGSTOP.

    The result is False on systems without /proc.
    """
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] == "T"


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
