"""Walks a capture: UDP payloads in, one line of text for each datagram out. Reads one file."""

from collections.abc import Iterator
from pathlib import Path

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet
from scapy.utils import PcapReader

from tests.dissector import layers, parse
from tests.dissector.keys import Keys

_HANDSHAKES = {1: parse.INIT_BYTES, 2: parse.RESPONSE_BYTES}
"""Sizes by kind."""


def datagrams(path: Path, port: int | None = None) -> Iterator[tuple[float, str, bytes]]:
    """Time in s, "source > destination", UDP payload of each packet; with `port` only from or to that."""
    with PcapReader(str(path)) as reader:
        for packet in reader:
            network = packet.getlayer(IP) or packet.getlayer(IPv6)
            if network is None or not isinstance(network.payload, UDP):
                continue
            udp = network.payload
            if port is None or port in (udp.sport, udp.dport):
                way = f"{network.src}:{udp.sport} > {network.dst}:{udp.dport}"
                yield float(packet.time), way, bytes(udp.payload)


def decode(data: bytes, keys: Keys) -> list[Packet | parse.Malformed]:
    """The datagrams in one UDP payload as they are, or why they are none."""
    if data and (size := _HANDSHAKES.get(data[0] >> 4, len(data))) < len(data):
        # A segmented send as well: on a busy host what follows a handshake leaves together with it.
        return decode(data[:size], keys) + decode(data[size:], keys)
    try:
        first = keys.open(data)
        if isinstance(first, layers.Sealed):
            parts = keys.cut(data)
            return [first] if len(parts) == 1 else [keys.open(part) for part in parts]
    except parse.Malformed as problem:
        return [problem]
    return [first]


def lines(path: Path, keys: Keys, port: int | None = None) -> Iterator[str]:
    """One line a datagram, times from the first packet."""
    start: float | None = None
    for time, way, data in datagrams(path, port):
        start = time if start is None else start
        for found in decode(data, keys):
            text = f"malformed: {found}" if isinstance(found, parse.Malformed) else describe(found)
            yield f"{time - start:10.6f} {way}  {text}"


def describe(packet: Packet) -> str:
    """One line: what each layer of ours says, then what scapy says of the inner packet."""
    parts: list[str] = []
    while type(packet).__module__ == layers.__name__:
        parts.append(packet.mysummary())
        packet = packet.payload
    return " | ".join([*parts, packet.summary()] if packet else parts)
