"""Containers of pods, told to an Engine of the test's own; `make test-workload` asks a real one."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from overlayd.protocol.pod import DIGEST, Pod
from overlayd.workload.containers import Containers
from overlayd.workload.errors import LogProblem
from overlayd.workload.images import Images
from overlayd.workload.launching import Direct
from overlayd.workload.logs import LogOptions
from overlayd.workload.messages import (
    Event,
    Found,
    Lost,
    NotStarted,
    PodUid,
    RunId,
    Start,
    Started,
    Stop,
    Stopped,
)
from overlayd.workload.volumes import Volumes
from tests.overlayd.workload.engine_socket import FakeEngine
from tests.overlayd.workload.pods import main_of, pod
from tests.overlayd.workload.test_processes import Seen

HERE = {"name": "main", "image": "here:1", "command": ["serve", "$(PORT)"]}
PORTS = [{"name": "web", "containerPort": 80, "hostPort": 20001}]


class Node:
    """A runtime of containers, and what it tells. ``guarded``: process ids that were handed to a guard."""

    def __init__(self, folder: Path, *, keep_s: float = 3600.0) -> None:
        self.seen = Seen()
        self.guarded: list[int] = []
        self.images = Images(folder / "images.json", keep_s)
        volumes = Volumes(folder / "volumes", folder / "memory", Direct(folder).execute)
        self.containers = Containers(
            folder / "docker.sock",
            "ours",
            volumes,
            self.images,
            "100.127.0.1",
            self.seen.events.append,
            self._guard,
        )

    async def _guard(self, start: Start, pid: int) -> None:
        self.guarded.append(pid)

    async def of_kind(self, kind: type[Any]) -> Any:
        """Return the next event of a kind; that something has ended may be told twice."""
        while isinstance(self.seen.events[0] if self.seen.events else None, Stopped) and kind is not Stopped:
            self.seen.events.pop(0)
        return await self.seen.next(kind)

    async def starts(self, wanted: Pod, attempt: int = 0, kind: type[Any] = Started) -> Any:
        for container in wanted.spec.containers:
            await self.containers.start(Start(wanted, container, attempt, "d1"))
            event: Event = await self.of_kind(kind)
        return event


@asynccontextmanager
async def node(folder: Path, **more: Any) -> AsyncGenerator[Node]:
    made = Node(folder, **more)
    task = asyncio.create_task(made.containers.run())
    try:
        yield made
    finally:
        task.cancel()


def of(*containers: dict[str, Any], **spec: Any) -> Pod:
    return pod(meta={"annotations": {DIGEST: "d1"}}, containers=list(containers), **spec)


def test_a_container_is_started_as_the_pod_says_and_found_again(tmp_path: Path) -> None:
    engine = FakeEngine()
    wanted = of(
        HERE | {
            "ports": PORTS, "args": ["--fast"], "workingDir": "/srv",
            "resources": {"limits": {"memory": "64Mi", "cpu": "500m"}},
            "volumeMounts": [{"name": "v", "mountPath": "/data", "readOnly": True}],
        },
        volumes=[{"name": "v", "emptyDir": {}}],
    )  # fmt: skip

    async def run() -> None:
        async with engine.serving(tmp_path / "docker.sock"):
            async with node(tmp_path) as ours:
                assert (await ours.seen.next(Found)).runs == ()
                started = (await ours.starts(wanted)).run
                assert (started.address, started.runtime, ours.guarded) == ("172.17.0.2", "docker", [4242])
            async with node(tmp_path) as ours:
                assert (await ours.seen.next(Found)).runs == (started,)
                engine.ends("overlayd-uid-web-main-0", 9, oom=True)
                ended = (await ours.seen.next(Stopped)).ended
                assert (ended.code, ended.reason) == (9, "OOMKilled")

    asyncio.run(run())
    (config,) = engine.configs.values()
    host = config["HostConfig"]
    assert (config["Entrypoint"], config["Cmd"], config["WorkingDir"]) == (
        ["serve", "80"],
        ["--fast"],
        "/srv",
    )
    assert host["PortBindings"] == {"80/tcp": [{"HostIp": "100.127.0.1", "HostPort": "20001"}]}
    assert (host["Memory"], host["MemorySwap"], host["CpuQuota"], host["RestartPolicy"]) == (
        64 << 20, 64 << 20, 50_000, {"Name": "no"},
    )  # fmt: skip
    (mount,) = host["Mounts"]
    assert (mount["Target"], mount["ReadOnly"]) == ("/data", True)
    assert "PORT=80" in config["Env"] and "PORT_WEB=80" in config["Env"]


def test_containers_of_a_pod_share_the_network_of_one_more(tmp_path: Path) -> None:
    engine = FakeEngine()

    async def run() -> None:
        async with engine.serving(tmp_path / "docker.sock"), node(tmp_path) as ours:
            await ours.seen.next(Found)
            two = of(HERE | {"name": "a", "ports": PORTS}, HERE | {"name": "b"})
            await asyncio.gather(
                *(ours.containers.start(Start(two, one, 0, "d1")) for one in two.spec.containers)
            )
            for _ in range(2):
                assert (await ours.seen.next(Started)).run.address == "172.17.0.2"
            await ours.containers.remove(PodUid("uid-web"))
            assert engine.containers == {}

    asyncio.run(run())
    holder = engine.configs["overlayd-uid-web"]
    assert (holder["Image"], engine.loaded) == ("overlayd-pod:1", 1)
    assert list(holder["HostConfig"]["PortBindings"]) == ["80/tcp"]
    networks = {engine.configs[f"overlayd-uid-web-{one}-0"]["HostConfig"]["NetworkMode"] for one in "ab"}
    assert len(networks) == 1 and networks.pop().startswith("container:")


def test_containers_whose_network_has_ended_end_too(tmp_path: Path) -> None:
    engine = FakeEngine()
    two = of(HERE | {"name": "a"}, HERE | {"name": "b"})

    async def run() -> None:
        async with engine.serving(tmp_path / "docker.sock"):
            async with node(tmp_path) as ours:
                await ours.seen.next(Found)
                await ours.starts(two)
                engine.ends("overlayd-uid-web", 137)
                ended = {(await ours.seen.next(Stopped)).id.container for _ in range(2)}
                assert ended == {"a", "b"}
                await ours.starts(two, attempt=1)
                holder = engine.named("overlayd-uid-web")["Id"]
                modes = [
                    engine.named(f"overlayd-uid-web-{one}-1")["HostConfig"]["NetworkMode"] for one in "ab"
                ]
                assert modes == [f"container:{holder}"] * 2
            engine.ends("overlayd-uid-web", 137)
            async with node(tmp_path) as ours:
                runs = (await ours.seen.next(Found)).runs
                assert len(runs) == 4 and all(run.ended is not None for run in runs)

    asyncio.run(run())


def test_on_the_hosts_network_there_is_nothing_to_map(tmp_path: Path) -> None:
    engine = FakeEngine()

    async def run() -> None:
        async with engine.serving(tmp_path / "docker.sock"), node(tmp_path) as ours:
            await ours.seen.next(Found)
            run = (await ours.starts(of(HERE | {"ports": PORTS}, hostNetwork=True))).run
            assert run.address == "100.127.0.1"

    asyncio.run(run())
    (config,) = engine.configs.values()
    assert config["HostConfig"]["NetworkMode"] == "host" and "ExposedPorts" not in config


def test_an_image_is_pulled_only_if_it_is_not_here_and_its_absence_is_told(tmp_path: Path) -> None:
    engine = FakeEngine()
    engine.registry = {"far.example:5000/app:2"}

    async def run() -> None:
        async with engine.serving(tmp_path / "docker.sock"), node(tmp_path) as ours:
            await ours.seen.next(Found)
            await ours.starts(of(HERE))
            await ours.starts(of(HERE | {"image": "far.example:5000/app:2"}), 1)
            refused = await ours.starts(of(HERE | {"image": "nosuch:1"}), 2, NotStarted)
            assert refused.reason == "ErrImagePull"
            assert "nosuch:1: pull access denied" in refused.message

    asyncio.run(run())
    assert engine.pulls == ["far.example:5000/app:2", "nosuch:1"]


def test_what_does_not_start_is_told_and_leaves_nothing_behind(tmp_path: Path) -> None:
    engine = FakeEngine()
    engine.refuses = {"here:1": "bind for 100.127.0.1:20001 failed: port is already allocated"}

    async def run() -> None:
        async with engine.serving(tmp_path / "docker.sock"), node(tmp_path) as ours:
            await ours.seen.next(Found)
            refused = await ours.starts(of(HERE), 0, NotStarted)
            assert (refused.reason, "already allocated" in refused.message) == ("RunContainerError", True)
            assert engine.containers == {}
            bad = of(HERE | {"volumeMounts": [{"name": "v", "mountPath": "/x"}]}, volumes=[
                {"name": "v", "hostPath": {"path": "/nosuch"}}])  # fmt: skip
            assert (await ours.starts(bad, 0, NotStarted)).reason == "FailedMount"

    asyncio.run(run())


def test_containers_are_stopped_gently_or_at_once_and_the_end_is_told(tmp_path: Path) -> None:
    engine = FakeEngine()

    async def run() -> None:
        async with engine.serving(tmp_path / "docker.sock"), node(tmp_path) as ours:
            await ours.seen.next(Found)
            for attempt, (grace_s, code) in enumerate(((7.0, 143), (0.0, 137))):
                await ours.starts(of(HERE), attempt)
                await ours.containers.stop(Stop(main_of(), attempt, "docker", grace_s))
                assert (await ours.seen.next(Stopped)).ended.code == code
                ours.seen.events.clear()  # Docker has told of it as well
            await ours.containers.stop(Stop(main_of(), 1, "docker", 5))
            assert (await ours.seen.next(Stopped)).ended.code == 137, "it had ended already"

    asyncio.run(run())
    assert engine.stops == [("overlayd-uid-web-main-0", "7"), ("overlayd-uid-web-main-1", "kill")]


def test_this_run_and_the_one_before_are_kept_and_their_output_read(tmp_path: Path) -> None:
    engine = FakeEngine()

    async def run() -> list[str]:
        async with engine.serving(tmp_path / "docker.sock"), node(tmp_path) as ours:
            await ours.seen.next(Found)
            for attempt in range(3):
                await ours.starts(of(HERE), attempt)
            said: list[str] = []
            for options in (LogOptions(tail_lines=5, since_ns=1_500_000_000), LogOptions(previous=True)):
                log = await ours.containers.logs(main_of(), options)
                said.append(b"".join([data async for data in log]).decode())
            try:
                await ours.containers.logs(RunId(PodUid("uid-web"), "other"), LogOptions())
            except LogProblem as problem:
                said.append(str(problem))
            return said

    newest, before, none = asyncio.run(run())
    assert {one["Name"][-2:] for one in engine.containers.values()} == {"-1", "-2"}
    assert newest.startswith("overlayd-uid-web-main-2") and "('tail', '5')" in newest and "1.5" in newest
    assert before.startswith("overlayd-uid-web-main-1")
    assert none == "container 'other' has no run"


def test_docker_may_go_and_come_back(tmp_path: Path) -> None:
    engine = FakeEngine()
    socket = tmp_path / "docker.sock"

    async def run() -> None:
        async with node(tmp_path) as ours:
            lost = await ours.seen.next(Lost)
            assert lost.absent and str(socket) in lost.problem
            assert (await ours.starts(of(HERE), 0, NotStarted)).reason == "RunContainerError"
            assert await ours.containers.version() is None
            ours.seen.events.clear()
            async with engine.serving(socket):
                await ours.seen.next(Found)
                assert await ours.containers.version() == "20.10.24"
                await ours.starts(of(HERE))
            await ours.seen.next(Lost)
            engine.ends("overlayd-uid-web-main-0", 0)
            ours.seen.events.clear()
            async with engine.serving(socket):
                (found,) = (await ours.seen.next(Found)).runs
                assert found.ended is not None, "it ended while nobody looked"

    asyncio.run(run())


def test_only_what_was_pulled_here_and_is_of_no_use_for_long_is_removed(tmp_path: Path) -> None:
    engine = FakeEngine()
    engine.registry = {"used:1", "wanted:1", "old:1"}

    async def run() -> None:
        async with engine.serving(tmp_path / "docker.sock"), node(tmp_path, keep_s=100) as ours:
            await ours.seen.next(Found)
            for attempt, image in enumerate(("used:1", "wanted:1", "old:1")):
                await ours.starts(of(HERE | {"image": image}), attempt)
                if image != "used:1":
                    await ours.containers.stop(Stop(main_of(), attempt, "docker", 0))
                ours.seen.events.clear()
            for name in [one["Name"] for one in engine.containers.values()]:
                if not name.endswith("-0"):
                    del engine.containers[engine.named(name[1:])["Id"]]
            await ours.starts(of(HERE | {"image": "used:1"}), 0)
            now_s = time.time()
            await ours.containers.collect({"wanted:1"}, now_s + 50)
            assert engine.images >= {"used:1", "wanted:1", "old:1"}, "too early"
        async with engine.serving(tmp_path / "docker.sock"), node(tmp_path, keep_s=100) as ours:
            await ours.seen.next(Found)
            await ours.containers.collect({"wanted:1"}, now_s + 200)

    asyncio.run(run())
    assert engine.images == {"here:1", "used:1", "wanted:1"}
