"""The unit and a controller that really runs: pods placed, told of, cut off, taken up again, deleted."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from controller.orchestration.serving.channel import LogFailed, Session
from overlayd.daemon.state import AgentState, Membership
from overlayd.model.lease import LEASE_S
from overlayd.protocol.workload import LogRequest
from overlayd.workload.messages import LEASE
from tests.controller.orchestration.pods import World, world

PATIENCE_S = 60.0
PODS = "/api/v1/namespaces/default/pods"


async def soon(what: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(PATIENCE_S):
        while not (found := await what()):
            await asyncio.sleep(0.05)
        return found


class Node:
    """The host ``paris`` and its unit, a process of its own."""

    def __init__(self, folder: Path, here: World) -> None:
        self.folder = folder
        self._file = folder / "overlayd.toml"
        self._file.write_text(
            f'[node]\nstate_dir = "{folder}"\nruntime_dir = "{folder}/run"\n'
            '[[uplink]]\nname = "u"\naddress = "127.0.0.1"\n'
            f'[workload]\nserver = "127.0.0.1:{here.port}"\ndocker = ""\nlabels = ["disk=ssd"]\n'
        )

    @classmethod
    async def joined(cls, tmp_path: Path, here: World) -> "Node":
        identity = await here.join("paris")
        folder = tmp_path / "node"
        folder.mkdir()
        here.agent("paris").rename(folder / "agent")
        joined = identity.joined
        AgentState(folder / "agent").save_membership(
            Membership(f"wss://127.0.0.1:{here.port}", joined.signer, joined.record)
        )
        return cls(folder, here)

    @asynccontextmanager
    async def unit(self) -> AsyncGenerator[None]:
        """One life, which ends with kill -9."""
        command = [sys.executable, "-m", "overlayd.cli.daemon", "workload", "--config", str(self._file)]
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(command, stderr=log)
        try:
            yield
        finally:
            process.kill()
            await asyncio.to_thread(process.wait)

    def log(self) -> str:
        """What all its lives have said."""
        return (self.folder / "log").read_text()

    def runs(self) -> dict[str, Any]:
        """What keepers said, by pod's uid and attempt."""
        files = self.folder.glob("workload/pods/*/main/*/run.json")
        return {f"{one.parts[-4]}/{one.parts[-2]}": json.loads(one.read_bytes()) for one in files}

    def end_all(self) -> None:
        """As a reboot would."""
        for file in self.folder.glob("workload/pods/*/main/*/run.json"):
            if not (file.parent / "exit.json").exists():
                os.kill(json.loads(file.read_bytes())["keeper"], signal.SIGUSR1)


async def make(here: World, name: str, command: str, **annotations: str) -> dict[str, Any]:
    spec = {"nodeName": "paris", "containers": [{"name": "main", "command": ["sh", "-c", command]}]}
    meta = {"name": name, "finalizers": ["overlayd.io/workload"], "annotations": annotations}
    answer = await here.admin.post(PODS, json={"metadata": meta, "spec": spec})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def container(here: World, name: str) -> Any:
    status = (await here.pod(name)).get("status") or {}
    return next(iter(status.get("containerStatuses", ())), None)


async def log_of(here: World, uid: str, container: str, **options: bool) -> bytes:
    """What the controller is given when somebody asks for a log."""
    session = here.nodes.presence.session("paris")
    assert isinstance(session, Session)
    log = session.read(LogRequest(session.next_log(), uid, container, **options))
    return b"".join([data async for data in log])


async def is_ready(here: World, name: str) -> bool:
    found = await container(here, name)
    return found is not None and found["ready"]


def test_a_placed_pod_runs_is_told_of_outlives_all_and_goes_when_it_is_deleted(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as here:
            node = await Node.joined(tmp_path, here)
            async with node.unit():
                made = await make(here, "a", "echo up; exec sleep 1000")
                await soon(lambda: is_ready(here, "a"))
                assert (await here.pod("a"))["status"]["phase"] == "Running"

                async def known() -> bool:
                    return (await here.node("paris"))["metadata"].get("labels", {}).get("disk") == "ssd"

                await soon(known)

                async def said() -> bool:
                    return await log_of(here, made["metadata"]["uid"], "main", timestamps=False) == b"up\n"

                await soon(said)
                stamped = await log_of(here, made["metadata"]["uid"], "main", timestamps=True)
                assert stamped.startswith(b"20") and stamped.endswith(b"Z up\n")
                with pytest.raises(LogFailed, match="'nosuch' has not been started"):
                    await log_of(here, made["metadata"]["uid"], "nosuch")
            before = node.runs()
            assert len(before) == 1
        # The controller is gone, and so is the unit; that comes back alone, the second time after a reboot.
        told = len(node.log())
        async with node.unit():

            async def alone() -> bool:
                return "the controller's channel is closed" in node.log()[told:]

            await soon(alone)
            assert node.runs() == before, "what ran goes on"
        node.end_all()
        async with node.unit():

            async def again() -> bool:
                return len(node.runs()) == 2

            await soon(again)
            after = node.runs()
            async with world(tmp_path, port=here.port) as back:

                async def told() -> bool:
                    found = await container(back, "a")
                    return found["ready"] and found["restartCount"] == 1

                await soon(told)
                assert node.runs() == after, "nothing starts anew when the controller is back"
                assert (await container(back, "a"))["lastState"]["terminated"]["exitCode"] == 137
                await back.admin.delete(f"{PODS}/a")

                async def gone() -> bool:
                    return (await back.admin.get(f"{PODS}/a")).status_code == 404

                await soon(gone)
                assert node.runs() == {}
                events = (await back.admin.get("/api/v1/namespaces/default/events")).json()["items"]
                assert {"Started", "Killing"} <= {one["reason"] for one in events}

    asyncio.run(scenario())


def test_a_pod_with_a_lease_runs_once_it_is_named_and_its_keeper_knows_until_when(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as here:
            node = await Node.joined(tmp_path, here)
            here.nodes.answer = lambda name, now_ns: ()
            async with node.unit():
                made = await make(here, "one", "exec sleep 1000", **{LEASE: str(LEASE_S)})
                uid = made["metadata"]["uid"]

                async def waits() -> bool:
                    return ((await here.pod("one")).get("status") or {}).get("reason") == "NoLease"

                await soon(waits)
                assert node.runs() == {}
                here.nodes.answer = lambda name, now_ns: (uid,)
                await soon(lambda: is_ready(here, "one"))
                lease = node.folder / "run/workload/leases" / uid
                first = int(lease.read_text())

                async def extended() -> bool:
                    return int(lease.read_text()) > first

                await soon(extended)
                await here.admin.delete(f"{PODS}/one")

                async def gone() -> bool:
                    return (await here.admin.get(f"{PODS}/one")).status_code == 404

                await soon(gone)

    asyncio.run(scenario())


def test_traffic_that_cannot_be_carried_stops_no_pod(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as here:
            node = await Node.joined(tmp_path, here)
            (node.folder / "traffic").touch()  # where its folder should be
            async with node.unit():
                await make(here, "a", "exec sleep 1000")
                await soon(lambda: is_ready(here, "a"))

                async def told() -> bool:
                    return "traffic is not carried" in node.log()

                await soon(told)
                assert await is_ready(here, "a")
            node.end_all()

    asyncio.run(scenario())
