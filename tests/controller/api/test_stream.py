"""The stream of changes, read from a running controller as a browser would."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from controller.api import stream
from controller.api.access import COOKIE, seal
from controller.server import news
from overlayd.model.ids import ClassId
from overlayd.protocol.controller import Switched
from tests.controller.client import Agent, Identity, agent, sample, silent
from tests.controller.running import RunningController, controller

Message = tuple[str, Any]


class Listener:
    """Reads messages; comments are no messages."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines

    async def next(self) -> Message:
        name = ""
        async for line in self._lines:
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                return name, json.loads(line.removeprefix("data: "))
        raise EOFError

    async def until(self, wanted: str, **facts: Any) -> Any:
        """Return the next message of that name with these facts in it."""
        async with asyncio.timeout(120):
            while True:
                name, data = await self.next()
                if name == wanted and facts.items() <= data.items():
                    return data


@asynccontextmanager
async def listening(mesh: RunningController, metrics: str = "rtt") -> AsyncIterator[Listener]:
    bearer = {"Authorization": f"Bearer {mesh.state.admin_token}"}
    async with (
        httpx.AsyncClient(base_url=mesh.api, headers=bearer, trust_env=False, timeout=None) as client,
        client.stream("GET", "/v1/stream", params={"metrics": metrics}) as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Listener(answer.aiter_lines())


async def two_agents(mesh: RunningController, stack: AsyncExitStack) -> list[tuple[Identity, Agent]]:
    members = [await mesh.join(name, relay=True) for name in ("a", "b")]
    agents = [await stack.enter_async_context(agent(mesh.url, one)) for one in members]
    for one in agents:
        await one.hello()
    return list(zip(members, agents, strict=True))


def test_the_state_comes_first_and_then_what_changes(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh, AsyncExitStack() as stack:
            (_, at_a), (b, _) = await two_agents(mesh, stack)
            await at_a.report(sample(b.id, 40))
            async with listening(mesh) as heard:
                first = await heard.until("nodes")
                assert [node["metadata"]["name"] for node in first["items"]] == ["a", "b"]
                assert first["items"][0]["status"]["lastSeen"] is None and first["gone"] == []
                assert (await heard.until("routes"))["generation"] > 0
                assert set(await heard.until("seen")) == {"a", "b"}
                matrix = await heard.until("matrix", metric="rtt")
                assert matrix["nodes"] == ["a", "b"] and matrix["values"][0][1] == pytest.approx(40, rel=0.03)
                await mesh.join("c")
                joined = await heard.until("events")
                assert [(e["kind"], e["nodes"], e["reason"]) for e in joined["items"]] == [
                    ("node", ["c"], "joined")
                ]
                assert (await heard.until("matrix"))["nodes"] == ["a", "b", "c"]
                await at_a.report(sample(b.id, 80))
                cells = (await heard.until("cells", metric="rtt"))["cells"]
                assert sorted(map(tuple, (cells[:2], cells[3:5]))) == [(0, 1), (1, 0)]
                assert cells[2] == cells[5] == pytest.approx(80, rel=0.03)
                mesh.running.service.remove(b.id, "gone for good")
                assert (await heard.until("nodes", gone=["b"]))["items"] == []
                assert (await heard.until("matrix"))["nodes"] == ["a", "c"]

    asyncio.run(story())


def test_links_that_go_down_and_routes_that_move_are_events(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh, AsyncExitStack() as stack:
            (a, at_a), (b, at_b) = await two_agents(mesh, stack)
            async with listening(mesh, "") as heard:
                await heard.until("nodes")
                await at_a.report(sample(b.id, 40))
                await at_b.report(sample(a.id, 40))
                await at_a.say(Switched(b.id, ClassId(0), (a.id, b.id), (b.id,), "engine", "dead"))
                await at_a.report(silent(b.id), urgent=True)
                wanted = {("route", "engine", "dead"), ("link", None, "link down")}
                found: set[tuple[str, str | None, str]] = set()
                while not wanted <= found:
                    items = (await heard.until("events"))["items"]
                    found |= {(e["kind"], e["decider"], e["reason"]) for e in items if "a" in e["nodes"]}
                await at_a.report(sample(b.id, 40), urgent=True)
                await at_b.report(sample(a.id, 40), urgent=True)
                while ("link", None, "link up again") not in found:
                    items = (await heard.until("events"))["items"]
                    found |= {(e["kind"], e["decider"], e["reason"]) for e in items}

    asyncio.run(story())


def test_the_list_of_events_goes_back_from_any_moment(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh, AsyncExitStack() as stack:
            (a, at_a), (b, _) = await two_agents(mesh, stack)
            await at_a.say(Switched(b.id, ClassId(0), (a.id, b.id), (b.id,), "agent", "the first"))
            bearer = {"Authorization": f"Bearer {mesh.state.admin_token}"}
            async with httpx.AsyncClient(
                base_url=mesh.api, headers=bearer, trust_env=False, timeout=60
            ) as api:
                async with asyncio.timeout(120):
                    while not (await api.get("/v1/events", params={"kind": "route"})).json()["items"]:
                        await asyncio.sleep(0.05)
                items = (await api.get("/v1/events")).json()["items"]
                assert [item["kind"] for item in items].count("route") == 1
                route = next(item for item in items if item["kind"] == "route")
                assert (route["nodes"], route["class"], route["after"]) == (["a", "b"], "interactive", ["b"])
                assert [item["at"] for item in items] == sorted((item["at"] for item in items), reverse=True)
                said = [i["reason"] for i in items if i["kind"] == "node" and i["nodes"] == ["a"]]
                assert said[-1] == "joined" and said[0].startswith("its agent connected")
                assert len((await api.get("/v1/events", params={"limit": 2})).json()["items"]) == 2
                before = {"until": str(time.time() - 3600)}
                assert (await api.get("/v1/events", params=before)).json()["items"] == []

    asyncio.run(story())


def test_streams_end_when_the_controller_stops(tmp_path: Path) -> None:
    async def story() -> bool:
        async with controller(tmp_path) as mesh:
            async with listening(mesh) as heard, asyncio.timeout(120):
                await heard.until("nodes")
                mesh.running.service.news.close()  # while everything else goes on
                with pytest.raises(EOFError):
                    while True:
                        await heard.next()
        async with controller(tmp_path) as mesh:
            news = mesh.running.service.news
        return news.closed.is_set()

    assert asyncio.run(story())


def test_there_are_only_so_many_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(news, "MOST_LISTENERS", 2)

    async def story() -> None:
        async with controller(tmp_path) as mesh:
            bearer = {"Authorization": f"Bearer {mesh.state.admin_token}"}
            async with AsyncExitStack() as stack:
                for _ in range(2):
                    await stack.enter_async_context(listening(mesh))
                async with httpx.AsyncClient(
                    base_url=mesh.api, headers=bearer, trust_env=False, timeout=60
                ) as api:
                    answer = await api.get("/v1/stream")
                    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
                    assert (await api.get("/v1/stream", params={"metrics": "speed"})).status_code == 422
            async with asyncio.timeout(120):
                while mesh.running.service.news.listeners:
                    await asyncio.sleep(0.05)

    asyncio.run(story())


def test_a_stream_ends_with_its_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "PACE_S", 0.1)
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.1)

    async def story() -> None:
        async with controller(tmp_path) as mesh:
            cookie = {"cookie": f"{COOKIE}={seal(mesh.state.admin_token, int(time.time()) + 6)}"}
            async with (
                httpx.AsyncClient(base_url=mesh.api, headers=cookie, trust_env=False, timeout=60) as client,
                asyncio.timeout(120),
                client.stream("GET", "/v1/stream") as answer,
            ):
                heard = Listener(answer.aiter_lines())
                assert (await heard.next())[0] == "nodes"
                with pytest.raises(EOFError):
                    while True:
                        await heard.next()

    asyncio.run(story())
