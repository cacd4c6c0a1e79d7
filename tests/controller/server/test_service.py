"""What the controller process does with what an earlier one left."""

import asyncio
import sqlite3
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest

from controller.server.service import Service
from controller.store.database import StoreError
from controller.store.store import Store
from overlayd.model.ids import NodeId
from overlayd.protocol.routes import RouteColumns
from tests.controller.client import Identity, agent, sample
from tests.controller.running import RunningController, controller

OF_ANOTHER_KIND = msgspec.msgpack.encode(RouteColumns(3, b"nonsense"))


@pytest.mark.parametrize("damaged", [b"\xc1", OF_ANOTHER_KIND], ids=["row", "columns"])
def test_routes_that_cannot_be_read_are_chosen_anew_and_the_others_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damaged: bytes
) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh:
            members = [await mesh.join(name, relay=True) for name in ("a", "b", "k")]
            await until_routed(mesh, members)
            while len(mesh.state.store.routes()) < len(members):
                await asyncio.sleep(0.05)
        victim, *others = (member.id for member in members)
        with sqlite3.connect(tmp_path / "state" / "controller.db") as database:
            database.execute("UPDATE routes SET routes = ? WHERE source = ?", (damaged, victim))
        database.close()
        async with controller(tmp_path) as mesh:
            service = mesh.running.service
            assert routes_from(service, victim) == 0
            assert [routes_from(service, other) for other in others] == [8, 8]
            assert f"the routes of node {victim} cannot be read" in caplog.text
            await until_routed(mesh, members)
            assert routes_from(service, victim) == 8

    asyncio.run(story())


def test_a_controller_that_cannot_count_its_generations_says_so_and_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*_: object) -> None:
        raise sqlite3.OperationalError("attempt to write a readonly database")

    async def story() -> None:
        monkeypatch.setattr(Store, "save_generation", read_only)
        with pytest.raises(
            StoreError, match=r"controller\.db cannot be written: attempt to write a readonly"
        ):
            async with controller(tmp_path):
                pass

    asyncio.run(story())


async def until_routed(mesh: RunningController, members: list[Identity]) -> None:
    """Have all report all links until there is a route in each class from each to each."""
    async with asyncio.timeout(120), AsyncExitStack() as channels:
        for one in members:
            channel = await channels.enter_async_context(agent(mesh.url, one))
            await channel.hello()
            await channel.report(*(sample(other.id, 20) for other in members if other is not one))
        while mesh.running.service.core.book.number < 24:
            await asyncio.sleep(0.05)


def routes_from(service: Service, node: NodeId) -> int:
    rows = service.core.book.rows(node)
    return 0 if rows is None else len(rows)
