"""Processes of pods, each with its keeper: real ones, started, lost sight of, found again, ended."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from overlayd.protocol.pod import DIGEST, Pod
from overlayd.workload.launching import Direct
from overlayd.workload.logs import LogOptions
from overlayd.workload.messages import (
    LEASE,
    Event,
    Found,
    NotStarted,
    PodUid,
    RunId,
    Start,
    Started,
    Stop,
    Stopped,
)
from overlayd.workload.processes import Processes
from overlayd.workload.volumes import Volumes
from tests.overlayd.workload.pods import pod

PATIENCE_S = 60.0


class Seen:
    """What a runtime has told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def next(self, kind: type[Any]) -> Any:
        """Return the next event, which is of a kind."""
        until = time.monotonic() + PATIENCE_S
        while not self.events:
            assert time.monotonic() < until, f"no {kind.__name__} came"
            await asyncio.sleep(0.01)
        event = self.events.pop(0)
        assert isinstance(event, kind), event
        return event


@asynccontextmanager
async def runtime(folder: Path) -> AsyncGenerator[tuple[Processes, Seen]]:
    """One life of the unit's runtime; what it started goes on after it."""
    seen = Seen()
    volumes = Volumes(folder / "volumes", folder / "memory", Direct(folder).execute)
    made = Processes(
        folder / "pods", Direct(folder), volumes, folder / "leases", "127.0.0.1", seen.events.append
    )
    task = asyncio.create_task(made.run())
    try:
        yield made, seen
    finally:
        task.cancel()
        made.close()


def command(script: str, attempt: int = 0, **more: Any) -> Start:
    wanted = running(["sh", "-c", script], **more)
    return Start(wanted, wanted.spec.containers[0], attempt, "d1")


def running(words: list[str], meta: dict[str, Any] | None = None, **more: Any) -> Pod:
    spec = {key: more.pop(key) for key in ("volumes", "terminationGracePeriodSeconds") if key in more}
    containers = [{"name": "main", "command": words, **more}]
    return pod(meta={"annotations": {DIGEST: "d1", **(meta or {})}}, containers=containers, **spec)


async def ended(folder: Path, start: Start) -> tuple[Stopped, str]:
    """Run what ends by itself; return its end and its output."""
    async with runtime(folder) as (processes, seen):
        await seen.next(Found)
        await processes.start(start)
        await seen.next(Started)
        stopped = await seen.next(Stopped)
        log = await processes.logs(start.id, LogOptions())
        return stopped, b"".join([data async for data in log]).decode()


def pids_of(folder: Path) -> dict[str, int]:
    (file,) = folder.glob("pods/*/*/*/run.json")
    return json.loads(file.read_text())


