"""What a capture of the wires of a whole mesh shows: nothing without the keys, everything with them."""

import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from scapy.layers.l2 import Ether
from scapy.packet import Packet
from scapy.utils import wrpcap

from sim.lab import daemons, netns, runner
from tests.dissector import capture, layers
from tests.dissector.keys import Keys
from tests.dissector.parse import Malformed
from tests.network.lab.conftest import SITES
from tests.network.lab.mesh import Mesh, kill, wait_until
from tests.network.sniffer import Sniffer

PORT = 51900
HERE, THERE, RELAY = SITES
MARKER = random.Random(8).randbytes(48)
"""What the inner packets say; random, so that it is nowhere by chance."""


@contextmanager
def captured(mesh: Mesh, node: str) -> Iterator[dict[str, Sniffer]]:
    """Capture every interface of a node."""
    names = {interface for interface, _ in netns.addresses(mesh.namespaces[node])} | {"eth1", "eth2", "eth3"}
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(Sniffer(mesh.namespaces[node], name)) for name in sorted(names - {"lo"})
        }


def converse(mesh: Mesh, address: str, count: int = 60) -> list[bytes]:
    """Send datagrams with the marker from HERE to THERE, and each back; answers what was said."""
    said = [MARKER + number.to_bytes(4, "big") * (1 + number * 5) for number in range(count)]
    with ExitStack() as stack:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with netns.inside(mesh.namespaces[THERE]):
            server = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        with netns.inside(mesh.namespaces[HERE]):
            client = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        server.bind((address, 0))
        server.settimeout(30)
        client.settimeout(30)
        client.connect(server.getsockname()[:2])
        for datagram in said:
            client.send(datagram)
        for _ in said:
            server.sendto(*server.recvfrom(65536))
        assert sorted(client.recv(65536) for _ in said) == sorted(said)
    return said


def shows(frames: list[bytes], *patterns: bytes) -> list[bytes]:
    """Which of ``patterns`` stand anywhere in captured frames."""
    return [pattern for pattern in patterns if any(pattern in frame for frame in frames)]


def test_the_wire_shows_neither_packets_nor_addresses_nor_names(triangle: Mesh) -> None:
    """Not of the data, and not of the agent's talk with its controller, from their first words on."""
    addresses = [triangle.overlay(site, family) for site in SITES for family in (4, 6)]
    triangle.settle(HERE, THERE)
    with captured(triangle, HERE) as sniffers:
        kill(triangle, HERE, "agent")
        wait_until(lambda: triangle.online(HERE))
        for address in addresses[2:4]:
            converse(triangle, address)
    underlay = [frame for name, sniffer in sniffers.items() if name != "overlay0" for frame in sniffer.frames]
    assert len(underlay) > 500
    packed = [socket.inet_pton(socket.AF_INET6 if ":" in one else socket.AF_INET, one) for one in addresses]
    secrets = [MARKER[:12], MARKER[-12:], *packed, *(address.encode() for address in addresses)]
    secrets += [site.encode() for site in SITES]
    assert shows(underlay, *secrets) == []
    # The same look finds what an underlay cannot hide, and finds the secrets where they are in the open.
    here = socket.inet_aton(triangle.sketch.address(HERE))
    assert shows(underlay, here) == [here]
    assert shows(sniffers["overlay0"].frames, MARKER[:12], *packed[:4]) == [MARKER[:12], *packed[:4]]


def test_a_capture_opens_with_the_keys_to_the_packets_that_were_sent(triangle: Mesh, tmp_path: Path) -> None:
    address = triangle.overlay(THERE)
    triangle.settle(HERE, THERE)
    wait_until(lambda: triangle.path(HERE, THERE) == (HERE, THERE), "the direct path is not in use")
    with captured(triangle, HERE) as sniffers:
        converse(triangle, address)
        try:
            runner.impair(triangle.name, f"{HERE}:{THERE}", {"blackhole": True})
            triangle.settle(HERE, THERE)
            converse(triangle, address)
        finally:
            runner.impair(triangle.name, f"{HERE}:{THERE}", {"blackhole": False})
    keys = Keys.read(triangle.place.node(HERE) / "state/engine/keys.jsonl")
    inner: set[bytes] = set()
    for interface, frame_type, session in (("eth1", layers.Direct, "hop"), ("eth2", layers.Routed, "both")):
        found = opened(sniffers[interface].frames, keys, tmp_path / f"{interface}.pcap")
        assert [packet for packet in found if isinstance(packet, Malformed | layers.Sealed)] == [], session
        frames = [packet for packet in found if isinstance(packet, layers.Opened)]
        kinds = {type(packet.payload) for packet in frames}
        assert {frame_type, layers.LinkProbe, layers.LinkProbeReply} <= kinds
        data = [packet for packet in frames if frame_type in packet]
        assert not [packet for packet in data if layers.Sealed in packet], "the seal of the ends opens, too"
        packets = {one for packet in data for one in inner_packets(packet)}
        assert sum(MARKER in packet for packet in packets) >= 2 * 60
        inner |= packets
    sent = {frame for frame in sniffers[daemons.INTERFACE].frames if MARKER in frame}
    assert len(sent) == 4 * 60
    assert sent <= inner


def opened(frames: list[bytes], keys: Keys, path: Path) -> list[Packet | Malformed]:
    """The datagrams in captured frames, as the dissector has them."""
    wrpcap(str(path), [Ether(frame) for frame in frames])
    return [found for _, _, data in capture.datagrams(path, PORT) for found in capture.decode(data, keys)]


def inner_packets(packet: Packet) -> list[bytes]:
    """The whole inner packets of an opened datagram."""
    if layers.Bundle in packet:
        return packet[layers.Bundle].packets()
    return [bytes(packet[shape].payload) for shape in (layers.PacketBody, layers.Run) if shape in packet]
