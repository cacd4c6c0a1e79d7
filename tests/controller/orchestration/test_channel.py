"""The channel between a node and the controller, both as they are: what is told, what is answered, logs."""

import asyncio
import ssl
from pathlib import Path

import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from controller.config import NodeSection
from controller.orchestration.serving.channel import LogFailed, NodeLog, Session
from overlayd.protocol.workload import (
    LOG_CHUNK_BYTES,
    LOG_WINDOW,
    PATH,
    SUBPROTOCOL,
    Demand,
    LogRequest,
    Wanted,
)
from overlayd.workload.channel import Answered, Closed, Opened
from tests.controller.orchestration.a_node import REPORT, node
from tests.controller.orchestration.pods import World, until, world


def test_what_a_node_reports_stands_in_its_object_and_stays_while_it_is_away(tmp_path: Path) -> None:
    async def workloads(here: World, status: str) -> dict[str, str]:
        for _ in range(2400):
            shown = await here.node("paris")
            conditions = shown["status"].get("conditions", []) if "spec" in shown else []
            found = [one for one in conditions if one["type"] == "Workloads"]
            if found and found[0]["status"] == status:
                return found[0]
            await asyncio.sleep(0.05)
        raise AssertionError(f"never {status}")

    async def scenario() -> None:
        given = NodeSection(
            region="eu", labels={"overlayd.io/cloud": "true", "site": "ours", "no label": "x"}
        )
        async with world(tmp_path, nodes={"paris": given}) as here:
            await here.join("paris")
            async with node(here, "paris"):
                opened = await workloads(here, "True")
                shown = await here.node("paris")
                capacity = {"cpuMilli": 4000, "memoryBytes": 8 << 30, "diskBytes": 100 << 30}
                assert shown["status"]["capacity"] == {**capacity, "devices": {"gpu": 1}}
                assert shown["status"]["runtimes"] == REPORT.runtimes
                assert shown["metadata"]["labels"] == {
                    "site": "ours",  # the operator's word goes before the node's
                    "rack": "7",
                    "overlayd.io/cloud": "true",
                    "kubernetes.io/hostname": "paris",
                    "topology.kubernetes.io/region": "eu",
                }
                assert shown["spec"]["taints"] == [{"key": "edge", "value": "yes", "effect": "NoSchedule"}]
                assert opened["reason"] == "ChannelOpen"
            assert (await workloads(here, "False"))["reason"] == "ChannelClosed"
        async with world(tmp_path) as here:  # the controller began anew
            await workloads(here, "False")
            again = await here.node("paris")
            assert again["status"]["runtimes"] == REPORT.runtimes and again["spec"]["taints"]
            assert again["metadata"]["labels"]["rack"] == "7"
            assert "overlayd.io/cloud" not in again["metadata"]["labels"]  # it is no longer given

    asyncio.run(scenario())


def test_a_sign_of_life_is_answered_with_the_pods_that_may_go_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as here:
            await here.join("paris")
            here.nodes.answer = lambda name, _: (f"pod-of-{name}",)
            async with node(here, "paris") as it:
                await until(lambda: Answered() in it.told)
                first = it.leases.named["pod-of-paris"]
                it.channel.alive_now()
                await until(lambda: it.leases.named["pod-of-paris"] > first)

    asyncio.run(scenario())


def test_what_fails_here_ends_the_channel_and_is_told_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> tuple[str, ...]:
        raise LookupError("nobody knows")

    async def scenario() -> None:
        async with world(tmp_path) as here:
            await here.join("paris")
            answer, here.nodes.answer = here.nodes.answer, fails
            async with node(here, "paris") as it:
                await until(lambda: any(isinstance(said, Closed) for said in it.told))
                here.nodes.answer = answer
                await until(lambda: Answered() in it.told)

    asyncio.run(scenario())
    assert "LookupError: nobody knows" in caplog.text


