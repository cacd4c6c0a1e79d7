"""What a capture of the wires of a whole mesh shows: nothing without the keys, everything with them."""

import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from scapy.layers.l2 import Ether
from scapy.packet import Packet
from scapy.utils import wrpcap

from sim.lab import daemons, netns
from tests.dissector import capture, layers
from tests.dissector.keys import Keys
from tests.dissector.parse import Malformed
from tests.network.lab.conftest import SITES
from tests.network.lab.mesh import SETTLE_S, Mesh, kill, wait_until
from tests.network.sniffer import Sniffer

PORT = 51900
HERE, THERE, _ = SITES
MARKER = random.Random(8).randbytes(48)
"""What the inner packets say; random, so that it is nowhere by chance."""
COUNT = 50
"""Datagrams of a conversation, each way."""


@contextmanager
def captured(mesh: Mesh, node: str) -> Iterator[dict[str, Sniffer]]:
    """Capture every interface of a node."""
    namespace = mesh.namespaces[node]
    with netns.inside(namespace):
        names = {name for _, name in socket.if_nameindex()} - {"lo"}
    with ExitStack() as stack:
        yield {name: stack.enter_context(Sniffer(namespace, name)) for name in sorted(names)}


def converse(mesh: Mesh, source: str, target: str, address: str) -> None:
    """Send datagrams with the marker from ``source`` to ``target``, and each back."""
    said = [MARKER + number.to_bytes(4, "big") * (1 + 3 * number) for number in range(COUNT)]
    with ExitStack() as stack:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with netns.inside(mesh.namespaces[target]):
            server = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        with netns.inside(mesh.namespaces[source]):
            client = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        server.bind((address, 0))
        server.settimeout(SETTLE_S)
        client.settimeout(SETTLE_S)
        client.connect(server.getsockname()[:2])
        for datagram in said:
            client.send(datagram)
        for _ in said:
            server.sendto(*server.recvfrom(65536))
        assert sorted(client.recv(65536) for _ in said) == sorted(said)


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
            converse(triangle, HERE, THERE, address)
    underlay = [frame for name, sniffer in sniffers.items() if name != "overlay0" for frame in sniffer.frames]
    assert len(underlay) > 4 * COUNT
    packed = [socket.inet_pton(socket.AF_INET6 if ":" in one else socket.AF_INET, one) for one in addresses]
    secrets = [MARKER[:12], MARKER[-12:], *packed, *(address.encode() for address in addresses)]
    secrets += [site.encode() for site in SITES]
    assert shows(underlay, *secrets) == []
    # The same look finds what an underlay cannot hide, and finds the secrets where they are in the open.
    here = socket.inet_aton(triangle.sketch.address(HERE))
    assert shows(underlay, here) == [here]
    assert shows(sniffers["overlay0"].frames, MARKER[:12], *packed[:4]) == [MARKER[:12], *packed[:4]]


def test_a_capture_opens_with_the_keys_to_the_packets_that_were_sent(chain: Mesh, tmp_path: Path) -> None:
    """One link, two sessions of data: with the neighbour, and over it with the far end, under a seal more."""
    with captured(chain, "a") as sniffers:
        for end in ("r", "b"):
            chain.settle("a", end)
            for family in (4, 6):
                converse(chain, "a", end, chain.overlay(end, family))
    keys = Keys.read(chain.place.node("a") / "state/engine/keys.jsonl")
    found = opened(sniffers["eth1"].frames, keys, tmp_path / "wire.pcap")
    assert [packet for packet in found if isinstance(packet, Malformed | layers.Sealed)] == []
    frames = [packet for packet in found if isinstance(packet, layers.Opened)]
    assert len(frames) > 4 * 2 * COUNT
    kinds = {type(packet.payload) for packet in frames}
    assert {layers.Direct, layers.Routed, layers.LinkProbe, layers.LinkProbeReply} <= kinds
    assert kinds <= FRAMES
    routed = [packet for packet in frames if layers.Routed in packet]
    assert not [packet for packet in routed if layers.Sealed in packet], "the seal of the ends opens, too"
    inner = {
        name: {one for packet in frames if name in packet for one in inner_packets(packet)} for name in DATA
    }
    sent = {packet for packet in sniffers[daemons.INTERFACE].frames if MARKER in packet}
    assert len(sent) == 2 * 2 * 2 * COUNT
    assert sent <= inner[layers.Direct] | inner[layers.Routed]
    for packets in inner.values():
        assert sum(MARKER in packet for packet in packets) == len(sent) / 2


DATA = (layers.Direct, layers.Routed)
FRAMES = {
    *DATA,
    layers.Repair,
    layers.Feedback,
    layers.Tail,
    layers.LinkProbe,
    layers.LinkProbeReply,
    layers.PathChallenge,
    layers.PathResponse,
}


def opened(frames: list[bytes], keys: Keys, path: Path) -> list[Packet | Malformed]:
    """The datagrams in captured frames, as the dissector has them."""
    wrpcap(str(path), [Ether(frame) for frame in frames])
    return [found for _, _, data in capture.datagrams(path, PORT) for found in capture.decode(data, keys)]


def inner_packets(packet: Packet) -> list[bytes]:
    """The whole inner packets of an opened datagram."""
    if layers.Bundle in packet:
        return packet[layers.Bundle].packets()
    return [bytes(packet[shape].payload) for shape in (layers.PacketBody, layers.Run) if shape in packet]
