"""Traffic goes on with what it has: without a controller, and after a restart of the unit."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from overlayd.protocol.steering import SteeringSpec
from overlayd.traffic import service
from overlayd.traffic.traffic import Traffic
from tests.overlayd.traffic.conftest import ignored
from tests.overlayd.traffic.instances import instances
from tests.overlayd.traffic.test_streams import ask, route, steering, target

OVERLAY = "127.0.0.53"


def test_the_last_steering_is_in_force_again_before_anybody_is_asked(
    runtime_dir: Path, tmp_path: Path
) -> None:
    async def said(*specs: SteeringSpec | None) -> AsyncIterator[SteeringSpec | None]:
        for spec in specs:
            yield spec
        await asyncio.Event().wait()

    async def scenario() -> None:
        wanted = steering(route(target(9001)))
        async with running(tmp_path, runtime_dir, said(None, wanted, None)):
            await until_served()
        await Traffic(
            runtime_dir.with_name(f"{runtime_dir.name}-traffic"), ignored
        ).clear()  # as a reboot does
        assert len((await ask(80, 1)).failed) == 1
        async with running(tmp_path, runtime_dir, said()):
            await until_served()
        await Traffic(runtime_dir.with_name(f"{runtime_dir.name}-traffic"), ignored).clear()

    with instances(9001):
        asyncio.run(scenario())


class running:  # noqa: N801
    """The service, cancelled at the end of the block."""

    def __init__(
        self, state_dir: Path, runtime_dir: Path, steering: AsyncIterator[SteeringSpec | None]
    ) -> None:
        self._coroutine = service.run(state_dir, runtime_dir, OVERLAY, steering, ignored)

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._coroutine)

    async def __aexit__(self, *_: object) -> None:
        assert not self._task.done()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def until_served() -> None:
    async with asyncio.timeout(120):
        while (await ask(80, 3)).shares != {9001: 3}:
            await asyncio.sleep(0.1)
