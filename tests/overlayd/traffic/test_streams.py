"""TCP and HTTP through a real HAProxy, in a namespace."""

import asyncio
import csv
import os
import signal
import socket
import time
from pathlib import Path

import msgspec
import pytest

from overlayd.protocol.steering import SteeredRoute, SteeringSpec, Target
from overlayd.traffic.haproxy import Processes
from overlayd.traffic.servers import parse_state
from overlayd.traffic.traffic import Traffic
from tests.overlayd.traffic import load
from tests.overlayd.traffic.changing import ADDRESS, PORTS, changing
from tests.overlayd.traffic.conftest import carried, ignored
from tests.overlayd.traffic.instances import HOST, instances


def target(port: int, weight: int = 1, *, backup: bool = False) -> Target:
    return Target(name=f"app-{port}", address=HOST, port=port, weight=weight, backup=backup)


def route(*targets: Target, **fields: object) -> SteeredRoute:
    usual = SteeredRoute(
        name="default/app", host="app.default.mesh", address=ADDRESS, port=80, targets=targets
    )
    return msgspec.structs.replace(usual, **fields)


def steering(*routes: SteeredRoute) -> SteeringSpec:
    return SteeringSpec(routes=routes)


@pytest.mark.parametrize("protocol", ["HTTP", "TCP"])
def test_no_request_fails_while_weights_and_servers_change_each_second(
    runtime_dir: Path, protocol: str
) -> None:
    outcome = asyncio.run(changing(runtime_dir, protocol, requests=2000, rate=900.0, least=6))
    assert outcome.seen.failed == []
    assert outcome.seen.requests == len(outcome.seen.answers) >= 2000
    assert len(outcome.changes) >= 6
    before, after = outcome.processes
    assert before is not None
    assert before == after
    assert (outcome.starts, outcome.reloads) == (1, 0)
    assert outcome.astray == []


def test_another_route_costs_no_request_of_those_that_are_there(runtime_dir: Path) -> None:
    async def scenario() -> None:
        async with carried(runtime_dir) as traffic:
            await traffic.apply(steering(route(*map(target, PORTS))))
            users = asyncio.create_task(asyncio.to_thread(load.run, ADDRESS, 80, requests=1000, rate=500))
            for port in (81, 82, 83):
                await asyncio.sleep(0.4)
                another = msgspec.structs.replace(route(target(PORTS[0])), name=f"default/{port}", port=port)
                await traffic.apply(steering(route(*map(target, PORTS)), another))
            assert traffic.problems == {}
            assert (traffic.haproxy.starts, traffic.haproxy.reloads) == (1, 3)
            assert (await users).failed == []
            assert (await ask(83)).shares == {PORTS[0]: 10}

    with instances(*PORTS):
        asyncio.run(scenario())


def test_shares_are_as_the_weights(runtime_dir: Path) -> None:
    async def scenario() -> None:
        async with carried(runtime_dir) as traffic:
            await traffic.apply(steering(route(target(9001, 10), target(9002, 90), target(9003, 0))))
            assert (await ask(80, 500)).shares == {9001: 50, 9002: 450}

    with instances(9001, 9002, 9003):
        asyncio.run(scenario())


def test_more_instances_than_slots_take_no_reload_and_slots_are_used_again(runtime_dir: Path) -> None:
    ports = tuple(range(9001, 9031))

    async def scenario() -> None:
        async with carried(runtime_dir) as traffic:
            await traffic.apply(steering(route(target(9001))))
            await traffic.apply(steering(route(*map(target, ports))))
            assert traffic.problems == {}
            assert (await ask(80, 60)).shares == dict.fromkeys(ports, 2)
            for first in range(10):
                await traffic.apply(steering(route(*map(target, ports[first : first + 20]))))
            assert (await ask(80, 40)).shares == dict.fromkeys(ports[9:29], 2)
            slots = parse_state(await traffic.haproxy.ask("show servers state"))["default:app"]
            assert sum(not slot.backup for slot in slots) <= len(ports) + 1
            assert (traffic.haproxy.starts, traffic.haproxy.reloads) == (1, 0)

    with instances(*ports):
        asyncio.run(scenario())


def test_an_instance_that_dies_costs_nothing_while_others_live(runtime_dir: Path) -> None:
    async def scenario() -> None:
        async with carried(runtime_dir) as traffic:
            with instances(9003) as dying:
                await traffic.apply(steering(route(*map(target, (9001, 9002, 9003)))))
                users = asyncio.create_task(asyncio.to_thread(load.run, ADDRESS, 80, requests=1500, rate=500))
                await served(traffic, f"{HOST}:9003")
                dying.kill()
                seen = await users
            assert seen.failed == []
            assert 9003 in seen.shares

    with instances(9001, 9002):
        asyncio.run(scenario())


