"""The relay: what it carries, and when it ends."""

import signal
import socket
import subprocess
import sys
import threading

import pytest

from cnn_jax.training import relay


def test_the_relay_outlives_the_service():
    listener = socket.create_server(("127.0.0.1", 0))
    with socket.create_server(("127.0.0.1", 0)) as service:
        arguments = (listener, "127.0.0.1", service.getsockname()[1], 60.0)
        threading.Thread(target=relay.serve, args=arguments, daemon=True).start()
        inside = socket.create_connection(listener.getsockname())
        outside, _ = service.accept()
    inside.sendall(b"question")
    assert outside.recv(100) == b"question"
    outside.sendall(b"answer")
    assert inside.recv(100) == b"answer"
    outside.close()
    inside.settimeout(0.2)
    with pytest.raises(TimeoutError):
        inside.recv(100)
    inside.close()


def test_it_ends_with_its_user_and_not_before():
    command = [sys.executable, "-I", relay.__file__, "127.0.0.1", "1", "60"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        port = int(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        # Nobody listens at port 1: the connection is closed, and the relay goes on.
        with socket.create_connection(("127.0.0.1", port), timeout=30) as inside:
            assert inside.recv(1) == b""
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(30) == 0
