"""Measuring a path of a lab by small numbered datagrams that the far end sends back. I/O; called by `check`
and the demo.

Both ends are sockets of this process, made in the namespaces of their nodes; what is measured is the way
between them.
"""

import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

from sim.lab import netns

_MAGIC = b"lab-probe"
_HEADER = struct.Struct(">9sQQ")  # magic, number, time sent in ns
_LAST_ANSWERS_S = 1.0
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Sample:
    """One answered probe: its number, when it was sent (ns, monotonic), its round trip in ns."""

    number: int
    sent_ns: int
    rtt_ns: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a run of probes met. ``samples`` are sorted by number, each number once."""

    sent: int
    samples: tuple[Sample, ...]
    interval_ns: int
    duplicates: int = 0

    @property
    def loss_ratio(self) -> float:
        return 1 - len(self.samples) / self.sent

    @property
    def outage_ns(self) -> int:
        """The longest time in which every probe was lost: the gap between answered probes less one interval.

        A run without any answer is one outage.
        """
        edges = [-1, *(sample.number for sample in self.samples), self.sent]
        gap = max(after - before - 1 for before, after in pairwise(edges))
        return gap * self.interval_ns

    def rtt_ns(self, quantile: float) -> int | None:
        """A quantile of the round trip, by nearest rank; None where nothing came back."""
        if not self.samples:
            return None
        ordered = sorted(sample.rtt_ns for sample in self.samples)
        return ordered[min(len(ordered) - 1, round(quantile * (len(ordered) - 1)))]


def measure(
    source: str,
    target: str,
    address: str,
    *,
    count: int,
    interval_ns: int,
    size: int = 64,
    at: tuple[int, Callable[[], None]] | None = None,
    patience_s: float = _LAST_ANSWERS_S,
) -> Measurement:
    """Send ``count`` probes from namespace ``source`` to ``address``, which is in namespace ``target``.

    ``size``: bytes of each datagram's payload. ``at``: an action, and the number of the probe that it goes
    before. ``patience_s``: an answer that comes later than so long after all others counts as lost.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with netns.inside(target):
        echo = socket.socket(family, socket.SOCK_DGRAM)
    with netns.inside(source):
        client = socket.socket(family, socket.SOCK_DGRAM)
    with echo, client:
        echo.bind((address, 0))
        client.connect((address, echo.getsockname()[1]))
        client.settimeout(_POLL_S)
        answers: dict[int, Sample] = {}
        extra = [0]
        sent = threading.Event()
        echoing = threading.Thread(target=_echo, args=(echo,), daemon=True)
        receiving = threading.Thread(
            target=_receive, args=(client, count, sent, patience_s, answers, extra), daemon=True
        )
        echoing.start()
        receiving.start()
        try:
            _send(client, count, interval_ns, size, at)
        finally:
            sent.set()
            receiving.join()
            with suppress(OSError):
                echo.shutdown(socket.SHUT_RD)  # wakes the echo; an unconnected socket calls that an error
            echoing.join()
    return Measurement(
        count, tuple(answers[number] for number in sorted(answers)), interval_ns, duplicates=extra[0]
    )


def _send(
    client: socket.socket, count: int, interval_ns: int, size: int, at: tuple[int, Callable[[], None]] | None
) -> None:
    padding = bytes(max(0, size - _HEADER.size))
    start_ns = time.monotonic_ns()
    for number in range(count):
        if at and number == at[0]:
            at[1]()
        wait_ns = start_ns + number * interval_ns - time.monotonic_ns()
        if wait_ns > 0:
            time.sleep(wait_ns / 1e9)
        with suppress(OSError):  # a path that is down for a moment: the probe counts as lost
            client.send(_HEADER.pack(_MAGIC, number, time.monotonic_ns()) + padding)


def _receive(
    client: socket.socket,
    count: int,
    sent: threading.Event,
    patience_s: float,
    answers: dict[int, Sample],
    extra: list[int],
) -> None:
    """Take answers until all are there, or for a while after the last probe was sent."""
    silent_s = 0.0
    while len(answers) < count and silent_s < patience_s:
        try:
            datagram = client.recv(65536)
        except TimeoutError:
            silent_s = silent_s + _POLL_S if sent.is_set() else 0.0
            continue
        except OSError:
            continue  # an ICMP error of one probe
        now_ns = time.monotonic_ns()
        _, number, sent_ns = _HEADER.unpack_from(datagram)
        if number in answers:
            extra[0] += 1
        else:
            answers[number] = Sample(number, sent_ns, now_ns - sent_ns)


def _echo(echo: socket.socket) -> None:
    while True:
        try:
            datagram, sender = echo.recvfrom(65536)
        except OSError:
            return
        if not datagram:
            return
        if datagram.startswith(_MAGIC):
            with suppress(OSError):
                echo.sendto(datagram, sender)
