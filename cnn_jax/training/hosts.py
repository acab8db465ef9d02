"""The processes of a run on several hosts watch each other.

JAX ends the others a minute after a process was killed, with a traceback, or at once
and with an abort where process 0, its coordinator, is gone. So each process has a
connection to process 0, which the kernel closes as a process ends, however it ends:
the others learn of it within a second, say which one it was and leave. `roll_call`
makes the connections.
"""

import contextlib
import json
import os
import selectors
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from cnn_jax.core.errors import UserError

BEAT_SECONDS = 5.0  # between two signs of life
# A process that is stopped, swaps or holds Python's lock is given two minutes.
SILENT_BEATS = 24
SILENT_SECONDS = SILENT_BEATS * BEAT_SECONDS
# A mistake that all processes find is told by each of them, in its own words.
FAREWELL_BEATS = 2
NOTICE_SECONDS = 2.0  # a connection that broke is noticed by then
AGAIN = (
    "Start the same command again on every host: it goes on from the last checkpoint."
)


class Peer:
    """Another process: a connection, and what is known of its other end."""

    def __init__(self, connection: socket.socket, number: int, host: str, pid: int):
        self.connection = connection
        self.number = number
        self.text = f"process {number} (PID {pid} on host {host})"
        self.silent = 0  # beats since it was heard last
        self.leaving: str | None = None  # "well", "failed"
        self.left = 0  # beats since it said that it failed
        self._received = b""

    def send(self, **message: Any) -> None:
        """Sends a message, or a sign of life; a broken connection is noticed later."""
        with contextlib.suppress(OSError):
            self.connection.send(json.dumps(message).encode() + b"\n")

    def receive(self) -> list[Mapping[str, Any]] | None:
        """The messages that came; None when the process has ended."""
        try:
            data = self.connection.recv(65536)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            return None
        self.silent = 0
        *lines, self._received = (self._received + data).split(b"\n")
        return [json.loads(line) for line in lines]


class Watch:
    """Ends this process, with one line, when a peer is gone.

    Args:
      peers: all other processes for process 0, and process 0 for the others.
    """

    def __init__(self, peers: list[Peer]):
        self._peers = list(peers)
        self._leaving: str | None = None
        self._ending = threading.Lock()
        self._selector = selectors.DefaultSelector()
        for peer in peers:
            peer.connection.setblocking(False)
            self._selector.register(peer.connection, selectors.EVENT_READ, peer)

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True, name="hosts").start()

    def leave(self, how: str) -> None:
        """Tells the peers that this process ends: "well" or "failed"."""
        self._leaving = how
        for peer in list(self._peers):
            peer.send(leaving=how)

    def blame(self) -> None:
        """Ends this process with a line if a peer has failed: it is the cause."""
        for peer in list(self._peers):
            if peer.leaving == "failed":
                self._end(f"{peer.text} ended with an error: see its output.")

    def _run(self) -> None:
        # Beats are counted and not seconds: a job that is suspended and goes on an hour
        # later has heard nobody for an hour.
        due = time.monotonic() + BEAT_SECONDS
        while True:
            for key, _ in self._selector.select(max(0.0, due - time.monotonic())):
                self.hear(key.data)
            if time.monotonic() >= due:
                due = time.monotonic() + BEAT_SECONDS
                self.beat()

    def hear(self, peer: Peer) -> None:
        """Reads what a peer sent."""
        messages = peer.receive()
        if messages is None:
            self._selector.unregister(peer.connection)
            self._peers.remove(peer)
            if peer.leaving != "well":
                self._end(
                    f"{peer.text} has ended before the run did; its output may say why."
                )
            return
        for message in messages:
            peer.leaving = message.get("leaving", peer.leaving)
            if "end" in message:
                self._end(message["end"])

    def beat(self) -> None:
        """Sends a sign of life, and counts for how long each peer sent none."""
        for peer in self._peers:
            peer.send()
            peer.silent += 1
            peer.left += peer.leaving == "failed"
            if peer.silent > SILENT_BEATS:
                self._end(
                    f"{peer.text} has not answered for "
                    f"{SILENT_SECONDS:.0f} s: it is stopped, has no "
                    "memory left or is cut off from the network."
                )
            if peer.left > FAREWELL_BEATS:
                self.blame()

    def _end(self, text: str) -> NoReturn:
        self._ending.acquire()  # by one thread, and for good
        for peer in self._peers:
            peer.send(end=text)
        if self._leaving != "failed":
            with contextlib.suppress(OSError):
                os.write(2, f"error: {text} {AGAIN}\n".encode())
        # The main thread waits within JAX for a peer that does not come.
        os._exit(1)


_watch: Watch | None = None  # this process is one of a run, to its end


def watch(peers: list[Peer]) -> None:
    """Watches the other processes of the run until this one ends."""
    global _watch
    _watch = Watch(peers)
    _watch.start()


@contextlib.contextmanager
def farewell() -> Iterator[None]:
    """Tells the other processes how the block ended; without others, does nothing.

    An error whose cause is the loss of another process is not shown: the line about
    the process is.
    """
    try:
        yield
    except SystemExit:  # with its state saved, as the others
        _leave("well")
        raise
    except BaseException as error:
        if _watch:
            time.sleep(NOTICE_SECONDS)
            if not isinstance(error, UserError):
                _watch.blame()
        _leave("failed")
        raise
    _leave("well")


def _leave(how: str) -> None:
    if _watch:
        _watch.leave(how)
