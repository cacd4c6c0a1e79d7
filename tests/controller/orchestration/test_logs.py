"""The log of a pod, as ``kubectl logs`` asks for it and is told."""

import asyncio
import time
from pathlib import Path

from tests.controller.orchestration.a_node import node
from tests.controller.orchestration.pods import World, until, world

LOG = "/api/v1/namespaces/default/pods/web/log"


async def _problem(here: World, code: int, **query: str) -> str:
    answer = await here.admin.get(LOG, params=query)
    assert answer.status_code == code, answer.text
    assert answer.json()["kind"] == "Status" and answer.json()["code"] == code
    return answer.json()["message"]


def test_a_log_is_read_on_its_node(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as here:
            await here.join("paris")
            pod = await here.make_pod("web", "paris")
            async with node(here, "paris") as it:
                it.logs["main"] = [b"one\n", b"two\n"]
                answer = await here.admin.get(LOG, headers={"accept": "application/json, */*"})
                assert answer.text == "one\ntwo\n" and answer.headers["content-type"].startswith("text/plain")
                (asked,) = it.asked
                assert (asked.pod, asked.container) == (pod["metadata"]["uid"], "main")
                assert (asked.follow, asked.tail_lines, asked.since_seconds, asked.timestamps) == (
                    False,
                    None,
                    None,
                    False,
                )
                asked_s = int(time.time())
                moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(asked_s - 60))
                said = await here.admin.get(
                    LOG,
                    params={
                        "container": "main",
                        "tailLines": "0",
                        "sinceTime": moment,
                        "timestamps": "true",
                        "previous": "true",
                        "limitBytes": "5",
                    },
                )
                assert said.text == "one\nt"
                asked = it.asked[-1]
                assert (asked.tail_lines, asked.timestamps, asked.previous) == (0, True, True)
                assert asked.since_seconds is not None
                assert 60 <= asked.since_seconds <= 60 + time.time() - asked_s

    asyncio.run(scenario())


def test_a_log_that_is_followed_comes_at_once_and_ends_with_its_reader(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as here:
            await here.join("paris")
            await here.make_pod("web", "paris")
            async with node(here, "paris") as it:
                it.logs["main"] = [b"one\n"]
                async with here.admin.stream("GET", LOG, params={"follow": "true"}) as answer:
                    assert await anext(answer.aiter_text()) == "one\n"
                    assert it.asked[0].follow and it.reading == 1
                await until(lambda: it.reading == 0)

    asyncio.run(scenario())


def test_what_stands_in_the_way_of_a_log_is_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as here:
            await here.join("paris")
            assert "not found" in await _problem(here, 404)
            await here.make_pod("web", "paris")
            assert 'node "paris" is not connected' in await _problem(here, 503)
            assert await _problem(here, 400, container="x") == "container x is not valid for pod web"
            assert "strconv.ParseInt" in await _problem(here, 400, tailLines="many")
            assert "tailLines: Invalid value: -1" in await _problem(here, 422, tailLines="-1")
            both = {"sinceSeconds": "1", "sinceTime": "2026-05-04T12:00:00Z"}
            assert "at most one of" in await _problem(here, 422, **both)
            async with node(here, "paris"):
                assert await _problem(here, 400) == "container main has not started"
            two = {"nodeName": "", "containers": [{"name": "a"}, {"name": "b"}]}
            pods = "/api/v1/namespaces/default/pods"
            await here.admin.post(pods, json={"metadata": {"name": "two"}, "spec": two})
            several = await here.admin.get(f"{pods}/two/log")
            assert several.json()["message"].endswith("choose one of: [a b]")
            nowhere = await here.admin.get(f"{pods}/two/log", params={"container": "a"})
            assert nowhere.json()["message"] == "pod two does not have a host assigned"
            assert (await here.admin.put(LOG, json={})).status_code == 405
            assert (await here.admin.get("/api/v1/namespaces/default/log")).status_code == 404

    asyncio.run(scenario())


def test_a_log_that_breaks_off_says_so_at_its_end(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as here:
            await here.join("paris")
            await here.make_pod("web", "paris")
            async with node(here, "paris") as it:
                it.logs["main"] = [b"one"]
                async with here.admin.stream("GET", LOG, params={"follow": "1"}) as answer:
                    parts = answer.aiter_text()
                    assert await anext(parts) == "one"
                    session = here.nodes.presence.session("paris")
                    assert session is not None
                    session.close(1001, "away")
                    rest = "".join([part async for part in parts])
                    assert rest == "\nthe log breaks off: the node's channel ended\n"

    asyncio.run(scenario())
