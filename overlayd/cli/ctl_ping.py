"""``overlayctl ping``: ICMP echoes over the overlay. I/O: one ICMP socket.

The kernel of the other end answers, so they tell what a program would see; the agent is asked for the
address only.
"""

import argparse
import ipaddress
import os
import socket
import struct
import time
from dataclasses import dataclass, field

from overlayd.cli.ctl_client import ask
from overlayd.cli.ctl_failure import DENIED, FAILED, NOT_FOUND, OK, USAGE, Failure
from overlayd.cli.ctl_output import emit, milliseconds, percent, say
from overlayd.protocol.documents import Ping, document

HOUR_S = 3600
_HEADER = struct.Struct("!BBHHH")
_ECHO = {socket.AF_INET: 8, socket.AF_INET6: 128}
_ECHO_REPLY = {socket.AF_INET: 0, socket.AF_INET6: 129}
_PAYLOAD = b"overlayd ping".ljust(56, b".")


@dataclass(slots=True)
class Result:
    """RTTs in milliseconds by sequence number; None: no answer."""

    node: str
    address: str
    rtts_ms: list[float | None] = field(default_factory=list[float | None])

    def document(self) -> Ping:
        """Return the result as JSON."""
        answered = [rtt for rtt in self.rtts_ms if rtt is not None]
        return Ping(
            node=self.node,
            address=self.address,
            sent=len(self.rtts_ms),
            received=len(answered),
            loss_ratio=1 - len(answered) / len(self.rtts_ms) if self.rtts_ms else None,
            rtt_min_ms=min(answered, default=None),
            rtt_mean_ms=sum(answered) / len(answered) if answered else None,
            rtt_max_ms=max(answered, default=None),
            rtts_ms=tuple(self.rtts_ms),
        )


def ping(arguments: argparse.Namespace) -> int:
    """Send ``--count`` echoes; exit code 0 if any was answered."""
    if arguments.count < 1 or not 0 <= arguments.dscp < 64:
        raise Failure(USAGE, "ping needs a count from 1 and a DSCP of 0 to 63")
    if not 0.01 <= arguments.interval <= HOUR_S or not 0 < arguments.timeout <= HOUR_S:
        raise Failure(USAGE, "ping needs an interval from 0.01 s and a timeout above 0 s, an hour at most")
    node, address = _find(arguments.socket, arguments.node)
    result = Result(node, address)
    echo = Echo(address, arguments.dscp)
    try:
        for sequence in range(arguments.count):
            started = time.monotonic()
            rtt_ms = echo.exchange(sequence, arguments.timeout)
            result.rtts_ms.append(rtt_ms)
            if arguments.output == "table":
                said = "no answer" if rtt_ms is None else milliseconds(rtt_ms)
                say(f"{node} ({address}) {sequence + 1}: {said}")
            elif arguments.output == "jsonl":
                emit({"sequence": sequence, "rtt_ms": rtt_ms, "schema": "overlayd.ping-echo/1"})
            rest = arguments.interval - (time.monotonic() - started)
            if rest > 0 and sequence + 1 < arguments.count:
                time.sleep(rest)
    except KeyboardInterrupt:
        pass
    finally:
        echo.close()
    told = result.document()
    if arguments.output == "json":
        emit(document(told))
    elif arguments.output == "table":
        spread = (("min", told.rtt_min_ms), ("mean", told.rtt_mean_ms), ("max", told.rtt_max_ms))
        say(f"{told.received} of {told.sent} answered, loss {percent(told.loss_ratio)}")
        say(f"RTT {', '.join(f'{kind} {milliseconds(value)}' for kind, value in spread)}")
    return OK if told.received else FAILED


class Echo:
    """An ICMP echo client to one address. Raises :class:`Failure` without the right to open such a socket."""

    def __init__(self, address: str, dscp: int) -> None:
        self._family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._address = address
        self._identifier = os.getpid() & 0xFFFF
        protocol = socket.IPPROTO_ICMPV6 if self._family == socket.AF_INET6 else socket.IPPROTO_ICMP
        self._raw = False
        try:
            self._socket = socket.socket(self._family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, protocol)
        except PermissionError:
            self._socket, self._raw = self._open_raw(protocol), True
        if self._family == socket.AF_INET6:
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, dscp << 2)
        else:
            self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)

    def exchange(self, sequence: int, timeout_s: float) -> float | None:
        """Send one echo and wait for its answer; return the RTT in milliseconds or None."""
        started = time.perf_counter()
        try:
            self._socket.sendto(self._request(sequence), (self._address, 0))
            while (left_s := started + timeout_s - time.perf_counter()) > 0:
                self._socket.settimeout(left_s)
                data, source = self._socket.recvfrom(2048)
                if self._is_answer(data, source[0], sequence):
                    return (time.perf_counter() - started) * 1000
        except OSError:  # a timeout too; unreachable is told as no answer
            remaining_s = started + timeout_s - time.perf_counter()
            if remaining_s > 0:
                time.sleep(min(remaining_s, 0.05))
        return None

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _open_raw(self, protocol: int) -> socket.socket:
        try:
            return socket.socket(self._family, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        except PermissionError as error:
            raise Failure(DENIED, "ping needs root, or a group within net.ipv4.ping_group_range") from error

    def _request(self, sequence: int) -> bytes:
        kind = _ECHO[self._family]
        head = _HEADER.pack(kind, 0, 0, self._identifier, sequence & 0xFFFF)
        checksum = 0 if self._family == socket.AF_INET6 else internet_checksum(head + _PAYLOAD)
        return _HEADER.pack(kind, 0, checksum, self._identifier, sequence & 0xFFFF) + _PAYLOAD

    def _is_answer(self, data: bytes, source: str, sequence: int) -> bool:
        if self._raw and self._family == socket.AF_INET:
            data = data[(data[0] & 0xF) * 4 :]
        if len(data) < _HEADER.size or source.partition("%")[0] != self._address:
            return False
        kind, _, _, identifier, number = _HEADER.unpack_from(data)
        # Of a datagram socket the kernel sets the identifier and filters by it.
        ours = not self._raw or identifier == self._identifier
        return kind == _ECHO_REPLY[self._family] and ours and number == sequence & 0xFFFF


def internet_checksum(data: bytes) -> int:
    """RFC 1071, for an even number of bytes."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _find(agent: str, text: str) -> tuple[str, str]:
    """Return name and address of what is to be pinged: any address, or a node by its name."""
    try:
        return text, str(ipaddress.ip_address(text))
    except ValueError:
        pass
    nodes = ask(agent, "nodes")["nodes"]
    for node in nodes:
        if text in (node["name"], str(node["id"])) and node["addresses"]:
            return node["name"], node["addresses"][0]
    names = ", ".join(node["name"] for node in nodes)
    raise Failure(NOT_FOUND, f"there is no node {text!r}; there are: {names}")