def test_the_cloud_serves_while_no_instance_at_the_edge_does(runtime_dir: Path) -> None:
    async def scenario() -> None:
        async with carried(runtime_dir) as traffic:
            with instances(9001):
                await traffic.apply(steering(route(target(9001), target(9002, backup=True))))
                assert (await ask(80)).shares == {9001: 10}
            assert (await ask(80)).shares == {9002: 10}
            await traffic.apply(steering(route(target(9002, backup=True))))
            assert (await ask(80)).shares == {9002: 10}

    with instances(9002):
        asyncio.run(scenario())


def test_haproxy_goes_on_when_its_keeper_ends_and_is_found_again(runtime_dir: Path) -> None:
    async def scenario() -> None:
        first = Traffic(runtime_dir, wanted=ignored)
        await first.apply(steering(route(target(9001))))
        running = await processes(first)
        await first.close()
        assert (await ask(80)).shares == {9001: 10}
        async with carried(runtime_dir) as second:
            await second.apply(steering(route(target(9002))))
            assert (await ask(80)).shares == {9002: 10}
            assert await processes(second) == running
            assert (second.haproxy.starts, second.haproxy.reloads) == (0, 0)

    with instances(9001, 9002):
        asyncio.run(scenario())


def test_haproxy_comes_back_when_it_is_killed(runtime_dir: Path) -> None:
    async def scenario() -> None:
        async with carried(runtime_dir) as traffic:
            await traffic.apply(steering(route(target(9001))))
            os.kill((await processes(traffic)).master, signal.SIGKILL)
            async with asyncio.timeout(120):
                while traffic.haproxy.starts < 2:
                    await asyncio.sleep(0.05)
            assert (await ask(80)).shares == {9001: 10}

    with instances(9001):
        asyncio.run(scenario())


def test_a_port_that_is_taken_is_told_and_keeps_no_other_route_away(runtime_dir: Path) -> None:
    async def scenario() -> None:
        with socket.create_server(("0.0.0.0", 81)):
            async with carried(runtime_dir) as traffic:
                other = msgspec.structs.replace(route(target(9001)), name="default/other", port=81)
                await traffic.apply(steering(route(target(9001)), other))
                assert traffic.problems == {"default/other": "100.127.0.5 port 81: Address already in use"}
                assert (await ask(80)).shares == {9001: 10}

    with instances(9001):
        asyncio.run(scenario())


def test_a_route_that_makes_no_sense_costs_no_other(runtime_dir: Path) -> None:
    async def scenario() -> None:
        async with carried(runtime_dir) as traffic:
            other = route(
                msgspec.structs.replace(target(9001), address="nowhere"), name="default/other", port=81
            )
            await traffic.apply(steering(other, route(target(9001))))
            assert traffic.problems == {
                "default/other": "'nowhere' does not appear to be an IPv4 or IPv6 address"
            }
            assert (await ask(80)).shares == {9001: 10}

    with instances(9001):
        asyncio.run(scenario())


@pytest.mark.parametrize(
    ("limits", "rate", "refusal"),
    [
        ({"requests_per_second": 2.0}, 2.0, "429"),
        ({"users": ("10.0.0.0/8",)}, 0.0, "403"),
    ],
)
def test_what_exceeds_a_limit_is_refused(
    runtime_dir: Path, limits: dict[str, object], rate: float, refusal: str
) -> None:
    async def scenario() -> None:
        async with carried(runtime_dir) as traffic:
            await traffic.apply(steering(route(target(9001), **limits)))
            begun = time.monotonic()
            seen = await ask(80, 40)
            seconds = time.monotonic() - begun
            assert seen.failed
            assert all(f"http/1.1 {refusal}" in failure for failure in seen.failed)
            assert len(seen.answers) <= rate * (2 + seconds)

    with instances(9001):
        asyncio.run(scenario())


async def ask(port: int, requests: int = 10) -> load.Report:
    return await asyncio.to_thread(load.run, ADDRESS, port, requests=requests, users=1)


async def served(traffic: Traffic, server: str) -> None:
    """Wait until HAProxy has sent a request to a server: its name, or its address and port."""
    async with asyncio.timeout(load.PATIENCE_S):
        while True:
            rows = csv.DictReader((await traffic.haproxy.ask("show stat -1 4 -1")).splitlines())
            if any(server in (row["svname"], row["addr"]) and int(row["stot"]) for row in rows):
                return
            await asyncio.sleep(0.01)


async def processes(traffic: Traffic) -> Processes:
    found = await traffic.haproxy.processes()
    assert found is not None
    return found
