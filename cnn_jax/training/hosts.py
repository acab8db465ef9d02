"""The processes of a run on several hosts watch each other.

If a process is killed, JAX ends the other processes a minute later with a traceback. If
process 0, JAX's coordinator, is killed, JAX aborts the other processes at once.
Therefore this module keeps a connection from each process to process 0. The kernel
closes the connection when a process ends for any reason. Within a second, the other
processes notice the closed connection, print which process has ended, and end too.
`roll_call` makes the connections.
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

BEAT_SECONDS = 5.0  # between two heartbeats
# A process may be stopped, swap or hold Python's lock for up to two minutes.
SILENT_BEATS = 24
SILENT_SECONDS = SILENT_BEATS * BEAT_SECONDS
# If all processes find the same mistake, each has time to print its own error.
FAREWELL_BEATS = 2
NOTICE_SECONDS = 2.0  # time to notice a broken connection
AGAIN = (
    "Start the same command again on every host; "
    "the run resumes from the last checkpoint."
)


class Peer:
    """Another process of the run, and the connection to this process.

    Args:
      connection: the socket that is connected to the process.
      number: the index of the process.
      host: the name of the host on which the process runs.
      pid: the operating system's number of the process.
    """

    def __init__(self, connection: socket.socket, number: int, host: str, pid: int):
        self.connection = connection
        self.number = number
        self.text = f"process {number} (PID {pid} on host {host})"
        self.silent = 0  # heartbeats since its last message
        self.leaving: str | None = None  # "well", "failed"
        self.left = 0  # heartbeats since it reported its failure
        self._received = b""

    def send(self, **message: Any) -> None:
        """Sends a message to the process; an empty message is a heartbeat.

        A broken connection is ignored.
        """
        with contextlib.suppress(OSError):
            self.connection.send(json.dumps(message).encode() + b"\n")

    def receive(self) -> list[Mapping[str, Any]] | None:
        """Returns the messages that have arrived; None if the process has ended."""
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
    """A watch that prints one line and ends this process when a peer has ended.

    Args:
      peers: the watched processes. Process 0 watches all other processes; every other
        process watches only process 0.
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
        """Starts the thread of the watch."""
        threading.Thread(target=self._run, daemon=True, name="hosts").start()

    def leave(self, how: str) -> None:
        """Tells the peers how this process ends.

        Args:
          how: "well" or "failed".
        """
        self._leaving = how
        for peer in list(self._peers):
            peer.send(leaving=how)

    def blame(self) -> None:
        """If a peer has failed, prints a line with its name and ends this process."""
        for peer in list(self._peers):
            if peer.leaving == "failed":
                self._end(
                    f"{peer.text} ended with an error: see the output of this process."
                )

    def _run(self) -> None:
        # Heartbeats are counted, not seconds: a job that is suspended and continued an
        # hour later has received no message for an hour.
        due = time.monotonic() + BEAT_SECONDS
        while True:
            for key, _ in self._selector.select(max(0.0, due - time.monotonic())):
                self.hear(key.data)
            if time.monotonic() >= due:
                due = time.monotonic() + BEAT_SECONDS
                self.beat()

    def hear(self, peer: Peer) -> None:
        """Reads the messages of a peer, and ends this process if the peer has ended.

        If the peer has ended well, this process continues.
        """
        messages = peer.receive()
        if messages is None:
            self._selector.unregister(peer.connection)
            self._peers.remove(peer)
            if peer.leaving != "well":
                self._end(
                    f"{peer.text} ended before the run was complete; the output of "
                    "this process may say why."
                )
            return
        for message in messages:
            peer.leaving = message.get("leaving", peer.leaving)
            if "end" in message:
                self._end(message["end"])

    def beat(self) -> None:
        """Sends a heartbeat to each peer, and counts for how long each peer is silent.

        If a peer has been silent for too long, this process ends.
        """
        for peer in self._peers:
            peer.send()
            peer.silent += 1
            peer.left += peer.leaving == "failed"
            if peer.silent > SILENT_BEATS:
                self._end(
                    f"{peer.text} has not answered for "
                    f"{SILENT_SECONDS:.0f} s: the process is stopped, has no memory "
                    "left or is cut off from the network."
                )
            if peer.left > FAREWELL_BEATS:
                self.blame()

    def _end(self, text: str) -> NoReturn:
        """Tells the peers to end, prints the reason, and ends this process."""
        self._ending.acquire()  # only one thread ends the process
        for peer in self._peers:
            peer.send(end=text)
        if self._leaving != "failed":
            with contextlib.suppress(OSError):
                os.write(2, f"error: {text} {AGAIN}\n".encode())
        # The main thread may wait inside JAX for a missing peer, so exit at once.
        os._exit(1)


_watch: Watch | None = None  # a process belongs to one run until it ends


def watch(peers: list[Peer]) -> None:
    """Watches the other processes of the run until this process ends."""
    global _watch
    _watch = Watch(peers)
    _watch.start()


@contextlib.contextmanager
def farewell() -> Iterator[None]:
    """Returns a context whose end tells the other processes how this process ends.

    If another process has failed and thus caused an error in this process, a line about
    the other process is printed instead of the error. Without other processes, the
    context does nothing.
    """
    try:
        yield
    except SystemExit:  # all processes have saved their state
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