def is_gone(pid: int) -> bool:
    """Ended, if perhaps not buried: who did not start it cannot see to that."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def soon(what: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_output_and_exit_code_are_kept_and_what_it_leaves_behind_is_ended(tmp_path: Path) -> None:
    script = "echo out; echo err >&2; sleep 1000 & echo $! > $PIDFILE; printf 'no end'; exit 7"
    start = command(script, env=[{"name": "PIDFILE", "value": str(tmp_path / "pid")}])
    stopped, output = asyncio.run(ended(tmp_path, start))
    assert (stopped.ended.code, stopped.attempt) == (7, 0)
    assert sorted(output.splitlines()) == ["err", "no end", "out"]
    assert is_gone(int((tmp_path / "pid").read_text()))


def test_what_a_signal_ends_is_told_as_a_shell_does(tmp_path: Path) -> None:
    stopped, _ = asyncio.run(ended(tmp_path, command("kill -s SEGV $$$$")))
    assert stopped.ended.code == 128 + signal.SIGSEGV


def test_variables_directory_and_volumes_are_there(tmp_path: Path) -> None:
    (tmp_path / "secret").touch(mode=0o600)
    (tmp_path / "secret").write_text("hidden")
    place = tmp_path / "seen/at"
    start = command(
        f"pwd; echo $PORT $A; cat {place}/secret; touch {place}/secret || echo read-only",
        workingDir=str(tmp_path),
        env=[{"name": "A", "value": "$(POD_NAME)"}],
        ports=[{"containerPort": 80, "hostPort": 20001}],
        volumes=[{"name": "s", "secretFile": {"path": str(tmp_path / "secret")}}],
        volumeMounts=[{"name": "s", "mountPath": f"{place}/secret", "readOnly": True}],
    )
    _, output = asyncio.run(ended(tmp_path, start))
    assert output.splitlines()[:2] == [str(tmp_path), "20001 web"]
    assert "hidden" in output and "read-only" in output
    assert (place / "secret").read_text() == "", "the host itself sees only the place"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["/nosuch/program"], "/nosuch/program: No such file or directory"),
        ([], "neither an image nor a command"),
        (["/etc"], "/etc: Permission denied"),
    ],
)
def test_what_cannot_be_started_is_told_with_the_reason(
    tmp_path: Path, words: list[str], problem: str
) -> None:
    async def run() -> NotStarted:
        async with runtime(tmp_path) as (processes, seen):
            await seen.next(Found)
            wanted = running(words)
            await processes.start(Start(wanted, wanted.spec.containers[0], 0, "d1"))
            return await seen.next(NotStarted)

    assert problem in asyncio.run(run()).message


def test_a_process_is_found_again_after_the_unit_and_told_of_when_it_ends(tmp_path: Path) -> None:
    async def run() -> None:
        async with runtime(tmp_path) as (processes, seen):
            assert (await seen.next(Found)).runs == ()
            await processes.start(command("exec sleep 1000", attempt=2))
            before = (await seen.next(Started)).run
        async with runtime(tmp_path) as (processes, seen):
            (found,) = (await seen.next(Found)).runs
            assert found == before and found.ended is None
            assert (found.digest, found.attempt) == ("d1", 2)
            await processes.stop(Stop(found.id, found.attempt, "process", 20))
            assert (await seen.next(Stopped)).ended.code == 128 + signal.SIGTERM
        async with runtime(tmp_path) as (processes, seen):
            (found,) = (await seen.next(Found)).runs
            assert found.ended is not None and found.ended.code == 128 + signal.SIGTERM
            await processes.remove(PodUid("uid-web"))
            assert list((tmp_path / "pods").iterdir()) == []

    asyncio.run(run())


def test_who_does_not_listen_is_ended_after_the_grace_period_and_at_once_when_told(tmp_path: Path) -> None:
    async def run(grace_s: float) -> float:
        async with runtime(tmp_path) as (processes, seen):
            await seen.next(Found)
            await processes.start(command("trap '' TERM; echo deaf; while :; do sleep 0.05; done"))
            await seen.next(Started)
            log = await processes.logs(RunId(PodUid("uid-web"), "main"), LogOptions(follow=True))
            assert await anext(log) == b"deaf\n"
            await log.aclose()
            began = time.monotonic()
            await processes.stop(Stop(RunId(PodUid("uid-web"), "main"), 0, "process", grace_s))
            assert (await seen.next(Stopped)).ended.code == 128 + signal.SIGKILL
            return time.monotonic() - began

    assert asyncio.run(run(1.0)) >= 1.0
    assert asyncio.run(run(0)) < PATIENCE_S / 2


def test_a_killed_keeper_takes_its_process_along_and_is_told_of(tmp_path: Path) -> None:
    async def run() -> None:
        async with runtime(tmp_path) as (processes, seen):
            await seen.next(Found)
            await processes.start(command("exec sleep 1000"))
            await seen.next(Started)
            pids = pids_of(tmp_path)
            os.kill(pids["keeper"], signal.SIGKILL)
            stopped = await seen.next(Stopped)
            assert (stopped.ended.code, stopped.ended.reason) == (137, "Killed")
            soon(lambda: is_gone(pids["pid"]))

    asyncio.run(run())


def test_what_ran_before_a_reboot_has_ended_with_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with runtime(tmp_path) as (processes, seen):
            await seen.next(Found)
            await processes.start(command("exec sleep 1000"))
            await seen.next(Started)
        (file,) = tmp_path.glob("pods/*/*/*/run.json")
        said = json.loads(file.read_text())
        os.kill(said["keeper"], signal.SIGUSR1)
        soon(lambda: is_gone(said["keeper"]))
        next(tmp_path.glob("pods/*/*/*/exit.json")).unlink()
        # Its number is somebody else's now: this test's.
        file.write_text(json.dumps({**said, "boot": "before", "keeper": os.getpid()}))
        async with runtime(tmp_path) as (_, seen):
            (found,) = (await seen.next(Found)).runs
            assert found.ended is not None and found.ended.reason == "Rebooted"
        file.write_text(json.dumps({**said, "keeper": os.getpid()}))
        async with runtime(tmp_path) as (_, seen):
            (found,) = (await seen.next(Found)).runs
            assert found.ended is not None and found.ended.reason == "Killed"

    asyncio.run(run())


def test_a_lease_that_runs_out_ends_the_process_without_anybody_else(tmp_path: Path) -> None:
    (tmp_path / "leases").mkdir()
    lease = tmp_path / "leases/uid-web"
    now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    lease.write_text(str(now_ns + 3600 * 10**9))

    async def run() -> None:
        async with runtime(tmp_path) as (processes, seen):
            await seen.next(Found)
            await processes.start(command("exec sleep 1000", meta={LEASE: "30"}))
            await seen.next(Started)
        pids = pids_of(tmp_path)
        time.sleep(1.2)
        assert not is_gone(pids["pid"])
        ends_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + 3 * 10**9
        lease.write_text(str(ends_ns))
        soon(lambda: is_gone(pids["pid"]))
        soon(lambda: is_gone(pids["keeper"]))
        (ended,) = tmp_path.glob("pods/*/*/*/exit.json")
        assert json.loads(ended.read_text())["reason"] == "LeaseExpired"

    asyncio.run(run())


def test_the_run_before_is_kept_for_its_output_and_no_more(tmp_path: Path) -> None:
    async def run() -> str:
        async with runtime(tmp_path) as (processes, seen):
            await seen.next(Found)
            for attempt in range(3):
                await processes.start(command(f"echo {attempt}", attempt))
                await seen.next(Started)
                await seen.next(Stopped)
            log = await processes.logs(RunId(PodUid("uid-web"), "main"), LogOptions(previous=True))
            return b"".join([data async for data in log]).decode()

    assert asyncio.run(run()) == "1\n"
    assert sorted(one.name for one in (tmp_path / "pods/uid-web/main").iterdir()) == ["1", "2"]


def test_a_probe_s_command_runs_with_the_variables_of_the_process(tmp_path: Path) -> None:
    async def run() -> tuple[int, str]:
        async with runtime(tmp_path) as (processes, seen):
            await seen.next(Found)
            start = command("exec sleep 1000", env=[{"name": "A", "value": "b"}])
            await processes.start(start)
            await seen.next(Started)
            said = await processes.execute(start.id, 0, ("sh", "-c", "echo $A; exit 3"), 20)
            await processes.stop(Stop(start.id, 0, "process", 0))
            await seen.next(Stopped)
            return said

    assert asyncio.run(run()) == (3, "b\n")


def test_a_log_that_is_long_is_put_aside_and_still_read_whole(tmp_path: Path) -> None:
    lines = 12_000
    script = f"exec {sys.executable} -c \"for n in range({lines}): print(f'{{n:01000d}}')\""
    _, output = asyncio.run(ended(tmp_path, command(script)))
    assert [int(line) for line in output.splitlines()] == list(range(lines))
    assert len(list(tmp_path.glob("pods/*/*/*/log.1"))) == 1


def test_names_cannot_leave_the_folder(tmp_path: Path) -> None:
    async def run() -> str:
        async with runtime(tmp_path) as (processes, seen):
            await seen.next(Found)
            wanted = pod(meta={"uid": "../../outside"})
            await processes.start(Start(wanted, wanted.spec.containers[0], 0, "d1"))
            return (await seen.next(NotStarted)).message

    assert "is no name for a folder" in asyncio.run(run())
    assert list(tmp_path.parent.glob("outside*")) == []