def test_what_is_asked_for_reaches_who_listens(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as here:
            await here.join("paris")
            heard: list[tuple[str, object]] = []
            here.nodes.presence.listen(lambda name, said: heard.append((name, said)))
            async with node(here, "paris") as it:
                demand = Demand(10.0, ())
                it.channel.say(Wanted("default/qc"))
                it.channel.say(demand)
                await until(lambda: len(heard) == 3)
                assert heard == [("paris", REPORT), ("paris", Wanted("default/qc")), ("paris", demand)]

    asyncio.run(scenario())


def test_a_channel_that_was_lost_opens_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as here:
            await here.join("paris")
            async with node(here, "paris") as it:
                session = here.nodes.presence.session("paris")
                assert session is not None
                session.close(1001, "for a moment")
                await until(lambda: Closed("for a moment") in it.told and it.told.count(Opened()) == 2)
                await until(lambda: here.nodes.presence.session("paris") not in (None, session))

    asyncio.run(scenario())


def test_a_node_that_is_removed_loses_its_channel_and_does_not_get_it_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as here:
            identity = await here.join("paris")
            async with node(here, "paris") as it:
                here.running.service.remove(identity.id, "stolen")
                closed = await until(
                    lambda: [said.why for said in it.told if isinstance(said, Closed)] or None
                )
                assert "removed" in closed[0]
                await until(lambda: any(isinstance(s, Closed) and "401" in s.why for s in it.told) or None)
                assert not here.nodes.presence.connected("paris")

    asyncio.run(scenario())


@pytest.mark.parametrize("said", ["{}", "nonsense", b"\x00", '{"type":"alive","sequence":1}'])
def test_what_is_no_message_ends_its_channel_alone(tmp_path: Path, said: str | bytes) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as here:
            paris, oslo = await here.join("paris"), await here.join("oslo")
            url = here.url.replace("https", "wss") + PATH
            subprotocols = [Subprotocol(SUBPROTOCOL)]
            async with (
                connect(url, ssl=paris.context(), subprotocols=subprotocols) as channel,
                connect(url, ssl=oslo.context(), subprotocols=subprotocols) as other,
            ):
                await other.send(msgspec.json.encode(REPORT).decode())
                await channel.send(said)
                with pytest.raises(ConnectionClosed) as ended:
                    await channel.recv()
                assert ended.value.rcvd is not None and ended.value.rcvd.code == 1008
                await other.send('{"type":"alive","sequence":7,"later":"unknown"}')
                assert msgspec.json.decode(await other.recv()) == {"type": "lease", "sequence": 7, "pods": []}

    asyncio.run(scenario())


def test_a_channel_is_for_nodes_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as here:
            identity = await here.join("paris")
            token = here.running.service.state.admin_token
            trust = here.running.service.trust_pem
            nobody = ssl.create_default_context(cadata=trust)
            url = here.url.replace("https", "wss")
            for context, path, headers, code in (
                (nobody, PATH, {}, 401),
                (nobody, PATH, {"authorization": f"Bearer {token}"}, 403),
                (identity.context(), "/api/v1/pods", {}, 403),
            ):
                with pytest.raises(InvalidStatus) as refused:
                    await connect(url + path, ssl=context, additional_headers=headers)
                assert refused.value.response.status_code == code
                assert b'"kind":"Status"' in refused.value.response.body

    asyncio.run(scenario())


def _asked(here: World, container: str, **options: bool) -> NodeLog:
    session = here.nodes.presence.session("paris")
    assert isinstance(session, Session)
    return session.read(LogRequest(session.next_log(), "uid", container, **options))


def test_a_log_comes_whole_and_no_faster_than_it_is_read(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as here:
            await here.join("paris")
            async with node(here, "paris") as it:
                it.logs["main"] = [bytes([number % 251]) * (LOG_CHUNK_BYTES * 3 // 2) for number in range(80)]
                whole = b"".join(it.logs["main"])
                log = _asked(here, "main")
                await asyncio.sleep(0.5)  # as long as nobody reads, no more comes than the window
                assert log._waiting.qsize() <= LOG_WINDOW + 1
                assert b"".join([part async for part in log]) == whole
                assert it.reading == 0

    asyncio.run(scenario())


def test_a_log_that_is_followed_ends_when_nobody_reads_it_any_more(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as here:
            await here.join("paris")
            async with node(here, "paris") as it:
                it.logs["main"] = [b"a\n"]
                log = _asked(here, "main", follow=True)
                assert [await anext(log) for _ in range(2)] == [b"", b"a\n"]
                assert it.reading == 1
                log.close()
                await until(lambda: it.reading == 0)

    asyncio.run(scenario())


def test_a_log_that_is_not_there_or_breaks_off_says_why(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as here:
            await here.join("paris")
            async with node(here, "paris") as it:
                with pytest.raises(LogFailed, match="container none has not started"):
                    await anext(_asked(here, "none"))
                it.logs["main"] = [b"a\n"]
                log = _asked(here, "main", follow=True)
                assert [await anext(log) for _ in range(2)] == [b"", b"a\n"]
                session = here.nodes.presence.session("paris")
                assert session is not None
                session.close(1001, "away")
                with pytest.raises(LogFailed, match="channel ended"):
                    await anext(log)

    asyncio.run(scenario())
