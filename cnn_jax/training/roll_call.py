"""The processes of a run on several hosts meet before JAX brings them together.

Process 0 listens at the coordinator's address and calls the roll: no process waits
inside JAX for one that never comes. JAX's coordination service gets a port of its own.
"""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from typing import Any

from cnn_jax.core.errors import UserError
from cnn_jax.training import hosts, relay
from cnn_jax.training.hosts import Peer

SECONDS = 300  # for all processes to start; a scheduler starts them one after another


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
    if count == 1:
        return address, None
    host, _, port = address.rpartition(":")
    if number == 0:
        peers, (service, bind) = _call_roll(int(port), count), _free_port()
        for peer in peers:
            peer.send(service=service, **_self())
        found: tuple[str, str | None] = (f"127.0.0.1:{service}", bind)
    else:
        main, service = _report(host.strip("[]"), int(port), number)
        peers = [main]
        found = f"127.0.0.1:{_relay(host.strip('[]'), service)}", None
    hosts.watch(peers)
    return found


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
    deadline = time.monotonic() + SECONDS
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
            f"{len(peers) + 1} of {count} processes joined within {SECONDS} s; "
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
    deadline = time.monotonic() + SECONDS
    lost = f"process 0 does not answer at {host}:{port}, the coordinator's address"
    while True:
        try:
            connection = socket.create_connection((host, port), timeout=5)
            break
        except OSError as error:
            if time.monotonic() > deadline:
                raise UserError(
                    f"{lost}, for {SECONDS} s ({error}). Start the same command "
                    "on every host; each must reach that port."
                ) from error
            time.sleep(0.1)
    connection.sendall(json.dumps({"number": number, **_self()}).encode() + b"\n")
    connection.settimeout(SECONDS + 30)  # process 0 decides who is late
    try:
        facts = json.loads(connection.makefile("rb").readline(10_000))
    except (OSError, ValueError) as error:
        raise UserError(f"{lost}: it has ended before all had joined.") from error
    if "end" in facts:
        raise UserError(facts["end"])
    return Peer(connection, 0, facts["host"], facts["pid"]), facts["service"]


def _relay(host: str, port: int) -> int:
    """Returns a local port that leads to JAX's coordination service.

    JAX aborts a process as soon as its connection to the service closes. The relay
    keeps the connection open for longer than `hosts.Watch` takes. It ends with this
    process, however this process ends.
    """
    held, _ = os.pipe()  # the system closes the other end with this process
    command = [sys.executable, "-I", relay.__file__, host, str(port)]
    command.append(str(hosts.SILENT_SECONDS))
    process = subprocess.Popen(
        command, stdin=held, stdout=subprocess.PIPE, start_new_session=True
    )
    os.close(held)
    assert process.stdout
    with process.stdout as said:
        local = int(said.readline())
    threading.Thread(target=process.wait, daemon=True, name="relay").start()
    return local
