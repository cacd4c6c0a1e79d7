"""Flows at the overlay's interface: told apart, counted both ways, where packets may be looked at."""

import ipaddress
import socket
import struct
import threading

import msgspec
import pytest

from overlayd.cli.ctl_flows import Flows, FlowWatch, key_of
from overlayd.protocol import local

HERE, THERE = "100.64.0.1", "fd00::2"


def ipv4(source: str, target: str, protocol: int, ports: tuple[int, int], *, fragment: int = 0) -> bytes:
    packed = [ipaddress.ip_address(address).packed for address in (source, target)]
    header = struct.pack("!BBHHHBBH", 0x46, 0, 0, 0, fragment, 64, protocol, 0)
    return header + packed[0] + packed[1] + bytes(4) + struct.pack("!HH", *ports)


def ipv6(source: str, target: str, protocol: int, ports: tuple[int, int]) -> bytes:
    packed = [ipaddress.ip_address(address).packed for address in (source, target)]
    return struct.pack("!IHBB", 6 << 28, 0, protocol, 64) + packed[0] + packed[1] + struct.pack("!HH", *ports)


def test_both_directions_of_a_flow_are_one_and_the_largest_is_first() -> None:
    flows = Flows()
    for _ in range(10):
        flows.add(ipv4(HERE, "100.64.0.2", 6, (40000, 443)), 1500, outgoing=True)
        flows.add(ipv4("100.64.0.2", HERE, 6, (443, 40000)), 52, outgoing=False)
    flows.add(ipv6("fd00::1", THERE, 17, (53, 53)), 1_000_000, outgoing=True)
    rows = [msgspec.convert(row, local.TopFlow) for row in flows.rows(2.0)]
    assert rows == [
        local.TopFlow("udp", "[fd00::1]:53", "[fd00::2]:53", 4_000_000.0, 0.0),
        local.TopFlow("tcp", "100.64.0.1:40000", "100.64.0.2:443", 60_000.0, 2_080.0),
    ]


def test_what_was_not_looked_at_is_counted_like_what_was() -> None:
    flows = Flows()
    flows.add(ipv4(HERE, "100.64.0.2", 17, (1, 2)), 100, outgoing=True)
    assert flows.rows(1.0, share=0.25)[0]["out_bps"] == 3200.0


def test_where_there_are_no_ports_none_are_told() -> None:
    ping = key_of(ipv4(HERE, "100.64.0.2", 1, (2048, 7)), outgoing=True)
    later = key_of(ipv4(HERE, "100.64.0.2", 17, (9, 9), fragment=185), outgoing=True)
    assert ping is not None and (ping.local_port, ping.remote_port) == (0, 0)
    assert later is not None and (later.local_port, later.remote_port) == (0, 0)
    flows = Flows()
    flows.add(ipv4(HERE, "100.64.0.2", 1, (2048, 7)), 84, outgoing=True)
    assert (flows.rows(1.0)[0]["local"], flows.rows(1.0)[0]["protocol"]) == (HERE, "icmp")


@pytest.mark.parametrize("packet", [b"", b"\x45", bytes(60), b"\x60" + bytes(38), b"\xf0" + bytes(60)])
def test_what_is_no_ip_packet_is_passed_over(packet: bytes) -> None:
    flows = Flows()
    flows.add(packet, len(packet), outgoing=True)
    assert flows.rows(1.0) == []


def test_a_flow_that_goes_on_is_seen_at_the_first_look() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
    ):
        receiver.bind(("127.0.0.1", 0))
        sender.connect(receiver.getsockname())
        ours = f"127.0.0.1:{sender.getsockname()[1]}"
        watch = FlowWatch("lo")
        stop = threading.Event()

        def send() -> None:
            while not stop.wait(0.01):
                sender.send(bytes(500))

        sending = threading.Thread(target=send)
        sending.start()
        try:
            seen: list[float] = []
            for _ in range(60):
                seen = [row["out_bps"] for row in watch.count(1.0) if row["local"] == ours]
                if any(seen):
                    break
        finally:
            stop.set()
            sending.join()
            watch.close()
    assert len(seen) == 1 and 0 < seen[0] < 528 * 8 * 101


def test_an_interface_that_is_not_there_cannot_be_watched() -> None:
    with pytest.raises(OSError, match="No such device"):
        FlowWatch("nowhere0")
