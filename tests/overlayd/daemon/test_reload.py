"""A reload changes what can be changed, names what cannot, and fails without a trace."""

import logging
import socket
from collections.abc import Callable, Generator
from pathlib import Path

import msgspec
import pytest

from overlayd.daemon.config import Configuration, LogSection, MetricsSection, UplinkSection
from overlayd.daemon.errors import ConfigurationError
from overlayd.daemon.log import set_up
from overlayd.daemon.reload import reload

NOW = Configuration(uplink=(UplinkSection("isp1", "192.0.2.1"),))


@pytest.fixture(autouse=True)
def root_logger() -> Generator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)


def reloaded(load: Callable[[], Configuration]) -> Configuration:
    return reload("engine", NOW, load)


def test_the_log_level_changes_and_the_rest_waits(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = msgspec.structs.replace(
        NOW, log=LogSection(level="debug"), metrics=MetricsSection("127.0.0.1:9460")
    )
    after = reloaded(lambda: wanted)
    assert after == msgspec.structs.replace(NOW, log=LogSection(level="debug"))
    assert logging.getLogger().level == logging.DEBUG
    assert "restart is needed" in (said := capsys.readouterr().err) and "metrics" in said


def test_a_faulty_file_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> Configuration:
        raise ConfigurationError("overlayd.toml", "engine.mtu", "too small")

    set_up("engine", "info", "text")
    assert reloaded(fails) is NOW
    assert "engine.mtu" in capsys.readouterr().err


def test_systemd_is_told_when_it_begins_and_when_it_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        reloaded(lambda: NOW)
        begun, ended = systemd.recv(4096).decode(), systemd.recv(4096).decode()
    first, time_us = begun.splitlines()
    assert first == "RELOADING=1" and int(time_us.removeprefix("MONOTONIC_USEC=")) > 0
    assert ended == "READY=1"
