"""What a node asks of the controller's API, against a controller that really runs."""

import asyncio
import contextlib
import random
import sqlite3
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from controller.orchestration.store.database import FILE_NAME
from overlayd.protocol.pod import Condition, ContainerStatus, Pod, PodStatus
from overlayd.workload.api import Api
from overlayd.workload.credentials import Credentials
from overlayd.workload.errors import Refused, Unreachable
from tests.controller.orchestration.pods import World, world

STEERINGS = "/apis/overlayd.io/v1/steerings"


@asynccontextmanager
async def api_of(here: World, name: str) -> AsyncIterator[Api]:
    credentials = Credentials(here.agent(name))
    async with Api(here.url, credentials, name, random.Random(1), spread_s=0.02) as api:
        yield api


def names(pods: tuple[Pod, ...]) -> list[str]:
    return [pod.metadata.name for pod in pods]


async def pods_until(pods: AsyncGenerator[tuple[Pod, ...]], wanted: list[str]) -> tuple[Pod, ...]:
    """Follow until there are just these, told once each change."""
    async with asyncio.timeout(120):
        async for found in pods:
            if names(found) == wanted:
                return found
    raise AssertionError("it ended")


def test_a_node_follows_its_pods(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as here:
            await here.join("paris")
            await here.make_pod("a", "paris")
            await here.make_pod("elsewhere", "oslo")
            async with api_of(here, "paris") as api:
                pods = api.pods()
                assert names(await anext(pods)) == ["a"]
                await here.make_pod("b", "paris")
                assert names(await anext(pods)) == ["a", "b"]
                await here.admin.delete("/api/v1/namespaces/default/pods/a")
                (a, _) = await anext(pods)
                assert a.deleting()
                await api.release(a)
                assert names(await anext(pods)) == ["b"]
                await api.release(a)  # gone already: nothing to do
                await pods.aclose()

    asyncio.run(scenario())


@pytest.mark.parametrize("history", ["kept", "lost"])
def test_a_controller_that_was_away_is_taken_up_again(tmp_path: Path, history: str) -> None:
    """Where it was left or, where that is no longer known, from a new list."""

    async def scenario() -> None:
        async with world(tmp_path) as here:
            await here.join("paris")
            await here.make_pod("a", "paris")
            credentials = Credentials(here.agent("paris"))
            api = await Api(here.url, credentials, "paris", random.Random(1), spread_s=0.02).__aenter__()
            pods = api.pods()
            assert names(await anext(pods)) == ["a"]
        following = asyncio.create_task(pods_until(pods, ["a", "b"]))
        await asyncio.sleep(0.3)
        assert not following.done()
        if history == "lost":
            with contextlib.closing(sqlite3.connect(tmp_path / "state" / FILE_NAME)) as database, database:
                database.execute("UPDATE position SET version = version + 100, oldest = version + 100")
        async with world(tmp_path, port=here.port) as again:
            await again.make_pod("b", "paris")
            await following
        await pods.aclose()
        await api.__aexit__(None, None, None)

    asyncio.run(scenario())


def test_a_status_is_written_whole(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as here:
            await here.join("paris")
            await here.make_pod("a", "paris")
            async with api_of(here, "paris") as api:
                pods = api.pods()
                (pod,) = await anext(pods)
                waiting = PodStatus(phase="Pending", reason="NoImage", message="no such image")
                await api.patch_status(pod, waiting)
                assert (await here.pod("a"))["status"] == {
                    "phase": "Pending", "reason": "NoImage", "message": "no such image"}  # fmt: skip
                ready = Condition("Ready", "True", "2026-05-04T12:00:00Z")
                container = ContainerStatus(name="main", ready=True)
                running = PodStatus(phase="Running", conditions=(ready,), container_statuses=(container,))
                await api.patch_status(pod, running)
                status = (await here.pod("a"))["status"]
                assert status["phase"] == "Running" and "reason" not in status and "message" not in status
                assert status["containerStatuses"][0]["ready"] is True
                await pods.aclose()

    asyncio.run(scenario())


def test_another_pod_of_the_same_name_is_not_touched(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as here:
            await here.join("paris")
            await here.make_pod("a", "paris", finalizers=[])
            async with api_of(here, "paris") as api:
                pods = api.pods()
                (old,) = await anext(pods)
                await here.admin.delete("/api/v1/namespaces/default/pods/a")
                await here.make_pod("a", "paris")
                with pytest.raises(Refused) as refused:
                    await api.patch_status(old, PodStatus(phase="Failed"))
                assert refused.value.code == 409
                await api.release(old)
                assert (await here.pod("a"))["metadata"]["finalizers"] == ["overlayd.io/workload"]
                await pods.aclose()

    asyncio.run(scenario())


def test_events_steering_and_what_stands_in_the_way(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as here:
            await here.join("paris")
            await here.make_pod("a", "paris")
            async with api_of(here, "paris") as api:
                pods, steering = api.pods(), api.steering()
                (pod,) = await anext(pods)
                await api.happened(pod, "Warning", "BackOff", "it ended with 1", time.time())
                (event,) = (await here.admin.get("/api/v1/events")).json()["items"]
                assert (
                    event["message"] == "it ended with 1"
                    and event["involvedObject"]["uid"] == pod.metadata.uid
                )
                assert await anext(steering) is None
                await here.admin.post(STEERINGS, json={"metadata": {"name": "paris"}, "spec": {}})
                assert (await anext(steering)) is not None
                await pods.aclose()
                await steering.aclose()
            absent = Api(here.url, Credentials(tmp_path / "nowhere"), "paris", random.Random(1))
            async with absent:
                with pytest.raises(Unreachable, match="no member of a network"):
                    await absent.patch_status(pod, PodStatus())
            nobody = Api("https://127.0.0.1:1", Credentials(here.agent("paris")), "paris", random.Random(1))
            async with nobody:
                with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1"):
                    await nobody.patch_status(pod, PodStatus())

    asyncio.run(scenario())
