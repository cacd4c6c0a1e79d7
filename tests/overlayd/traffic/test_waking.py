"""Requests that come while there is no instance: held, reported, answered by the first that is there."""

import asyncio
import contextlib
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from overlayd.traffic.servers import WAKER
from overlayd.traffic.traffic import Traffic
from tests.overlayd.traffic import load
from tests.overlayd.traffic.conftest import carried
from tests.overlayd.traffic.instances import HOST, instances
from tests.overlayd.traffic.test_streams import ADDRESS, ask, processes, route, served, steering, target


@pytest.mark.parametrize("protocol", ["HTTP", "TCP"])
def test_the_first_request_starts_an_instance_and_is_answered_by_it(runtime_dir: Path, protocol: str) -> None:
    async def scenario(stack: ExitStack) -> None:
        started: list[asyncio.Task[None]] = []

        async def start() -> None:
            await asyncio.to_thread(stack.enter_context, instances(9001))
            await traffic.apply(steering(route(target(9001), protocol=protocol)))

        def wanted(name: str) -> None:
            assert name == "default/app"
            if not started:
                started.append(asyncio.create_task(start()))

        async with carried(runtime_dir, wanted) as traffic:
            await traffic.apply(steering(route(protocol=protocol, wakes=True)))
            before = await processes(traffic)
            seen = await ask(80, 20)
            assert seen.failed == []
            assert seen.shares == {9001: 20}
            assert await processes(traffic) == before

    with ExitStack() as stack:
        asyncio.run(scenario(stack))


def test_an_only_instance_that_is_killed_costs_at_most_what_it_was_about_to_answer(runtime_dir: Path) -> None:
    async def scenario() -> None:
        async with carried(runtime_dir) as traffic:
            with instances(9001):
                await traffic.apply(steering(route(target(9001))))
                users = asyncio.create_task(asyncio.to_thread(load.run, ADDRESS, 80, requests=1500, rate=300))
                await served(traffic, f"{HOST}:9001")
            await served(traffic, WAKER)
            with instances(9001):
                seen = await users
                assert len(seen.failed) <= load.USERS
                assert await is_up(traffic)

    asyncio.run(scenario())


def test_a_request_that_nobody_comes_for_is_given_up_in_time(runtime_dir: Path) -> None:
    async def scenario() -> None:
        told: list[str] = []
        async with carried(runtime_dir, told.append) as traffic:
            await traffic.apply(steering(route(wakes=True, timeout_seconds=1.2)))
            begun = time.monotonic()
            (failure,) = (await ask(80, 1)).failed
            assert "TimeoutError" not in failure, "it is told, rather than left"
            assert time.monotonic() - begun > 1.0
            assert set(told) == {"default/app"}

    asyncio.run(scenario())


async def is_up(traffic: Traffic) -> bool:
    """Whether HAProxy itself sends requests to the instance again, past the waker."""
    answer = await traffic.haproxy.ask("show stat default:app 4 -1")
    states = [line.split(",")[17] for line in answer.splitlines() if ",s1," in line]
    return states == ["UP"]


def test_only_haproxys_user_hands_over_what_waits(runtime_dir: Path) -> None:
    """The socket lets everybody connect: who does is asked of the kernel."""

    async def scenario() -> None:
        wanted: list[str] = []
        async with carried(runtime_dir, wanted.append) as traffic:
            await traffic.apply(steering(route(wakes=True)))
            (path,) = (runtime_dir / "waker").iterdir()
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            async with asyncio.timeout(60):
                with contextlib.suppress(ConnectionResetError):  # with what it said unread
                    assert await reader.read() == b""  # root is not that user
            writer.close()
            assert wanted == []

    asyncio.run(scenario())
