"""What became of requests is told by revision while several serve a route, through changes of slots."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from overlayd.protocol.steering import Target
from overlayd.protocol.workload import Outcome
from overlayd.traffic.traffic import Traffic
from tests.overlayd.traffic.conftest import carried
from tests.overlayd.traffic.instances import HOST, instances
from tests.overlayd.traffic.test_streams import ask, route, steering, target

SICK = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"


def of(port: int, revision: str) -> Target:
    return msgspec.structs.replace(target(port), revision=revision)


@asynccontextmanager
async def sick(port: int) -> AsyncIterator[None]:
    """An instance that answers each request with 500."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(SICK)
        except (EOFError, OSError):
            writer.close()

    async with await asyncio.start_server(answer, HOST, port):
        yield


async def told(traffic: Traffic) -> dict[str, tuple[int, int]]:
    """Requests and failed ones, by revision."""
    outcomes = await traffic.outcomes()
    found: tuple[Outcome, ...] = outcomes.outcomes if outcomes is not None else ()
    assert {one.route for one in found} <= {"default/app"}
    return {one.revision: (one.requests, one.failed) for one in found}


def test_failed_requests_are_told_of_the_revision_that_failed(runtime_dir: Path) -> None:
    async def scenario() -> None:
        async with carried(runtime_dir) as traffic, sick(9002):
            await traffic.apply(steering(route(of(9001, "old"), of(9002, "new"))))
            await ask(80, 8)
            met = await told(traffic)
            (old, spared), (new, failed) = met["old"], met["new"]
            assert (old + new, spared) == (8, 0) and failed == new > 0
            assert await told(traffic) == {}

    with instances(9001):
        asyncio.run(scenario())


def test_nothing_is_told_of_routes_of_one_revision(runtime_dir: Path) -> None:
    async def scenario() -> None:
        async with carried(runtime_dir) as traffic:
            await traffic.apply(steering(route(of(9001, "old"), of(9002, "old"))))
            await ask(80, 8)
            assert await traffic.outcomes() is None

    with instances(9001, 9002):
        asyncio.run(scenario())


def test_a_slot_that_is_used_again_counts_for_who_has_it_now(runtime_dir: Path) -> None:
    async def scenario() -> None:
        async with carried(runtime_dir) as traffic:
            await traffic.apply(steering(route(of(9001, "old"), of(9002, "new"))))
            await ask(80, 40)
            for port in range(9003, 9012):  # each takes a slot that another has left
                await traffic.apply(steering(route(of(9001, "old"), of(port, "newer"))))
            await told(traffic)
            await ask(80, 10)
            met = await told(traffic)
            assert set(met) == {"old", "newer"}
            assert (sum(asked for asked, _ in met.values()), sum(failed for _, failed in met.values())) == (
                10,
                0,
            )

    with instances(9001, 9002, *range(9003, 9012)):
        asyncio.run(scenario())
