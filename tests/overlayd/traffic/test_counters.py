"""What users asked of routes is counted once, by group, whatever processes count it."""

import asyncio
from pathlib import Path

import msgspec

from overlayd.protocol.steering import SteeringSpec, UserPrefixes
from overlayd.protocol.workload import Asked
from overlayd.traffic.counters import Counts, Meter
from overlayd.traffic.traffic import Traffic
from tests.overlayd.traffic.conftest import carried, ignored
from tests.overlayd.traffic.instances import instances
from tests.overlayd.traffic.test_datagrams import instances as datagram_instances
from tests.overlayd.traffic.test_datagrams import users
from tests.overlayd.traffic.test_streams import ADDRESS, ask, route, steering, target

WEB = ("web", "")


def test_processes_count_on_beside_each_other() -> None:
    meter = Meter()
    meter.count(1, {WEB: Counts(10)})
    meter.count(1, {WEB: Counts(12)})
    meter.count(2, {WEB: Counts(5)})
    meter.keep([2])
    meter.count(2, {WEB: Counts(6)})
    assert meter.totals == {WEB: Counts(18)}


def test_what_a_life_before_counted_is_not_told_again() -> None:
    meter = Meter()
    meter.begin(1, {WEB: Counts(100)})
    meter.count(1, {WEB: Counts(101)})
    assert meter.demand(5.0).asked == (Asked("web", "", 1, 0),)
    assert meter.demand(5.0).asked == ()


def test_requests_are_counted_across_a_reload_and_a_restart_of_the_keeper(runtime_dir: Path) -> None:
    async def scenario() -> None:
        first = Traffic(runtime_dir, ignored)
        await first.apply(steering(route(target(9001))))
        await ask(80, 30)
        again = msgspec.structs.replace(route(target(9001)), name="default/again", port=81)
        await first.apply(steering(route(target(9001)), again))
        await ask(80, 12)
        await ask(81, 5)
        assert await requests(first) == {("default/again", ""): 5, ("default/app", ""): 42}
        await first.close()
        async with carried(runtime_dir) as second:
            await second.apply(steering(route(target(9001)), again))
            await ask(80, 3)
            assert await requests(second) == {("default/app", ""): 3}

    with instances(9001):
        asyncio.run(scenario())


def test_groups_of_users_are_counted_apart(runtime_dir: Path) -> None:
    async def scenario() -> None:
        routes = (
            route(target(9001)),
            route(target(9001), name="default/tcp", port=81, protocol="TCP"),
        )
        here = UserPrefixes(name="default/here", prefixes=(f"{ADDRESS}/32",))
        wanted = SteeringSpec(routes=routes, groups=(UserPrefixes(name="default/rest"), here))
        first = Traffic(runtime_dir, ignored)
        await first.apply(wanted)
        assert first.problems == {}
        await ask(80, 7)
        await ask(81, 3)  # of one connection
        assert await requests(first) == {
            ("default/app", "default/here"): 7,
            ("default/tcp", "default/here"): 1,
        }
        await first.close()
        async with carried(runtime_dir) as second:
            await second.apply(wanted)
            await ask(80, 2)
            assert await requests(second) == {("default/app", "default/here"): 2}

    with instances(9001):
        asyncio.run(scenario())


def test_datagrams_are_counted_across_a_restart_of_the_keeper(runtime_dir: Path) -> None:
    async def scenario() -> None:
        udp = route(target(9001), protocol="UDP")
        first = Traffic(runtime_dir, ignored)
        await first.apply(steering(udp))
        with datagram_instances() as served, users(1) as (user,):
            for _ in range(5):
                served.ask(user)
        await first.apply(steering(route(target(9001, 7), protocol="UDP")))
        assert await requests(first) == {("default/app", ""): 5}
        await first.close()
        async with carried(runtime_dir) as second:
            await second.apply(steering(udp))
            with datagram_instances() as served, users(1) as (user,):
                served.ask(user)
            assert await requests(second) == {("default/app", ""): 1}

    asyncio.run(scenario())


async def requests(traffic: Traffic) -> dict[tuple[str, str], int]:
    demand = await traffic.demand()
    assert all(one.bytes > 0 for one in demand.asked)
    return {(one.route, one.group): one.requests for one in demand.asked}
