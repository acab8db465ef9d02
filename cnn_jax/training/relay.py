"""A program that relays connections from a local port to a port of another host.

    python -I relay.py HOST PORT SECONDS

prints the local port and ends with its standard input. It stays open for SECONDS after
the other side has closed. It is a process of its own, because JAX waits for answers
that it relays while it holds the lock of its own interpreter. It imports the standard
library alone.
"""

import contextlib
import signal
import socket
import sys
import threading
import time


def serve(listener: socket.socket, host: str, port: int, seconds: float) -> None:
    """Relays each connection to the listener, without an end."""

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        time.sleep(seconds)
        for end in (source, sink):
            end.close()

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


def main(host: str, port: str, seconds: str) -> None:
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)  # its user ends it
    listener = socket.create_server(("127.0.0.1", 0))
    arguments = (listener, host, int(port), float(seconds))
    threading.Thread(target=serve, args=arguments, daemon=True).start()
    print(listener.getsockname()[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
