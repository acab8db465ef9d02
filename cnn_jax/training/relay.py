"""A program that relays connections from a local port to a port of another host.

    python -I relay.py HOST PORT SECONDS

prints the local port, and runs until its standard input is closed. After one side has
closed a connection, the relay keeps the other side open for SECONDS. The relay is a
process of its own, because JAX holds the lock of the Python interpreter while it waits
for relayed answers. A thread in the same process could then not relay them. This file
imports only the standard library.
"""

import contextlib
import signal
import socket
import sys
import threading
import time


def serve(listener: socket.socket, host: str, port: int, seconds: float) -> None:
    """Accepts connections forever, and relays each of them.

    Args:
      listener: the socket that accepts the connections.
      host: the other host, to which the connections are relayed.
      port: the port of the other host.
      seconds: the time for which one side of a connection stays open after the other
        side has closed it.
    """

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
