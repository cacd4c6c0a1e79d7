"""The way out over UDP, measured with a reflector: what comes back, from where it is seen, what fits.

I/O: one socket.

Called by `overlayd.cli.ctl_netcheck`; what the figures mean is said in `verdicts`.
"""

import contextlib
import errno
import os
import select
import socket
import struct
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from overlayd.protocol import stun
from overlayd.protocol.stun import Place

ECHOES = 5
WAIT_S = 1.0
"""For the last answer of a round; no underlay of ours is longer."""
SPARE_S = 0.3
"""On top of so many round trips, where they are known."""
ROUND_TRIPS = 4
PACE_S = 0.02
ROUNDS = 3
"""Of an MTU that was not answered: loss is no MTU."""
SIZES = (576, 1024, 1200, 1280, 1320, 1360, 1400, 1420, 1440, 1460, 1472, 1480, 1492, 1500)
FINEST = 4
_HEADERS = {socket.AF_INET: 28, socket.AF_INET6: 48}
# Of linux/in.h, in6.h and errqueue.h; the module `socket` does not name them.
_MTU_DISCOVER = {socket.AF_INET: (socket.IPPROTO_IP, 10), socket.AF_INET6: (socket.IPPROTO_IPV6, 23)}
_RECVERR = {socket.AF_INET: (socket.IPPROTO_IP, 11), socket.AF_INET6: (socket.IPPROTO_IPV6, 25)}
_PROBE = 3
_ERROR = struct.Struct("@IBBBBII")
_ANCILLARY = 512


@dataclass(frozen=True, slots=True)
class Seen:
    """What a reflector answered. ``local`` is where it was asked from, ``seen`` what it saw, ``rtt_ms`` the
    least; ``refused``: ICMP said so; None: nobody did.
    """

    local: Place
    sent: int
    answered: int
    rtt_ms: float | None = None
    seen: Place | None = None
    other: Place | None = None
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Sizes:
    """The largest IP packet that went there and came back, the least that did not (None: all did), and what
    ICMP said that fits (None: nothing). ``local``: this host's own interface takes no more.
    """

    passed: int
    lost: int | None
    told: int | None
    local: bool = False


@dataclass(slots=True)
class _Heard:
    replies: dict[bytes, tuple[stun.Reply, float]] = field(
        default_factory=dict[bytes, tuple[stun.Reply, float]]
    )
    refused: str | None = None
    told: int | None = None


