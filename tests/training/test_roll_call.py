"""The processes of a run meet: who is missing is named."""

import ctypes
import os
import select
import socket
import subprocess
import sys
import threading

import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.training import roll_call

# Of a service whose listening socket is the standard input.
ANSWER = (
    "import socket; s, _ = socket.socket(fileno=0).accept(); s.recv(100); "
    "s.sendall(b'answer')"
)


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_all_meet(monkeypatch):
    """Process 0 among strangers, and two others."""
    port, found = free_port(), {}
    main = threading.Thread(target=lambda: found.update(roll=roll(port, 3)))

    def roll(port, count):
        peers = roll_call._call_roll(port, count)
        for peer in peers:
            peer.send(service=9, **roll_call._self())
        return peers

    def report(number):
        found[number] = roll_call._report("127.0.0.1", port, number)

    main.start()
    others = [threading.Thread(target=report, args=(n,)) for n in (1, 2)]
    others[0].start()
    others[0].join(0.5)
    with socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
    others[1].start()
    for thread in (main, *others):
        thread.join(30)
    assert sorted(peer.number for peer in found["roll"]) == [1, 2]
    for number in (1, 2):
        peer, service = found[number]
        assert service == 9 and peer.number == 0
        assert f"PID {os.getpid()} on host {socket.gethostname()}" in peer.text


def test_who_never_joins_is_counted(monkeypatch):
    monkeypatch.setattr(roll_call, "SECONDS", 1)
    port, errors = free_port(), []

    def report():
        try:
            roll_call._report("127.0.0.1", port, 2)
        except UserError as error:
            errors.append(str(error))

    other = threading.Thread(target=report)
    other.start()
    with pytest.raises(UserError) as error:
        roll_call._call_roll(port, 4)
    other.join(30)
    assert errors == [str(error.value)]
    assert str(error.value).startswith(
        "2 of 4 processes joined within 1 s; missing processes: 1, 3."
    )


def test_process_0_never_starts(monkeypatch):
    monkeypatch.setattr(roll_call, "SECONDS", 0)
    port = free_port()
    with pytest.raises(UserError, match=rf"process 0 does not answer at .*:{port} "):
        roll_call._report("127.0.0.1", port, 1)


def test_a_port_that_is_taken():
    with (
        roll_call._listen(0) as taken,
        pytest.raises(UserError, match=r"cannot listen .* If another run uses"),
    ):
        roll_call._call_roll(taken.getsockname()[1], 2)


def test_one_process_needs_no_others():
    assert roll_call.join("127.0.0.1:1", 1, 0) == ("127.0.0.1:1", None)


def test_a_service_is_reached_while_python_waits():
    """JAX waits for answers while it holds the interpreter's lock."""
    with socket.create_server(("127.0.0.1", 0)) as service:
        port = roll_call._relay("127.0.0.1", service.getsockname()[1])
        answer = subprocess.Popen([sys.executable, "-c", ANSWER], stdin=service)
        with socket.create_connection(("127.0.0.1", port)) as inside:
            inside.setblocking(False)
            # `PyDLL` keeps the lock, as JAX does.
            descriptor, text = inside.fileno(), ctypes.create_string_buffer(100)
            ctypes.PyDLL(None).send(descriptor, b"question", 8, 0)
            poll = (ctypes.c_int * 2)(descriptor, select.POLLIN)
            assert ctypes.PyDLL(None).poll(poll, 1, 10_000) == 1
            assert ctypes.PyDLL(None).recv(descriptor, text, 100, 0) == 6
        assert text.value == b"answer" and answer.wait() == 0
