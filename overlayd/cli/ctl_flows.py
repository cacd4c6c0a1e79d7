"""Flows through the overlay's interface, from the copies that the kernel gives while somebody looks.

The engine knows nothing of it: where nobody looks there is no socket, and nothing costs anything. I/O: a
packet socket, which takes CAP_NET_RAW; called by `ctl_top`.
"""

import ipaddress
import select
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

Document: TypeAlias = dict[str, Any]

_ETH_P_ALL = 3
_PACKET_OUTGOING = 4
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_COPIED = 128
"""Bytes of each packet: headers, and more is not looked at."""
_QUEUE_BYTES = 4 << 20
_SLICE_S = 0.05
_SLICE_PACKETS = 2_000
"""No more are looked at in a slice of time: looking takes no whole core. The kernel counts the rest."""
_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp"}
_WITH_PORTS = {6, 17, 132}


class Key(NamedTuple):
    """What packets of a flow have in common, seen from this host. Addresses packed; ports 0: it has none."""

    protocol: int
    local: bytes
    local_port: int
    remote: bytes
    remote_port: int


@dataclass(slots=True)
class Flows:
    """Bytes of IP packets by flow."""

    out: dict[Key, int] = field(default_factory=dict[Key, int])
    inward: dict[Key, int] = field(default_factory=dict[Key, int])

    def add(self, packet: memoryview | bytes, size: int, *, outgoing: bool) -> None:
        """Count a packet of ``size`` bytes by its first ones; what is no IP packet is passed over."""
        key = key_of(packet, outgoing=outgoing)
        if key is not None:
            counts = self.out if outgoing else self.inward
            counts[key] = counts.get(key, 0) + size

    def rows(self, seconds: float, share: float = 1.0) -> list[Document]:
        """The flows as ``overlayd.protocol.local.TopFlow``, the largest first. ``share``: of the packets that
        came, so many were looked at.
        """
        rate = 8 / seconds / share
        keys = self.out.keys() | self.inward.keys()
        rows = [
            {
                "protocol": _PROTOCOLS.get(key.protocol, str(key.protocol)),
                "local": _end(key.local, key.local_port),
                "remote": _end(key.remote, key.remote_port),
                "out_bps": self.out.get(key, 0) * rate,
                "in_bps": self.inward.get(key, 0) * rate,
            }
            for key in keys
        ]
        return sorted(rows, key=lambda row: (-row["out_bps"] - row["in_bps"], row["local"], row["remote"]))


def key_of(packet: memoryview | bytes, *, outgoing: bool) -> Key | None:
    """The flow of an IP packet, by its first bytes; None: it is none."""
    if len(packet) >= 20 and packet[0] >> 4 == 4:
        protocol, source, target, body = packet[9], packet[12:16], packet[16:20], 4 * (packet[0] & 15)
        is_first = not (packet[6] & 0x1F or packet[7])
    elif len(packet) >= 40 and packet[0] >> 4 == 6:
        protocol, source, target, body = packet[6], packet[8:24], packet[24:40], 40
        is_first = True
    else:
        return None
    ports = (0, 0)
    if protocol in _WITH_PORTS and is_first and len(packet) >= body + 4:
        ports = struct.unpack_from("!HH", packet, body)
    ends = (bytes(source), ports[0]), (bytes(target), ports[1])
    local, remote = ends if outgoing else ends[::-1]
    return Key(protocol, *local, *remote)


def _end(address: bytes, port: int) -> str:
    text = str(ipaddress.ip_address(address))
    if not port:
        return text
    return f"[{text}]:{port}" if ":" in text else f"{text}:{port}"


class FlowWatch:
    """Counts from now on. Raises OSError where packets may not be looked at, or there is no interface."""

    def __init__(self, interface: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _QUEUE_BYTES)
            self._socket.setblocking(False)
            self._socket.bind((interface, _ETH_P_ALL))
        except OSError:
            self._socket.close()
            raise
        self._buffer = bytearray(_COPIED)
        self._since = time.monotonic()

    def close(self) -> None:
        self._socket.close()

    def count(self, seconds: float) -> list[Document]:
        """Go on for so long; the flows since the call before, or the start."""
        flows = Flows()
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            if self._read(flows) == _SLICE_PACKETS:
                time.sleep(min(_SLICE_S, end - now))
            else:
                select.select([self._socket], [], [], end - now)
        until = time.monotonic()
        elapsed, self._since = until - self._since, until
        packets, dropped = struct.unpack("II", self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        return flows.rows(elapsed, 1 - dropped / packets if dropped else 1.0)

    def _read(self, flows: Flows) -> int:
        view = memoryview(self._buffer)
        for count in range(_SLICE_PACKETS):
            try:
                # With MSG_TRUNC the kernel tells how long the whole packet is.
                size, address = self._socket.recvfrom_into(view, _COPIED, socket.MSG_TRUNC)
            except BlockingIOError:
                return count
            except OSError:
                return count  # the interface went down: it may come back
            flows.add(view[: min(size, _COPIED)], size, outgoing=address[2] == _PACKET_OUTGOING)
        return _SLICE_PACKETS
