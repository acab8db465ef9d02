"""The processes of a run on several hosts watch each other.

JAX ends the others a minute after a process was killed, with a traceback, or at once
and with an abort where process 0, its coordinator, is gone. So each process has a
connection to process 0, which the kernel closes as a process ends, however it ends:
the others learn of it within a second, say which one it was and leave.

Process 0 listens at the coordinator's address and calls the roll: no process waits
inside JAX for one that never comes. JAX's coordination service gets a port of its own.
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

from cnn_jax.errors import UserError

JOIN_SECONDS = 300  # for all processes to start; Slurm starts them one after another
BEAT_SECONDS = 5.0  # between two signs of life
# A process that is stopped, swaps or holds Python's lock is given two minutes.
SILENT_BEATS = 24
# A mistake that all processes find is told by each of them, in its own words.
FAREWELL_BEATS = 2
NOTICE_SECONDS = 2.0  # a connection that broke is noticed by then
# JAX's own watch aborts the process: it comes after ours.
JAX_SECONDS = round(3 * SILENT_BEATS * BEAT_SECONDS)
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
            self.connection.send(_line(message))

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
        for peer in self._peers:
            peer.send(leaving=how)

    def blame(self) -> None:
        """Ends this process with a line if a peer has failed: it is the cause."""
        for peer in self._peers:
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
                    f"{SILENT_BEATS * BEAT_SECONDS:.0f} s: it is stopped, has no "
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


def join(address: str, count: int, number: int) -> tuple[str, str | None]:
    """Meets the other processes of the run, and watches them from then on.

    Args:
      address: of the coordinator, HOST:PORT; process 0 listens there.
      count: how many processes there are.
      number: of this process.

    Returns:
      The address of JAX's coordination service, and the one that process 0 binds it
      to (None for the others).

    Raises:
      UserError: not all processes came.
    """
    global _watch
    if count == 1:
        return address, None
    host, _, port = address.rpartition(":")
    if number == 0:
        peers, (service, bind) = _call_roll(int(port), count), _free_port()
        for peer in peers:
            peer.send(service=service, **_self())
        found = f"127.0.0.1:{service}", bind
    else:
        main, service = _report(host.strip("[]"), int(port), number)
        peers = [main]
        found = f"127.0.0.1:{_relay(host.strip('[]'), service)}", None
    _watch = Watch(peers)
    _watch.start()
    return found


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


def _line(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def _self() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid()}


def _listen(port: int) -> socket.socket:
    """A socket that listens on all addresses of this host, as JAX's does."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(
            ("", port), family=socket.AF_INET6, dualstack_ipv6=True
        )
    return socket.create_server(("", port))


def _free_port() -> tuple[int, str]:
    """A port for JAX's coordination service, and the address to bind it to."""
    with _listen(0) as listener:
        port = listener.getsockname()[1]
        anywhere = "[::]" if listener.family == socket.AF_INET6 else "0.0.0.0"
    return port, f"{anywhere}:{port}"


def _call_roll(port: int, count: int) -> list[Peer]:
    """Process 0: a peer for each of the other processes, when all have come."""
    try:
        listener = _listen(port)
    except OSError as error:
        raise UserError(
            f"process 0 cannot listen at port {port}, the coordinator's: "
            f"{error.strerror}. Is another run there?"
        ) from error
    peers: dict[int, Peer] = {}
    deadline = time.monotonic() + JOIN_SECONDS
    with listener:
        while len(peers) < count - 1:
            listener.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                peer = _meet(listener.accept()[0])
            except TimeoutError:
                break
            except (OSError, ValueError, KeyError, TypeError):
                continue  # nobody of ours
            peers[peer.number] = peer
    if missing := sorted(set(range(1, count)) - peers.keys()):
        text = (
            f"{len(peers) + 1} of {count} processes joined within {JOIN_SECONDS} s; "
            f"missing: {', '.join(map(str, missing[:8]))}"
            f"{', ...' * (len(missing) > 8)}. Start the same command on every host."
        )
        for peer in peers.values():
            peer.send(end=text)
        raise UserError(text)
    return list(peers.values())


def _meet(connection: socket.socket) -> Peer:
    """The process that has just connected, by its first line."""
    connection.settimeout(10)
    facts = json.loads(connection.makefile("rb").readline(1000))
    return Peer(connection, int(facts["number"]), str(facts["host"]), facts["pid"])


def _report(host: str, port: int, number: int) -> tuple[Peer, int]:
    """The other processes: process 0, and the port of JAX's coordination service."""
    deadline = time.monotonic() + JOIN_SECONDS
    lost = f"process 0 does not answer at {host}:{port}, the coordinator's address"
    while True:
        try:
            connection = socket.create_connection((host, port), timeout=5)
            break
        except OSError as error:
            if time.monotonic() > deadline:
                raise UserError(
                    f"{lost}, for {JOIN_SECONDS} s ({error}). Start the same command "
                    "on every host; each must reach that port."
                ) from error
            time.sleep(0.5)
    connection.sendall(_line({"number": number, **_self()}))
    connection.settimeout(JOIN_SECONDS + 30)  # process 0 decides who is late
    try:
        facts = json.loads(connection.makefile("rb").readline(10_000))
    except (OSError, ValueError) as error:
        raise UserError(f"{lost}: it has ended before all had joined.") from error
    if "end" in facts:
        raise UserError(facts["end"])
    return Peer(connection, 0, facts["host"], facts["pid"]), facts["service"]


def _relay(host: str, port: int) -> int:
    """A local port that leads to JAX's coordination service.

    JAX aborts the process in the moment in which its connection to the service closes.
    The relay keeps it open for longer than `Watch` takes.
    """
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        time.sleep(SILENT_BEATS * BEAT_SECONDS)
        for end in (source, sink):
            end.close()

    def accept() -> None:
        while True:
            inside, _ = listener.accept()
            try:
                outside = socket.create_connection((host, port), timeout=5)
            except OSError:
                inside.close()  # JAX tries again
                continue
            outside.settimeout(None)
            for ends in ((inside, outside), (outside, inside)):
                threading.Thread(target=pump, args=ends, daemon=True).start()

    threading.Thread(target=accept, daemon=True, name="relay").start()
    return listener.getsockname()[1]
