"""The reflector: tells any host where its datagrams come from, which `overlayctl netcheck` asks (ADR 33).

Two UDP ports, that of the agents' channel and the next one, so that who asks can tell what its NAT lets in.
An answer leaves from the address that was asked, unfragmented, and is never longer than the question; there
are at most `MOST_PER_S` of them, so that it amplifies nothing and is worth no flood. Called by
`controller.server.serve`. I/O.
"""

import asyncio
import ipaddress
import logging
import socket
import struct
from collections.abc import Callable

from overlayd.protocol import stun

LOG = logging.getLogger(__name__)
MOST_PER_S = 2000
_LARGEST = 9000
_LEAST_PORT = 1024
"""Whoever asks from below is forged: the services there would take an answer for a question."""
# Of linux/in.h and in6.h; the module `socket` does not name all of them.
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _PROBE = 10, 23, 3
_IP_PKTINFO, _IPV6_RECVPKTINFO, _IPV6_PKTINFO = 8, 49, 50
_ANCILLARY = 128


class Reflector:
    """Answers between :meth:`open` and :meth:`close`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._sockets: list[socket.socket] = []
        self._second, self._count = 0, 0

    def open(self, host: str, port: int) -> None:
        """Listen at ``port`` and the one after it, as far as they are free; what is not is logged."""
        for number in (port, port + 1):
            try:
                self._sockets.append(_bound(host, number))
            except OSError as error:
                LOG.warning("no reflector at UDP port %d, netcheck will miss it: %s", number, error.strerror)
                break  # the second alone is of no use
        loop = asyncio.get_running_loop()
        for place, sock in enumerate(self._sockets):
            loop.add_reader(sock.fileno(), self._read, place)

    def close(self) -> None:
        """Stop listening."""
        loop = asyncio.get_running_loop()
        for sock in self._sockets:
            loop.remove_reader(sock.fileno())
            sock.close()
        self._sockets.clear()

    def _read(self, place: int) -> None:
        try:
            datagram, ancillary, _, source = self._sockets[place].recvmsg(_LARGEST, _ANCILLARY)
        except OSError:
            return  # an ICMP message about an earlier answer
        if source[1] < _LEAST_PORT or not self._may_answer():
            return
        try:
            request = stun.decode_request(datagram)
        except stun.NotStun:
            return
        other = self._sockets[1 - place] if len(self._sockets) == 2 else None
        if request.other_port and other is None:
            return
        to = _asked(ancillary)
        also = None if other is None or to is None else (to, other.getsockname()[1])
        reply = stun.Reply(request.transaction, (_bare(source[0]), source[1]), also)
        answer = stun.encode_reply(reply, len(datagram))
        sender = other if request.other_port and other is not None else self._sockets[place]
        if answer is not None:
            try:
                sender.sendmsg([answer], _from(ancillary), 0, source)
            except OSError as error:  # too long for the way back, or no way back
                LOG.debug("no answer to %s: %s", source[0], error.strerror)

    def _may_answer(self) -> bool:
        second = int(self._clock())
        if second != self._second:
            self._second, self._count = second, 0
        self._count += 1
        return self._count <= MOST_PER_S


def _bound(host: str, port: int) -> socket.socket:
    """A UDP socket as `serve.bind` makes one of TCP: ``::`` takes IPv4 as well."""
    wildcard = host in ("", "::")
    family = socket.AF_INET6 if wildcard or ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PROBE)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not wildcard)
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PROBE)
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        sock.bind(("::" if wildcard else host, port))
    except OSError:
        sock.close()
        raise
    return sock


def _asked(ancillary: list[tuple[int, int, bytes]]) -> str | None:
    """The address of ours that the question was sent to."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IPV6, _IPV6_PKTINFO):
            return _bare(str(ipaddress.IPv6Address(data[:16])))
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            return str(ipaddress.IPv4Address(data[8:12]))
    return None


def _from(ancillary: list[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]]:
    """Have the answer leave from the address that was asked, by whatever interface leads back.

    A link-local address alone means nothing: there the interface stays.
    """
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IPV6, _IPV6_PKTINFO):
            local = ipaddress.IPv6Address(data[:16])
            return [(level, kind, data if local.is_link_local else data[:16] + bytes(4))]
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            return [(level, kind, struct.pack("@I4s4s", 0, data[4:8], bytes(4)))]
    return []


def _bare(address: str) -> str:
    """``::ffff:192.0.2.1`` as ``192.0.2.1``, without the interface of a link-local one."""
    found = ipaddress.IPv6Address(address.partition("%")[0]) if ":" in address else None
    mapped = found.ipv4_mapped if found is not None else None
    return str(mapped) if mapped is not None else address.partition("%")[0]
