"""What one TCP stream gets through a path of a lab. I/O; called by `check`.

Both ends are sockets of this process, made in the namespaces of their nodes.
"""

import socket
import threading
import time

from sim.lab import netns

_CHUNK = bytes(1 << 16)
_PATIENCE_S = 5.0


def goodput_bps(source: str, target: str, address: str, seconds: float) -> float:
    """Bits a second that arrive in namespace ``target`` at ``address``, from the first byte on; 0 where no
    connection comes about.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with netns.inside(target):
        server = socket.create_server((address, 0), family=family)
    with netns.inside(source):
        client = socket.socket(family, socket.SOCK_STREAM)
    received: list[tuple[int, int]] = []
    with server, client:
        server.settimeout(_PATIENCE_S)
        client.settimeout(_PATIENCE_S)
        taking = threading.Thread(target=_take, args=(server, seconds, received))
        taking.start()
        try:
            client.connect((address, server.getsockname()[1]))
            end = time.monotonic() + seconds + 0.1
            while time.monotonic() < end:
                client.sendall(_CHUNK)
        except OSError:
            pass  # the other end has seen enough, or nothing gets through
        taking.join()
    return received[0][0] * 8e9 / received[0][1] if received else 0.0


def _take(server: socket.socket, seconds: float, received: list[tuple[int, int]]) -> None:
    """Take what comes for a while; leaves its bytes and the time in ns."""
    try:
        connection, _ = server.accept()
        with connection:
            connection.settimeout(seconds)
            count = len(connection.recv(1 << 16))
            begun = time.monotonic_ns()
            while time.monotonic_ns() - begun < seconds * 1e9:
                try:
                    count += len(connection.recv(1 << 20))
                except TimeoutError:
                    break
            received.append((count, time.monotonic_ns() - begun))
    except OSError:
        pass  # nothing came: no figure