class Exchange:
    """One UDP socket at ``address`` and ``port`` (0: any). Raises :class:`OSError`."""

    def __init__(self, address: str, port: int) -> None:
        self._family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._wait_s = WAIT_S
        self._socket = socket.socket(self._family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.setsockopt(*_MTU_DISCOVER[self._family], _PROBE)
            self._socket.setsockopt(*_RECVERR[self._family], 1)
            if self._family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self._socket.bind((address, port))
        except OSError:
            self._socket.close()
            raise

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def echo(self, to: Place, *, count: int = ECHOES, other_port: bool = False) -> Seen:
        """Ask ``count`` times where this socket is seen from."""
        asked = {os.urandom(stun.TRANSACTION_BYTES): other_port for _ in range(count)}
        sent: dict[bytes, float] = {}
        heard = _Heard()
        for transaction in asked:
            request = stun.encode_request(stun.Request(transaction, other_port))
            sent[transaction] = time.perf_counter()
            self._send(request, to, heard)
            self._listen(PACE_S, sent.keys(), heard)
        self._listen(self._wait_s, sent.keys(), heard)
        local = (_source(self._family, self._socket.getsockname()[0], to), self._socket.getsockname()[1])
        if not heard.replies:
            return Seen(local, count, 0, refused=heard.refused)
        rtts = [(at - sent[transaction]) * 1e3 for transaction, (_, at) in heard.replies.items()]
        self._wait_s = min(WAIT_S, SPARE_S + ROUND_TRIPS * max(rtts) / 1e3)
        first, _ = next(iter(heard.replies.values()))
        return Seen(local, count, len(heard.replies), min(rtts), first.seen, first.other)

    def sizes(self, to: Place, wanted: int) -> Sizes:
        """Find the largest IP packet, ``wanted`` bytes at most, that goes to ``to`` and back in one piece."""
        coarse = sorted({size for size in SIZES if size < wanted} | {wanted - wanted % FINEST})
        passed, local, told = self._passed(to, coarse)
        lost = next((size for size in coarse if size > passed), None)
        if lost is not None and passed and lost - passed > FINEST:
            step = max(FINEST, (lost - passed) // 16 // FINEST * FINEST)
            fine = list(range(passed + step, lost, step))
            further, near, said = self._passed(to, fine)
            passed, local, told = max(passed, further), local or near, told or said
            lost = next((size for size in [*fine, lost] if size > passed), None)
        return Sizes(passed, lost, told, local)

    def _passed(self, to: Place, sizes: Sequence[int]) -> tuple[int, bool, int | None]:
        """The largest of ``sizes`` that was answered (0: none), whether our own interface refused one, and
        what ICMP said.
        """
        heard, passed, local = _Heard(), 0, False
        left = set(sizes)
        for _ in range(ROUNDS):
            asked: dict[bytes, int] = {}
            for size in sorted(left):
                transaction = os.urandom(stun.TRANSACTION_BYTES)
                request = stun.Request(transaction, size=size - _HEADERS[self._family])
                asked[transaction] = size
                if self._send(stun.encode_request(request), to, heard) == errno.EMSGSIZE:
                    local = local or heard.told is None
                    left.discard(size)
                self._listen(PACE_S / 4, asked.keys(), heard)
            self._listen(self._wait_s, asked.keys(), heard)
            answered = {size for transaction, size in asked.items() if transaction in heard.replies}
            passed, left = max(passed, *answered, 0), left - answered
            left = {size for size in left if size > passed}
            if not left:
                break
        return passed, local, heard.told

    def _send(self, datagram: bytes, to: Place, heard: _Heard) -> int:
        """Send; return the number of an error. One that is about an earlier datagram does not count."""
        problem = 0
        for _ in range(2):
            try:
                self._socket.sendto(datagram, to)
                return 0
            except OSError as error:
                problem = error.errno or 0
                self._read_errors(heard)
        if problem != errno.EMSGSIZE:
            heard.refused = heard.refused or os.strerror(problem)
        return problem

    def _listen(self, for_s: float, wanted: Iterable[bytes], heard: _Heard) -> None:
        """Take what comes, until all of ``wanted`` is here or time is up."""
        ends = time.perf_counter() + for_s
        asked = set(wanted)
        while (left := ends - time.perf_counter()) > 0 and not asked <= heard.replies.keys():
            ready, _, _ = select.select([self._socket], [], [], left)
            if not ready:
                return
            try:
                datagram = self._socket.recv(65535, socket.MSG_DONTWAIT)
            except OSError:
                self._read_errors(heard)
                continue
            with contextlib.suppress(stun.NotStun):
                reply = stun.decode_reply(datagram)
                if reply.transaction in asked:
                    heard.replies.setdefault(reply.transaction, (reply, time.perf_counter()))

    def _read_errors(self, heard: _Heard) -> None:
        """Take what ICMP said of datagrams sent: it waits beside the answers."""
        with contextlib.suppress(OSError):
            while True:
                _, ancillary, _, _ = self._socket.recvmsg(
                    0, _ANCILLARY, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT
                )
                for level, kind, data in ancillary:
                    if (level, kind) == _RECVERR[self._family] and len(data) >= _ERROR.size:
                        number, origin, _, _, _, fits, _ = _ERROR.unpack_from(data)
                        if number == errno.EMSGSIZE and origin > 1:
                            heard.told = fits
                        elif origin > 1:
                            heard.refused = os.strerror(number)


def _source(family: int, bound: str, to: Place) -> str:
    """The address that datagrams to ``to`` leave from, by the kernel's routes."""
    with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asking:
        try:
            asking.bind((bound, 0))
            asking.connect(to)
        except OSError:
            return bound
        return str(asking.getsockname()[0])
