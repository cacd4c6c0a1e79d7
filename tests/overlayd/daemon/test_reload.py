"""A reload changes what can be changed, names what cannot, and fails without a trace; trials end."""

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from overlayd.daemon.config import Configuration
from overlayd.daemon.config_changes import in_force
from overlayd.daemon.errors import StartError
from overlayd.daemon.log import set_up
from overlayd.daemon.reload import Reloader
from overlayd.daemon.trial import Source

FILE = """
[node]
name = "paris"
runtime_dir = "{folder}"
[log]
level = "{level}"
[engine]
mtu = {mtu}
[[uplink]]
name = "isp1"
address = "192.0.2.1"
port = {port}
"""


@pytest.fixture(autouse=True)
def log() -> None:
    set_up("engine", "info", "text")


class Process:
    """What a process is to a reloader: remembers what was put in force, and whether it was to restart."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "overlayd.toml"
        self.write()
        self.source = Source(self.file)
        self.put: list[Configuration] = []
        self.restarts = 0
        self.problem: StartError | None = None

    def text(self, level: str = "info", mtu: int = 1380, port: int = 51900) -> str:
        return FILE.format(folder=self.folder, level=level, mtu=mtu, port=port)

    def write(self, **values: Any) -> None:
        self.file.write_text(self.text(**values))

    def reloader(self) -> Reloader:
        return Reloader("engine", self.source.load(), self.source, self._put, self._restart)

    async def _put(self, configuration: Configuration) -> None:
        if self.problem is not None:
            raise self.problem
        self.put.append(configuration)

    def _restart(self) -> None:
        self.restarts += 1


@pytest.fixture
def process(tmp_path: Path) -> Process:
    return Process(tmp_path)


class Clock:
    """What moments a trial ends at are told by; it stands still until it is moved on."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000_000_000

    def read(self) -> int:
        return self.now_ns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("overlayd.daemon.trial._now_ns", clock.read)
    return clock


def in_a_loop(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), 120))


def test_what_is_live_changes_and_the_rest_waits(
    process: Process, capsys: pytest.CaptureFixture[str]
) -> None:
    async def work() -> None:
        reloader = process.reloader()
        before = reloader.now
        process.write(level="debug", mtu=1300, port=51950)
        found = await reloader.reload()
        assert [(one.key, one.live) for one in found] == [
            ("uplink[0].port", False),
            ("engine.mtu", True),
            ("log.level", True),
        ]
        assert reloader.now == in_force(before, process.source.load()) == process.put[-1]
        assert (reloader.now.engine.mtu, reloader.now.uplink[0].port) == (1300, 51900)

    in_a_loop(work)
    assert logging.getLogger().level == logging.DEBUG
    assert process.restarts == 0
    assert "restart is needed" in (said := capsys.readouterr().err) and "uplink[0].port" in said


@pytest.mark.parametrize("fault", ["unknown key", "not put"])
def test_what_is_faulty_or_refused_changes_nothing_and_is_told(
    process: Process, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up("engine", "info", "text")

    async def work() -> None:
        reloader = process.reloader()
        before = reloader.now
        process.write(level="debug", mtu=1300)
        if fault == "unknown key":
            process.file.write_text(process.text(level="debug").replace("mtu", "mtuu"))
        else:
            process.problem = StartError("engine.mtuu: no")
        with pytest.raises(StartError, match=r"engine\.mtuu"):
            await reloader.reload()
        assert reloader.now is before and process.put == []

    in_a_loop(work)
    assert logging.getLogger().level == logging.INFO
    assert "nothing has changed" in (said := capsys.readouterr().err) and "engine.mtuu" in said


def test_systemd_is_told_when_it_begins_and_when_it_has_ended(
    process: Process, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))

        async def work() -> None:
            await process.reloader().reload()

        in_a_loop(work)
        begun, ended = systemd.recv(4096).decode(), systemd.recv(4096).decode()
    first, time_us = begun.splitlines()
    assert first == "RELOADING=1" and int(time_us.removeprefix("MONOTONIC_USEC=")) > 0
    assert ended == "READY=1"


def test_a_trial_is_in_force_and_goes_by_itself(process: Process, clock: Clock) -> None:
    async def work() -> None:
        reloader = process.reloader()
        process.source.begin(process.text(mtu=1300), 0.2, restart=False)
        await reloader.reload()
        assert reloader.now.engine.mtu == 1300
        clock.now_ns += 200_000_000
        while reloader.now.engine.mtu == 1300:
            await asyncio.sleep(0.02)
        assert [one.engine.mtu for one in process.put] == [1300, 1380]
        assert process.source.trial is None

    in_a_loop(work)
    assert process.restarts == 0


def test_a_process_that_comes_up_in_a_trial_takes_it_and_goes_back(process: Process, clock: Clock) -> None:
    """Whoever began it may be dead by then."""

    async def work() -> None:
        process.source.begin(process.text(mtu=1300), 0.2, restart=False)
        reloader = process.reloader()
        assert reloader.now.engine.mtu == 1300
        clock.now_ns += 200_000_000
        while reloader.now.engine.mtu == 1300:
            await asyncio.sleep(0.02)

    in_a_loop(work)


def test_a_trial_restarts_only_where_it_may_and_so_does_its_end(process: Process) -> None:
    async def work() -> None:
        reloader = process.reloader()
        process.source.begin(process.text(port=51950), 60, restart=False)
        await reloader.reload()
        assert process.restarts == 0 and reloader.now.uplink[0].port == 51900
        process.source.begin(process.text(port=51950), 60, restart=True)
        await reloader.reload()
        assert process.restarts == 1 and reloader.now.uplink[0].port == 51900
        reloader.close()
        after = process.reloader()
        assert after.now.uplink[0].port == 51950
        process.source.end()
        await after.reload()
        assert process.restarts == 2
        after.close()

    in_a_loop(work)


def test_what_was_confirmed_is_in_the_file_and_changes_nothing_more(process: Process) -> None:
    async def work() -> None:
        reloader = process.reloader()
        process.source.begin(process.text(mtu=1300), 60, restart=False)
        await reloader.reload()
        process.write(mtu=1300)
        process.source.end()
        assert await reloader.reload() == ()
        assert reloader.now.engine.mtu == 1300

    in_a_loop(work)
