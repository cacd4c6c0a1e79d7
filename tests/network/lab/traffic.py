"""TCP streams and datagrams between two namespaces, with both ends in this process."""

import errno
import hashlib
import random
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise

from sim.lab import netns

WAIT_S = 180.0
_CHUNK = 1 << 16
# Of <linux/in.h>; the library does not name them.
_IP_MTU_DISCOVER, _IP_MTU = 10, 14
_IPV6_MTU_DISCOVER, _IPV6_MTU = 23, 24
_PMTUDISC_DONT, _PMTUDISC_DO = 0, 2


@dataclass
class Received:
    """What came: its hash, how many bytes, and when (ns, monotonic) each piece did."""

    digest: str = ""
    count: int = 0
    arrivals: list[int] = field(default_factory=list[int])
    marks: set[int] = field(default_factory=set[int])
    """ECN bits that datagrams arrived with."""
    ended: bool = False
    """A stream came to its end, with all of it."""

    @property
    def longest_gap_ns(self) -> int:
        """The longest time between two pieces."""
        return max((after - before for before, after in pairwise(self.arrivals)), default=0)


def stream(
    source: str,
    target: str,
    address: str,
    chunks: Iterable[bytes],
    *,
    pause_s: float = 0.0,
    received: Received | None = None,
) -> Received:
    """Send ``chunks``, a pause after each, to ``address``, which is in namespace ``target``.

    ``received``: where to tell what comes while it does.
    """
    received = received or Received()
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


def datagrams(
    source: str,
    target: str,
    address: str,
    *,
    size: int,
    enough: Callable[[Received, int], bool],
    may_be_cut: bool = False,
    tos: int = 0,
    received: Received | None = None,
) -> Received:
    """Send a datagram of ``size`` bytes each 5 ms until ``enough`` says so of what came and how many were
    sent; smaller ones once the kernel says that they are too big.

    ``may_be_cut``: on the way, or by the kernel. ``tos``: traffic class; its lowest two bits are ECN.
    ``received``: where to tell what comes while it does.
    """
    received = received or Received()
    v6 = ":" in address
    with ExitStack() as stack:
        ends: list[socket.socket] = []
        for namespace in (target, source):
            with netns.inside(namespace):
                family = socket.AF_INET6 if v6 else socket.AF_INET
                ends.append(stack.enter_context(socket.socket(family, socket.SOCK_DGRAM)))
        receiver, sender = ends
        receiver.bind((address, 0))
        receiver.settimeout(0.2)
        level = socket.IPPROTO_IPV6 if v6 else socket.IPPROTO_IP
        receiver.setsockopt(level, socket.IPV6_RECVTCLASS if v6 else socket.IP_RECVTOS, 1)
        discover = _IPV6_MTU_DISCOVER if v6 else _IP_MTU_DISCOVER
        sender.setsockopt(level, discover, _PMTUDISC_DONT if may_be_cut else _PMTUDISC_DO)
        sender.setsockopt(level, socket.IPV6_TCLASS if v6 else socket.IP_TOS, tos)
        sender.connect(receiver.getsockname()[:2])
        end_s, sent, done = time.monotonic() + WAIT_S, 0, threading.Event()
        thread = threading.Thread(target=_receive_datagrams, args=(receiver, received, done))
        thread.start()
        while not enough(received, sent) and time.monotonic() < end_s:
            sent += 1
            try:
                sender.send(bytes(size))
            except OSError as error:
                if error.errno != errno.EMSGSIZE:
                    raise
                size = sender.getsockopt(level, _IPV6_MTU if v6 else _IP_MTU) - (48 if v6 else 28)
            time.sleep(0.005)
        done.set()
        thread.join(WAIT_S)
    return received


def arrives_whole(source: str, target: str, address: str, count: int = 4_000_000) -> bool:
    """Send random bytes; whether the same ones arrive."""
    data = random.Random(count).randbytes(count)
    return stream(source, target, address, [data]).digest == hashlib.sha256(data).hexdigest()


class Flow:
    """What a thread streams; ``received`` grows meanwhile."""

    def __init__(self, work: Callable[[Received], object]) -> None:
        self.received = Received()
        self._thread = threading.Thread(target=work, args=(self.received,))
        self._thread.start()

    def result(self) -> Received:
        """Wait for the end of it."""
        self._thread.join(2 * WAIT_S)
        assert not self._thread.is_alive()
        return self.received


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
    received.ended = True


def _receive_datagrams(receiver: socket.socket, received: Received, done: threading.Event) -> None:
    while True:
        try:
            data, notes, _, _ = receiver.recvmsg(_CHUNK, 64)
        except TimeoutError:
            if done.is_set():
                return
            continue
        received.arrivals.append(time.monotonic_ns())
        received.count += len(data)
        received.marks |= {note[0] & 0b11 for _, _, note in notes}
