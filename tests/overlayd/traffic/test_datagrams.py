"""UDP through the kernel's own tables, in a namespace."""

import asyncio
import selectors
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from overlayd.protocol.steering import Target
from overlayd.traffic import datagram_rules
from overlayd.traffic.datagrams import Datagrams
from tests.overlayd.traffic.conftest import carried, ignored
from tests.overlayd.traffic.test_streams import ADDRESS, route, steering, target

PORTS = (9001, 9002, 9003)
PATIENCE_S = 60.0


class Instances:
    """Sockets that answer each datagram with their port, when told to."""

    def __init__(self, host: str, ports: Sequence[int]) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._selector = selectors.DefaultSelector()
        for port in ports:
            instance = socket.socket(family, socket.SOCK_DGRAM)
            instance.bind((host, port))
            self._selector.register(instance, selectors.EVENT_READ, port)

    def ask(self, user: socket.socket) -> int:
        """Send a datagram as ``user``; return who answered."""
        user.send(b"who")
        for key, _ in self._selector.select(PATIENCE_S):
            data, sender = key.fileobj.recvfrom(64)  # pyright: ignore[reportAttributeAccessIssue]
            assert data == b"who"
            key.fileobj.sendto(str(key.data).encode(), sender)  # pyright: ignore[reportAttributeAccessIssue]
        return int(user.recv(64))

    def close(self) -> None:
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # pyright: ignore[reportAttributeAccessIssue]
        self._selector.close()


@contextmanager
def instances(host: str = "127.0.0.1", ports: Sequence[int] = PORTS) -> Iterator[Instances]:
    found = Instances(host, ports)
    try:
        yield found
    finally:
        found.close()


@contextmanager
def users(count: int, address: str = ADDRESS) -> Iterator[list[socket.socket]]:
    """Sockets of users, each a flow of its own."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    found = [socket.socket(family, socket.SOCK_DGRAM) for _ in range(count)]
    try:
        for user in found:
            user.connect((address, 80))
            user.settimeout(PATIENCE_S)
        yield found
    finally:
        for user in found:
            user.close()


def test_flows_stay_whatever_becomes_of_weights_until_their_instance_is_gone(runtime_dir: Path) -> None:
    async def scenario() -> None:
        async with carried(runtime_dir) as traffic:

            async def apply(*targets: Target) -> None:
                await traffic.apply(steering(route(*targets, protocol="UDP")))
                assert traffic.problems == {}

            await apply(*map(target, PORTS))
            with instances() as served, users(60) as asking:
                at_first = [served.ask(user) for user in asking]
                assert set(at_first) == set(PORTS)
                await apply(target(9001, 256), target(9002, 1), target(9003, 0))
                assert [served.ask(user) for user in asking] == at_first
                await apply(target(9002, 7), target(9003, 0))
                after = [served.ask(user) for user in asking]
                assert [new for new, old in zip(after, at_first, strict=True) if old == 9001] == [
                    9002
                ] * at_first.count(9001)
                assert all(new == old for new, old in zip(after, at_first, strict=True) if old != 9001)

    asyncio.run(scenario())


def test_new_flows_are_spread_as_the_weights_say(runtime_dir: Path) -> None:
    async def scenario() -> None:
        async with carried(runtime_dir) as traffic:
            await traffic.apply(steering(route(target(9001, 30), target(9002, 10), protocol="UDP")))
            with instances() as served, users(400) as asking:
                shares = Counter(served.ask(user) for user in asking)
            assert shares[9001] + shares[9002] == 400
            assert 50 < shares[9002] < 150  # of 100; beyond is five deviations away

    asyncio.run(scenario())


def test_the_first_datagram_asks_for_an_instance_and_its_flow_gets_there(runtime_dir: Path) -> None:
    async def scenario() -> None:
        wanted = asyncio.Event()
        async with carried(runtime_dir, lambda _: wanted.set()) as traffic:
            await traffic.apply(steering(route(protocol="UDP", wakes=True)))
            with instances() as served, users(1) as (user,):
                user.send(b"lost")
                await asyncio.wait_for(wanted.wait(), PATIENCE_S)
                await traffic.apply(steering(route(target(9002), protocol="UDP", wakes=True)))
                assert served.ask(user) == 9002

    asyncio.run(scenario())


def test_rules_outlive_their_keeper_and_are_taken_over(runtime_dir: Path) -> None:
    async def scenario() -> None:
        udp = route(target(9001), protocol="UDP")
        first = Datagrams(ignored)
        await first.converge([udp])
        first.close()
        async with carried(runtime_dir) as traffic:
            await traffic.apply(steering(udp))
            with instances() as served, users(1) as (user,):
                assert served.ask(user) == 9001
            await traffic.apply(steering(route(target(9002), protocol="UDP")))
            with instances() as served, users(1) as (user,):
                assert served.ask(user) == 9002

    asyncio.run(scenario())


@pytest.mark.usefixtures("runtime_dir")
def test_ipv6_goes_the_same_way() -> None:
    async def scenario() -> None:
        datagrams = Datagrams(ignored)
        udp = route(Target(name="a", address="::1", port=9001), protocol="UDP", address="::1")
        await datagrams.converge([udp])
        with instances("::1") as served, users(1, "::1") as (user,):
            assert served.ask(user) == 9001
        await datagrams.converge([])

    asyncio.run(scenario())


def test_back_ups_get_flows_only_where_nobody_else_is() -> None:
    backup = target(9002, backup=True)
    assert datagram_rules.in_use([target(9001), backup]) == [target(9001)]
    assert datagram_rules.in_use([target(9001, 0), backup]) == [backup]
