"""`overlayctl top`: links, paths and flows; once, as lines of JSON, or in place on a terminal."""

import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from overlayd.cli import ctl, ctl_top
from overlayd.protocol import local
from tests.overlayd.cli.fake_agent import FakeAgent

BUSY = local.TopLink(
    "oslo", "isp1", "192.0.2.3:51900", True, True, 12_000_000.0, 300_000.0, 20_000_000, 41.2, 0.05, 0.0,
    (local.TopClass("interactive", 0.0, 0.12, 0), local.TopClass("bulk", 0.004, 0.05, 64_500)),
)  # fmt: skip
IDLE = local.TopLink("rome", "isp1", None, True, False, 900.0, 800.0, None, 12.0, 0.0, 0.0, ())
DOWN = local.TopLink("bern", "isp2", None, False, False, None, None, None, None, None, None, ())
TOP = local.Top(
    1_700_000_000.0,
    (BUSY, IDLE, DOWN),
    (
        local.TopPath("oslo", "bulk", ("rome", "oslo"), True, 45.0, 0.004),
        local.TopPath("bern", "interactive", ("bern",), False, None, None),
    ),
)


def test_busy_links_are_shown_by_class_and_idle_ones_on_demand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeAgent(tmp_path / "sock", top=TOP) as agent:
        assert ctl.main(["top", "--once", "--socket", agent.path]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert ctl.main(["top", "--all", "--socket", agent.path]) == 0
        whole = capsys.readouterr().out
    assert lines[1].split() == (
        "oslo isp1 12.0 Mbit/s 300.0 kbit/s 41.2 ms 5.0 % 0.0 % interactive 0.0 % 12.0 % -".split()
    )
    assert lines[2].split() == "bulk 0.4 % 5.0 % 64.5 kB".split(), "a class's line has no figures of the link"
    assert lines[3].startswith("bern, down  isp2"), "what is down is never idle"
    assert lines[4] == "1 idle links; --all shows them"
    assert lines[7].split() == "oslo bulk via rome 45.0 ms 0.4 %".split()
    assert lines[8].split() == "bern interactive direct, dead - -".split()
    assert "rome" in whole and "idle" not in whole


def test_flows_are_shown_where_packets_may_be_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flows = [
        {
            "protocol": "tcp",
            "local": f"192.0.2.1:{port}",
            "remote": "192.0.2.2:443",
            "out_bps": 1e6,
            "in_bps": 2e3,
        }
        for port in range(5000, 5022)
    ]

    class Watch:
        def __init__(self, interface: str) -> None:
            if interface != "overlay0":
                raise PermissionError

        def count(self, seconds: float) -> list[dict[str, Any]]:
            assert seconds <= 1.0
            return flows

        def close(self) -> None:
            pass

    monkeypatch.setattr(ctl_top, "FlowWatch", Watch)
    with FakeAgent(tmp_path / "sock", top=msgspec.structs.replace(TOP, interface="overlay0")) as agent:
        assert ctl.main(["top", "--once", "--socket", agent.path]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert ctl.main(["top", "-o", "json", "--socket", agent.path]) == 0
        document = msgspec.json.decode(capsys.readouterr().out, type=local.Top)
    assert lines[-21].split() == "192.0.2.1:5000 192.0.2.2:443 tcp 1.0 Mbit/s 2.0 kbit/s".split()
    assert lines[-1] == "2 smaller flows; --all shows them"
    assert document.flows is not None and len(document.flows) == 22
    with FakeAgent(tmp_path / "other", top=msgspec.structs.replace(TOP, interface="overlay1")) as agent:
        assert ctl.main(["top", "--once", "--socket", agent.path]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("flows: shown to root")


def test_watching_gives_a_line_of_json_for_each_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(ctl_top.time, "sleep", sleep)
    with FakeAgent(tmp_path / "sock", top=TOP) as agent:
        assert ctl.main(["top", "--watch", "-i", "0.5", "--socket", agent.path]) == 130
    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["schema"] for one in documents] == ["overlayd.local.top/1"] * 3
    assert looks == [0.5] * 3


def test_on_a_terminal_the_picture_is_drawn_over_the_one_before(tmp_path: Path) -> None:
    with FakeAgent(tmp_path / "sock", top=TOP) as agent:
        ours, theirs = pty.openpty()
        words = ["top", "-i", "0.1", "--socket", agent.path]
        program = f"from overlayd.cli import ctl; raise SystemExit(ctl.main({words!r}))"
        running = subprocess.Popen([sys.executable, "-c", program], stdout=theirs, stdin=theirs)
        os.close(theirs)
        shown = b""
        deadline = time.monotonic() + 120
        while shown.count(b"\x1b[H") < 3 and time.monotonic() < deadline:
            if select.select([ours], [], [], 0.2)[0]:
                shown += os.read(ours, 65536)
        running.terminate()
        running.wait(60)
        os.close(ours)
    pictures = shown.split(b"\x1b[H")[1:3]
    assert pictures[0] == pictures[1] and b"12.0 Mbit/s" in pictures[0]
    assert pictures[0].rstrip(b"\r\n").endswith(b"\x1b[J"), "what was longer before is gone"


@pytest.mark.parametrize("interval", ["0", "-1", "nan", "1e9"])
def test_a_senseless_interval_is_a_usage_error(interval: str) -> None:
    assert ctl.main(["top", "-i", interval]) == 2
