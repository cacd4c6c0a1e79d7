"""Supervision of two real processes: restarts, back-off, ends."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from overlayd.daemon import supervise
from overlayd.daemon.config import Configuration, UplinkSection, WorkloadSection
from overlayd.daemon.supervise import Child

BOUND_S = 60.0


def child(name: str, code: str) -> Child:
    return Child(name, [sys.executable, "-c", code])


def notes(file: Path, then: str) -> str:
    """A program that appends its pid to ``file``."""
    return f"import os, time, sys; open({str(file)!r}, 'a').write(f'{{os.getpid()}}\\n'); {then}"


async def pids(file: Path, count: int) -> list[int]:
    async with asyncio.timeout(BOUND_S):
        while not file.exists() or len(lines := file.read_text().split()) < count:
            await asyncio.sleep(0.02)
    return [int(line) for line in lines]


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def kill_the_agent(a: Path, b: Path) -> int:
    children = [child("engine", notes(a, "time.sleep(60)")), child("agent", notes(b, "time.sleep(60)"))]
    running = asyncio.create_task(supervise.supervise(children))
    [engine] = await pids(a, 1)
    [agent] = await pids(b, 1)
    os.kill(agent, signal.SIGKILL)
    [_, second] = await pids(b, 2)
    assert not gone(engine)
    assert len(a.read_text().split()) == 1
    os.kill(os.getpid(), signal.SIGTERM)
    code = await asyncio.wait_for(running, BOUND_S)
    assert gone(engine)
    assert gone(second)
    return code


def test_a_dead_child_is_started_again_and_the_other_never_notices(tmp_path: Path) -> None:
    assert asyncio.run(kill_the_agent(tmp_path / "a", tmp_path / "b")) == 0


def test_a_misconfigured_child_ends_the_supervisor(tmp_path: Path) -> None:
    children = [
        child("engine", "raise SystemExit(2)"),
        child("agent", notes(tmp_path / "b", "time.sleep(60)")),
    ]
    assert asyncio.run(asyncio.wait_for(supervise.supervise(children), BOUND_S)) == 2


async def spoil_the_agent(a: Path, b: Path) -> None:
    spoilt = b.with_name("spoilt")
    program = f"if os.path.exists({str(spoilt)!r}): sys.exit(2)\ntime.sleep(60)"
    agent = Child("agent", [sys.executable, "-c", notes(b, "pass") + "\n" + program])
    running = asyncio.create_task(supervise.supervise([child("engine", notes(a, "time.sleep(60)")), agent]))
    [engine] = await pids(a, 1)
    [first] = await pids(b, 1)
    spoilt.touch()
    os.kill(first, signal.SIGKILL)
    await pids(b, 3)
    assert not gone(engine)
    spoilt.unlink()
    async with asyncio.timeout(BOUND_S):
        while gone((await pids(b, 3))[-1]):
            await asyncio.sleep(0.02)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(running, BOUND_S) == 0


def test_a_configuration_that_is_spoilt_later_costs_the_other_child_nothing(tmp_path: Path) -> None:
    asyncio.run(spoil_the_agent(tmp_path / "a", tmp_path / "b"))


def test_a_child_that_always_dies_is_started_ever_more_rarely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    sleep = asyncio.sleep

    async def record(seconds: float) -> None:
        waits.append(seconds)
        await sleep(0)

    async def watch() -> None:
        task = asyncio.create_task(child("engine", "raise SystemExit(1)").keep_running())
        async with asyncio.timeout(BOUND_S):
            while len(waits) < 6:
                await sleep(0.01)
        task.cancel()

    monkeypatch.setattr(asyncio, "sleep", record)
    asyncio.run(watch())
    assert waits[:6] == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0]


def test_a_child_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "STOP_WAIT_S", 0.2)
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"

    async def stop() -> int:
        engine = child("engine", notes(tmp_path / "a", deaf))
        task = asyncio.create_task(engine.keep_running())
        [pid] = await pids(tmp_path / "a", 1)
        await asyncio.sleep(0.3)
        task.cancel()
        await engine.stop()
        return pid

    assert gone(asyncio.run(stop()))


@pytest.mark.parametrize(("section", "roles"), [(None, 2), (WorkloadSection(), 3)])
def test_applications_are_a_third_child_where_they_are_configured(
    section: WorkloadSection | None, roles: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []

    async def supervised(children: Sequence[Child]) -> int:
        started.extend(child.name for child in children)
        return 0

    monkeypatch.setattr(supervise, "supervise", supervised)
    monkeypatch.setattr(supervise, "set_up", lambda *_: None)
    configuration = Configuration(uplink=(UplinkSection("u", "127.0.0.1"),), workload=section)
    assert supervise.run(configuration, ["--config", "x"]) == 0
    assert started == ["engine", "agent", "workload"][:roles]
