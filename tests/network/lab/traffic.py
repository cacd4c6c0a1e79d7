"""A TCP stream between two namespaces, with both ends in this process."""

import hashlib
import random
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise

from sim.lab import netns

WAIT_S = 60.0
_CHUNK = 1 << 16


@dataclass
class Received:
    """What came: its hash, how many bytes, and when (ns, monotonic) each piece did."""

    digest: str = ""
    count: int = 0
    arrivals: list[int] = field(default_factory=list[int])

    @property
    def longest_gap_ns(self) -> int:
        """The longest time between two pieces."""
        return max((after - before for before, after in pairwise(self.arrivals)), default=0)


def stream(source: str, target: str, address: str, chunks: list[bytes], *, pause_s: float = 0.0) -> Received:
    """Send ``chunks``, a pause after each, to ``address``, which is in namespace ``target``."""
    received = Received()
    with ExitStack() as stack:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with netns.inside(target):
            server = stack.enter_context(socket.create_server((address, 0), family=family))
        with netns.inside(source):
            client = stack.enter_context(socket.socket(family))
        for end in (server, client):
            end.settimeout(WAIT_S)
        receiver = threading.Thread(target=_receive, args=(server, received))
        receiver.start()
        client.connect((address, server.getsockname()[1]))
        for chunk in chunks:
            client.sendall(chunk)
            time.sleep(pause_s)
        client.shutdown(socket.SHUT_WR)
        receiver.join(WAIT_S)
    return received


def arrives_whole(source: str, target: str, address: str, count: int = 4_000_000) -> bool:
    """Send random bytes; whether the same ones arrive."""
    data = random.Random(count).randbytes(count)
    return stream(source, target, address, [data]).digest == hashlib.sha256(data).hexdigest()


def in_background(work: Callable[[], Received]) -> Callable[[], Received]:
    """Begin to stream; the answer waits for its end."""
    results: list[Received] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()

    def result() -> Received:
        thread.join(2 * WAIT_S)
        return results[0]

    return result


def _receive(server: socket.socket, received: Received) -> None:
    digest = hashlib.sha256()
    connection, _ = server.accept()
    with connection:
        connection.settimeout(WAIT_S)
        while data := connection.recv(_CHUNK):
            received.arrivals.append(time.monotonic_ns())
            received.count += len(data)
            digest.update(data)
    received.digest = digest.hexdigest()
