"""The processes of a run on several hosts meet before they initialize JAX.

Process 0 listens at the coordinator's address until all other processes have connected.
So no process waits inside JAX for a process that is missing. JAX's coordination service
gets another port.
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

SECONDS = 300  # for all processes to start; schedulers start them one by one


def join(address: str, count: int, number: int) -> tuple[str, str | None]:
    """Connects to the other processes of the run, and starts to watch these processes.

    Args:
      address: the coordinator's address, HOST:PORT; process 0 listens there.
      count: the number of processes.
      number: the index of this process.

    Returns:
      Two addresses. This process reaches JAX's coordination service at the first
      address. Process 0 binds the service to the second address, which is None in all
      other processes.

    Raises:
      UserError: if not all processes have joined in time.
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
    """Returns the host name and the PID of this process."""
    return {"host": socket.gethostname(), "pid": os.getpid()}


def _listen(port: int) -> socket.socket:
    """Returns a socket that listens on all addresses of this host, as JAX's coordinator
    does."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(
            ("", port), family=socket.AF_INET6, dualstack_ipv6=True
        )
    return socket.create_server(("", port))


def _free_port() -> tuple[int, str]:
    """Returns a free port for JAX's coordination service, and the address to which the
    service is bound."""
    with _listen(0) as listener:
        port = listener.getsockname()[1]
        anywhere = "[::]" if listener.family == socket.AF_INET6 else "0.0.0.0"
    return port, f"{anywhere}:{port}"


def _call_roll(port: int, count: int) -> list[Peer]:
    """Waits until all other processes have connected; only process 0 calls this.

    Args:
      port: the port at which process 0 listens.
      count: the number of all processes.

    Returns:
      A `Peer` for each of the other processes.

    Raises:
      UserError: if process 0 cannot listen, or processes are missing after `SECONDS`.
    """
    try:
        listener = _listen(port)
    except OSError as error:
        raise UserError(
            f"process 0 cannot listen at the coordinator's port {port}: "
            f"{error.strerror}. If another run uses this port, set another "
            "JAX_COORDINATOR_PORT."
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
                continue  # not a process of this run
            peers[peer.number] = peer
    if missing := sorted(set(range(1, count)) - peers.keys()):
        text = (
            f"{len(peers) + 1} of {count} processes joined within {SECONDS} s; "
            f"missing processes: {', '.join(map(str, missing[:8]))}"
            f"{', ...' * (len(missing) > 8)}. Start the same command on every host."
        )
        for peer in peers.values():
            peer.send(end=text)
        raise UserError(text)
    return list(peers.values())


def _meet(connection: socket.socket) -> Peer:
    """Returns the process that has just connected.

    The first line that the process sends contains its index, host and PID.
    """
    connection.settimeout(10)
    facts = json.loads(connection.makefile("rb").readline(1000))
    return Peer(connection, int(facts["number"]), str(facts["host"]), facts["pid"])


def _report(host: str, port: int, number: int) -> tuple[Peer, int]:
    """Connects to process 0; all processes except for process 0 call this.

    Args:
      host: the host of process 0.
      port: the port at which process 0 listens.
      number: the index of this process.

    Returns:
      A `Peer` for process 0, and the port of JAX's coordination service.

    Raises:
      UserError: if process 0 does not answer, or not all processes have joined in time.
    """
    deadline = time.monotonic() + SECONDS
    lost = f"process 0 does not answer at the coordinator's address {host}:{port}"
    while True:
        try:
            connection = socket.create_connection((host, port), timeout=5)
            break
        except OSError as error:
            if time.monotonic() > deadline:
                raise UserError(
                    f"{lost} for {SECONDS} s ({error}). Start the same command "
                    "on every host; every host must reach this port."
                ) from error
            time.sleep(0.1)
    connection.sendall(json.dumps({"number": number, **_self()}).encode() + b"\n")
    connection.settimeout(SECONDS + 30)  # process 0 must time out first
    try:
        facts = json.loads(connection.makefile("rb").readline(10_000))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{lost}: process 0 ended before all processes joined. Start the same "
            "command again on every host."
        ) from error
    if "end" in facts:
        raise UserError(facts["end"])
    return Peer(connection, 0, facts["host"], facts["pid"]), facts["service"]


def _relay(host: str, port: int) -> int:
    """Starts a relay (`training.relay`) to JAX's coordination service.

    JAX aborts a process as soon as the process's connection to the service is closed.
    The relay keeps the connection open long enough for `hosts.Watch` to end the process
    with a clear message. The relay ends when this process ends, for any reason.

    Args:
      host: the host of the service.
      port: the port of the service.

    Returns:
      The local port of the relay.
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
