"""The HTTP API of a running controller."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import numpy as np
import pytest

from controller.api.app import create_app
from controller.api.openapi import document
from controller.core.messages import RouteEvent
from controller.store.store import Store
from controller.topology.frames import LinkFrame
from overlayd.model.ids import ClassId, NodeId
from overlayd.protocol.controller import Switched
from tests.controller.client import Agent, Identity, agent, join, sample, silent
from tests.controller.running import RunningController, controller

Reporting: TypeAlias = tuple[Identity, Agent]
COMMITTED = Path(__file__).parents[3] / "docs" / "openapi.json"


def client(mesh: RunningController) -> httpx.AsyncClient:
    bearer = {"Authorization": f"Bearer {mesh.state.admin_token}"}
    return httpx.AsyncClient(base_url=mesh.api, headers=bearer, trust_env=False, timeout=60)


def test_the_committed_document_is_what_the_program_says() -> None:
    assert COMMITTED.read_text() == document(), (
        "renew it: .venv/bin/python -m controller.api.openapi > docs/openapi.json"
    )


def test_every_endpoint_but_health_asks_for_the_admin_token(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh:
            routes = [r for r in routes_of(create_app(mesh.running.service))]
            assert len(routes) >= 9
            async with httpx.AsyncClient(base_url=mesh.api, trust_env=False, timeout=60) as stranger:
                for method, path in routes:
                    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}):
                        url = path.replace("{name}", "paris")
                        answer = await stranger.request(method, url, headers=headers)
                        expected = 200 if path == "/healthz" else 401
                        assert answer.status_code == expected, (method, path)

    asyncio.run(story())


def routes_of(app: object) -> list[tuple[str, str]]:
    document: dict[str, dict[str, object]] = app.openapi()["paths"]  # type: ignore[attr-defined]
    return [(method.upper(), path) for path, methods in document.items() for method in methods]


def test_a_token_from_the_api_lets_a_host_join_and_the_node_is_listed(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh, client(mesh) as api:
            made = await api.post(
                "/v1/tokens", json={"name": "paris", "relay": True, "prefixes": ["10.1.0.0/16"]}
            )
            assert made.status_code == 201
            listed = (await api.get("/v1/tokens")).json()["items"]
            assert [(t["name"], t["state"]) for t in listed] == [("paris", "open")]
            await join(mesh.url, made.json()["token"], "paris", ("10.1.0.0/16",))
            (node,) = (await api.get("/v1/nodes")).json()["items"]
            assert node["kind"] == "Node" and node["metadata"]["generation"] == 1
            assert node["spec"]["relay"] is True and node["status"]["announced"] == ["10.1.0.0/16"]
            assert (await api.get("/v1/nodes/paris")).json() == node
            assert (await api.get("/v1/tokens")).json()["items"][0]["state"] == "used"
            assert (await api.delete("/v1/nodes/paris")).status_code == 200
            assert (await api.get("/v1/nodes/paris")).status_code == 404
            assert (await api.get("/v1/nodes")).json()["items"] == []

    asyncio.run(story())


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/nodes/nobody", 404, "not-a-member"),
        ("/v1/explain?src=nobody&dst=none", 404, "not-a-member"),
        ("/v1/routes?class=swift", 404, "not-found"),
    ],
)
def test_what_does_not_exist_is_said_so(tmp_path: Path, path: str, status: int, code: str) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh, client(mesh) as api:
            answer = await api.get(path)
            assert (answer.status_code, answer.json()["code"]) == (status, code)
            bad = await api.post("/v1/tokens", json={"name": "Not A Name"})
            assert (bad.status_code, bad.json()["code"]) == (400, "bad-request")
            assert (await api.post("/v1/tokens", json={"name": "x", "colour": 1})).status_code == 422

    asyncio.run(story())


def test_the_api_is_served_on_a_unix_socket_for_its_owner(tmp_path: Path) -> None:
    async def story() -> None:
        path = tmp_path / "api.sock"
        for _ in range(2):  # the second time over what a killed controller would leave behind
            async with controller(tmp_path, api=f"unix:{path}") as mesh:
                assert path.stat().st_mode & 0o777 == 0o600
                bearer = {"Authorization": f"Bearer {mesh.state.admin_token}"}
                transport = httpx.AsyncHTTPTransport(uds=str(path))
                async with httpx.AsyncClient(
                    transport=transport, base_url="http://api", headers=bearer
                ) as api:
                    assert (await api.get("/v1/nodes")).status_code == 200

    asyncio.run(story())


@asynccontextmanager
async def lossy_direct(
    mesh: RunningController, loss_seen_by_b: float = 0.08
) -> AsyncIterator[tuple[Reporting, ...]]:
    """Run a, b and k, each of which has reported: 100 ms and loss between a and b, k 15 ms away from both."""
    a, b, k = [await mesh.join(name, relay=True) for name in ("a", "b", "k")]
    async with agent(mesh.url, a) as at_a, agent(mesh.url, b) as at_b, agent(mesh.url, k) as at_k:
        for one in (at_a, at_b, at_k):
            await one.hello()
        await at_a.report(sample(b.id, 100, loss=0.08), sample(k.id, 15))
        await at_b.report(sample(a.id, 100, loss=loss_seen_by_b), sample(k.id, 15))
        await at_k.report(sample(a.id, 15), sample(b.id, 15))
        yield (a, at_a), (b, at_b), (k, at_k)


def test_links_routes_and_explanations_show_forecast_beside_measurement(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh, client(mesh) as api:
            async with lossy_direct(mesh):
                explanation = await explained(api, "a", "b", wanted=["k", "b"])
                assert explanation["class"] == "interactive" and explanation["objective"] == "latency"
                chosen, direct = explanation["candidates"][:2]
                assert (chosen["verdict"], chosen["path"]) == ("primary", ["k", "b"])
                assert chosen["measuredRttMs"] == 30 and 30 < chosen["forecastRttMs"] < 40
                assert direct["path"] == ["b"] and "% loss on a → b" in direct["reason"]
                links = {
                    (x["source"], x["destination"]): x for x in (await api.get("/v1/links")).json()["items"]
                }
                assert len(links) == 6
                assert links["a", "b"]["confirmed"] and links["a", "b"]["measuredLossRatio"] == 0.08
                routes = (await api.get("/v1/routes", params={"src": "a", "class": "0"})).json()["items"]
                assert {r["destination"]: r["paths"][0] for r in routes} == {"b": ["k", "b"], "k": ["k"]}

    asyncio.run(story())


def test_long_lists_come_in_pages_that_are_whole_together(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh, client(mesh) as api:
            members = [await mesh.join(name, relay=True) for name in ("a", "b", "k")]
            async with AsyncExitStack() as channels:
                for one in members:
                    channel = await channels.enter_async_context(agent(mesh.url, one))
                    await channel.hello()
                    await channel.report(*(sample(other.id, 20) for other in members if other is not one))
                while len((whole := (await api.get("/v1/routes")).json())["items"]) < 24:
                    await asyncio.sleep(0.1)
                assert whole["next"] is None
                for what, number in (("routes", 24), ("links", 6)):
                    pages = [(await api.get(f"/v1/{what}", params={"limit": 4})).json()]
                    while (cursor := pages[-1]["next"]) is not None:
                        asked = {"limit": 4, "after": cursor}
                        pages.append((await api.get(f"/v1/{what}", params=asked)).json())
                    told = [
                        (i["source"], i["destination"], i.get("class")) for p in pages for i in p["items"]
                    ]
                    assert len(told) == len(set(told)) == number
                    assert all(len(page["items"]) == 4 for page in pages[:-1])
                for asked, status in (
                    ({"limit": 1001}, 422),
                    ({"after": "7"}, 422),
                    ({"after": "1-9999-0"}, 410),
                ):
                    answer = await api.get("/v1/routes", params=asked)
                    assert (answer.status_code, bool(answer.json())) == (status, True), asked

    asyncio.run(story())


def test_links_keep_their_ends_while_a_node_arrives(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh, client(mesh) as api:
            members = [await mesh.join(name, relay=True) for name in ("a", "b", "k")]
            rtts_ms = {frozenset("ab"): 20, frozenset("ak"): 30, frozenset("bk"): 40}
            async with AsyncExitStack() as channels:
                for one in members:
                    channel = await channels.enter_async_context(agent(mesh.url, one))
                    await channel.hello()
                    others = (other for other in members if other is not one)
                    await channel.report(
                        *(sample(o.id, rtts_ms[frozenset((one.record.name, o.record.name))]) for o in others)
                    )
                while len((await api.get("/v1/routes")).json()["items"]) < 24:
                    await asyncio.sleep(0.1)
                await mesh.join("d", relay=True)
                links = (await api.get("/v1/links")).json()["items"]
                told = {(x["source"], x["destination"]): x["measuredRttMs"] for x in links}
                ends = [(a, b) for a in "abk" for b in "abk" if a != b]
                assert told == {(a, b): rtts_ms[frozenset((a, b))] for a, b in ends}

    asyncio.run(story())


async def explained(api: httpx.AsyncClient, src: str, dst: str, wanted: list[str]) -> dict[str, object]:
    """Ask until the primary is the wanted one: decisions take a second."""
    async with asyncio.timeout(120):
        while True:
            answer = await api.get("/v1/explain", params={"src": src, "dst": dst})
            if answer.status_code == 200 and answer.json()["candidates"][0]["path"] == wanted:
                return answer.json()
            await asyncio.sleep(0.1)


def test_the_matrix_shows_both_directions_and_history_who_changed_a_route(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh, client(mesh) as api:
            async with lossy_direct(mesh, loss_seen_by_b=0.0) as ((_, at_a), (b, _), (k, _)):
                await explained(api, "a", "b", wanted=["k", "b"])
                node = (await api.get("/v1/nodes/a")).json()
                assert node["status"]["uplinks"][0]["endpoint"] == "192.0.2.1:51900"
                rtt = (await api.get("/v1/links/matrix")).json()
                assert (rtt["schema"], rtt["nodes"]) == ("overlayd.link-matrix/1", ["a", "b", "k"])
                assert rtt["values"][0] == [None, pytest.approx(100, rel=0.03), pytest.approx(15, rel=0.03)]
                loss = (await api.get("/v1/links/matrix", params={"metric": "loss"})).json()["values"]
                assert loss[0][1] == loss[1][0] == pytest.approx(0.08, rel=0.03)
                await at_a.say(Switched(b.id, ClassId(0), (k.id, b.id), (b.id,), "engine", "dead"))
                history = await until_changed(api, "a", "b", 2)
                newest, oldest = history["items"][0], history["items"][-1]
                assert (newest["decider"], newest["after"], newest["reason"]) == ("engine", ["b"], "dead")
                assert (oldest["decider"], oldest["after"], oldest["class"]) == (
                    "controller",
                    ["k", "b"],
                    "interactive",
                )

    asyncio.run(story())


def test_others_are_answered_while_the_history_of_a_route_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, answered, in_time = threading.Event(), threading.Event(), list[bool]()
    history = Store.history

    def slow(*asked: Any) -> Sequence[RouteEvent]:
        reading.set()
        in_time.append(answered.wait(5))
        return history(*asked)

    async def story() -> None:
        async with controller(tmp_path) as mesh, client(mesh) as api:
            a, b = [await mesh.join(name) for name in ("a", "b")]
            async with agent(mesh.url, a) as at_a, agent(mesh.url, b) as at_b:
                for one, other in ((at_a, b), (at_b, a)):
                    await one.hello()
                    await one.report(sample(other.id, 20))
                await explained(api, "a", "b", wanted=["b"])
                monkeypatch.setattr(Store, "history", slow)
                asked = asyncio.create_task(api.get("/v1/explain", params={"src": "a", "dst": "b"}))
                while not reading.is_set():
                    await asyncio.sleep(0.01)
                assert (await api.get("/healthz")).status_code == 200
                answered.set()
                assert (await asked).json()["candidates"][0]["path"] == ["b"]
                assert in_time == [True]

    asyncio.run(story())


async def until_changed(api: httpx.AsyncClient, src: str, dst: str, number: int) -> dict[str, Any]:
    """Ask for the history of a route's first class until it has so many changes."""
    async with asyncio.timeout(120):
        while True:
            asked = {"src": src, "dst": dst, "class": "0"}
            document = (await api.get("/v1/routes/history", params=asked)).json()
            if len(document["items"]) >= number:
                return document
            await asyncio.sleep(0.1)


