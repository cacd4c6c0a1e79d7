"""Announcements on the local network: members understand each other, strangers say and learn nothing."""

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overlayd.agent.messages import NeighbourSeen
from overlayd.daemon.lan import Announcement, Codec, LanDiscovery, LanUplink, endpoint_of, open_socket
from overlayd.model.ids import NodeId

PSK = "ab" * 32
CODEC = Codec(7, PSK)
ANNOUNCEMENT = Announcement(NodeId(2), "192.168.7.2", 51900)


def test_members_of_a_network_understand_each_other() -> None:
    assert Codec(7, PSK).decode(CODEC.encode(ANNOUNCEMENT)) == ANNOUNCEMENT


def test_another_network_or_another_psk_does_not() -> None:
    assert Codec(8, PSK).decode(CODEC.encode(ANNOUNCEMENT)) is None
    assert Codec(7, "cd" * 32).decode(CODEC.encode(ANNOUNCEMENT)) is None


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_no_announcement(data: bytes) -> None:
    assert CODEC.decode(data) is None


@given(st.integers(min_value=0))
def test_a_changed_bit_is_noticed(bit: int) -> None:
    datagram = bytearray(CODEC.encode(ANNOUNCEMENT))
    bit %= len(datagram) * 8
    datagram[bit // 8] ^= 1 << bit % 8
    assert CODEC.decode(bytes(datagram)) is None


@pytest.mark.parametrize(
    ("address", "source", "endpoint"),
    [
        ("192.168.7.2", "192.168.7.99", "192.168.7.2:51900"),
        (None, "192.168.7.99", "192.168.7.99:51900"),
        ("2001:db8::2", "fe80::1%eth0", "[2001:db8::2]:51900"),
        (None, "fe80::1%eth0", None),
        ("0.0.0.0", "192.168.7.99", None),
        ("239.255.0.1", "192.168.7.99", None),
        ("not an address", "192.168.7.99", None),
    ],
)
def test_what_can_be_called_is_told(address: str | None, source: str, endpoint: str | None) -> None:
    assert endpoint_of(Announcement(NodeId(2), address, 51900), source) == endpoint


def test_neighbours_on_one_network_find_each_other() -> None:
    try:
        open_socket(LanUplink("lo", "127.0.0.1", 1))[1].close()
    except OSError as error:
        pytest.fail(f"no multicast on the loopback interface: {error}")

    async def meet() -> list[NeighbourSeen]:
        heard: asyncio.Queue[NeighbourSeen] = asyncio.Queue()
        tasks = []
        for node in (1, 2):
            uplinks = (LanUplink("isp1", "127.0.0.1", 51900 + node), LanUplink("gone", "192.0.2.99", 1))
            discovery = LanDiscovery(NodeId(node), CODEC, uplinks, heard.put_nowait, random.Random(node))
            tasks.append(asyncio.create_task(discovery.run()))
        met: set[NodeId] = set()
        seen: list[NeighbourSeen] = []
        async with asyncio.timeout(120):
            while met != {1, 2}:
                seen.append(await heard.get())
                met.add(seen[-1].node)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return seen

    seen = asyncio.run(meet())
    assert NeighbourSeen(NodeId(2), "127.0.0.1:51902", "isp1") in seen
