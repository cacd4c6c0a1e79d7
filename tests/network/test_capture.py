"""What a capture of the underlay shows: nothing without the keys, everything with them. Needs root."""

import socket
from contextlib import ExitStack
from pathlib import Path

import msgspec
from scapy.layers.l2 import Ether
from scapy.packet import Packet
from scapy.utils import wrpcap

from overlayd.protocol import engine
from sim.lab import netns, process
from tests.dissector import capture, layers
from tests.dissector.keys import Keys
from tests.dissector.parse import Malformed
from tests.network.engines import PORT, WAIT_S, Agent, Host, make_pair, snapshot
from tests.network.sniffer import Sniffer

MARKER = b"a word that nobody on the way may read"


def make_chain(stack: ExitStack, a: Host, relay: Host, b: Host) -> None:
    """Make three hosts; `a` and `b` have wires to the relay, and none to each other."""
    make_pair(stack, a, relay)
    b.write_files()
    netns.create(b.namespace)
    stack.callback(netns.remove, b.namespace)
    stack.callback(process.stop_all_in, b.namespace)
    netns.add_veth((b.namespace, "wan"), (relay.namespace, "wan2"), mtu=1500)
    b.run("ip", "address", "add", f"{b.underlay}/24", "dev", "wan")
    relay.run("ip", "route", "add", f"{b.underlay}/32", "dev", "wan2")
    netns.wait_for_carrier(b.namespace, WAIT_S)


def end_of_chain(host: Host, relay: Host, other: Host) -> engine.Snapshot:
    """A link to the relay, and a path over it to the other end."""
    full = snapshot(host, [relay, other])
    return msgspec.structs.replace(
        full,
        links=tuple(link for link in full.links if link.peer == relay.number),
        routes=(
            engine.Route(relay.number, 0, ((relay.number,),)),
            engine.Route(other.number, 0, ((relay.number, other.number),)),
        ),
    )


def say_marker(a: Host, b: Host) -> None:
    """Send the marker from `a` to `b` and back, by UDP over both families, alone and in a crowd."""
    for address in b.addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with netns.inside(b.namespace):
            server = socket.socket(family, socket.SOCK_DGRAM)
        with netns.inside(a.namespace):
            client = socket.socket(family, socket.SOCK_DGRAM)
        with server, client:
            server.bind((address, 7))
            for end in (server, client):
                end.settimeout(WAIT_S)
            for number in range(50):
                client.sendto(MARKER + bytes([number]), (address, 7))
            heard = {server.recvfrom(2048) for _ in range(50)}
            assert len(heard) == 50
            server.sendto(MARKER, next(iter(heard))[1])
            assert client.recv(2048) == MARKER


def opened(frames: list[bytes], host: Host, path: Path) -> list[Packet | Malformed]:
    """The datagrams in captured frames, as the dissector has them."""
    wrpcap(str(path), [Ether(frame) for frame in frames])
    keys = Keys.read(host.state / "engine" / "keys.jsonl")
    return [found for _, _, data in capture.datagrams(path, PORT) for found in capture.decode(data, keys)]


def assert_nothing_shows(frames: list[bytes], hosts: list[Host]) -> None:
    assert len(frames) > 10
    for host in hosts:
        four, six = host.addresses
        for secret in (MARKER, socket.inet_pton(socket.AF_INET6, six), socket.inet_aton(four)):
            assert not [frame for frame in frames if secret in frame]


def test_a_direct_link_shows_nothing_and_opens_with_its_keys(stack: ExitStack, tmp_path: Path) -> None:
    a, b = Host(1, tmp_path, settings=("engine.key_log=true",)), Host(2, tmp_path)
    make_pair(stack, a, b)
    with Sniffer(a.namespace, "wan") as sniffer:
        a.start(), b.start()
        agents = stack.enter_context(Agent(a.socket)), stack.enter_context(Agent(b.socket))
        for host, other, agent in ((a, b, agents[0]), (b, a, agents[1])):
            assert agent.apply(snapshot(host, [other])) == engine.Applied(1)
        for agent in agents:
            agent.wait_up()
        say_marker(a, b)
    assert_nothing_shows(sniffer.frames, [a, b])
    found = opened(sniffer.frames, a, tmp_path / "wan.pcap")
    assert [packet for packet in found if isinstance(packet, Malformed | layers.Sealed)] == []
    kinds = {type(packet.payload) for packet in found if isinstance(packet, layers.Opened)}
    assert {layers.Direct, layers.LinkProbe, layers.LinkProbeReply} <= kinds
    direct = [packet for packet in found if isinstance(packet, Packet) and layers.Direct in packet]
    assert sum(bytes(packet).count(MARKER) for packet in direct) >= 2 * 51


def test_a_hop_of_a_path_shows_nothing_and_opens_with_both_keys(stack: ExitStack, tmp_path: Path) -> None:
    a, relay, b = Host(1, tmp_path, settings=("engine.key_log=true",)), Host(2, tmp_path), Host(3, tmp_path)
    make_chain(stack, a, relay, b)
    with Sniffer(a.namespace, "wan") as first, Sniffer(b.namespace, "wan") as second:
        agents: list[Agent] = []
        for host in (a, relay, b):
            host.start()
            agents.append(stack.enter_context(Agent(host.socket)))
        assert agents[0].apply(end_of_chain(a, relay, b)) == engine.Applied(1)
        assert agents[1].apply(snapshot(relay, [a, b])) == engine.Applied(1)
        assert agents[2].apply(end_of_chain(b, relay, a)) == engine.Applied(1)
        agents[1].wait_up(2)
        say_marker(a, b)
    assert_nothing_shows(first.frames + second.frames, [a, relay, b])
    found = opened(first.frames, a, tmp_path / "wan.pcap")
    assert [packet for packet in found if isinstance(packet, Malformed | layers.Sealed)] == []
    routed = [packet for packet in found if isinstance(packet, Packet) and layers.Routed in packet]
    assert {tuple(packet[layers.Route].segments) for packet in routed} == {(2, 3), (2, 1)}
    assert not [packet for packet in routed if layers.Sealed in packet], "the ends' seal opens as well"
    assert sum(bytes(packet).count(MARKER) for packet in routed) >= 2 * 51
    assert_nothing_repeats(*(sealed(sniffer.frames, tmp_path / "hop.pcap") for sniffer in (first, second)))


def sealed(frames: list[bytes], path: Path) -> list[bytes]:
    """What stands behind the envelope's header in the sealed datagrams of a capture."""
    wrpcap(str(path), [Ether(frame) for frame in frames])
    return [data[8:] for _, _, data in capture.datagrams(path, PORT) if data[0] >> 4 == 4]


def assert_nothing_repeats(first: list[bytes], second: list[bytes]) -> None:
    """No 16 bytes of one hop pass the other: who sees both cannot join their datagrams by what is in them."""
    pieces = {data[at : at + 16] for data in first for at in range(0, len(data) - 15, 16)}
    assert len(pieces) > 100
    assert not pieces & {data[at : at + 16] for data in second for at in range(len(data) - 15)}