def test_the_past_is_asked_for_by_a_time_and_told_by_the_frame_before_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh, client(mesh) as api:
            archive = mesh.running.service.archive
            codes = np.full((9, 1, 1), 100, np.uint8)
            archive.record(1_700_000_000.0, LinkFrame((NodeId(77),), codes))
            for moment in ("2023-11-14T22:13:20Z", "1700000010", "2023-11-14T23:13:25.5+01:00"):
                document = (await api.get("/v1/links/matrix", params={"at": moment})).json()
                assert (document["at"], document["nodes"]) == ("2023-11-14T22:13:20Z", ["#77"]), moment
            answer = await api.get("/v1/links/matrix", params={"at": "2020-01-01T00:00:00Z"})
            assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
            answer = await api.get("/v1/links/matrix", params={"at": "yesterday"})
            assert answer.status_code == 422 and "is no time" in answer.json()["problem"]

    asyncio.run(story())


def test_a_choice_of_the_past_is_explained_with_the_figures_it_was_made_with(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh, client(mesh) as api:
            async with lossy_direct(mesh) as ((a, at_a), _, (k, at_k)):
                before = await explained(api, "a", "b", wanted=["k", "b"])
                asked = {"src": "a", "dst": "b", "at": str(time.time())}
                await asyncio.sleep(1.1)
                for one, peer in ((at_a, k), (at_k, a)):
                    await one.report(silent(peer.id), urgent=True)
                await explained(api, "a", "b", wanted=["b"])
                past = await until_kept(api, asked)
                for key in ("reason", "decidedAt", "class"):
                    assert past[key] == before[key], key
                assert past["candidates"][0]["path"] == ["k", "b"]
                assert past["candidates"][0]["measuredRttMs"] == 30
                assert past["history"][0]["after"] == ["k", "b"]
                for wrong, said in (
                    ({"at": "2020-01-01T00:00:00Z"}, "no decision is kept"),
                    ({"src": "x"}, "there was no node named 'x'"),
                ):
                    answer = await api.get("/v1/explain", params=asked | wrong)
                    assert answer.status_code == 404 and said in answer.json()["problem"]

    asyncio.run(story())


async def until_kept(api: httpx.AsyncClient, asked: dict[str, str]) -> dict[str, Any]:
    """Ask until the decision of that time is in the store."""
    async with asyncio.timeout(120):
        while True:
            answer = await api.get("/v1/explain", params=asked)
            if answer.status_code == 200 and answer.json()["candidates"][0]["path"] == ["k", "b"]:
                return answer.json()
            await asyncio.sleep(0.1)
