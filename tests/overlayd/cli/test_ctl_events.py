"""`overlayctl events` of an agent and of a controller: forms, times, and what is told while it is watched."""

import json
from pathlib import Path
from typing import Any

import pytest

from overlayd.cli import ctl, ctl_events
from overlayd.protocol import local
from tests.overlayd.cli.fake_agent import FakeAgent

EVENTS = local.EventList(
    1_700_000_000.0,
    (
        local.EventRow(1, 1_700_000_001.0, "info", "link up", {"link": 3, "peer": "oslo"}),
        local.EventRow(2, 1_700_000_002.5, "warning", "controller lost", {"problem": "connection refused"}),
    ),
)
OF_API = [
    {"at": "2026-05-04T12:00:02Z", "kind": "route", "nodes": ["a", "b"], "class": "bulk", "decider": "agent",
     "before": ["b"], "after": ["r", "b"], "reason": "loss 9 %"},
    {"at": "2026-05-04T12:00:01Z", "kind": "node", "nodes": ["a"], "class": None, "decider": None,
     "before": None, "after": None, "reason": "connected"},
]  # fmt: skip


class Ended(Exception):
    """Somebody has pressed ^C."""


def api(monkeypatch: pytest.MonkeyPatch, *pages: list[dict[str, Any]]) -> None:
    """A controller that answers one page after the other."""
    left = list(pages)

    def request(*_: object, **__: object) -> dict[str, Any]:
        return {"schema": "overlayd.events/1", "items": [dict(row) for row in left.pop(0)]}

    monkeypatch.setattr(ctl_events, "request", request)


def naps(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Watching ends after so many rounds."""
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == number:
            raise Ended

    monkeypatch.setattr(ctl_events.time, "sleep", sleep)


def test_a_person_reads_times_events_and_what_they_are_about(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeAgent(tmp_path / "sock", events=EVENTS) as agent:
        words = ["events", "--since", "2023-11-14T22:13:21Z", "--limit", "5", "--socket", agent.path]
        assert ctl.main(words) == 0
    assert agent.asked[0].arguments == {"since": 1_700_000_001.0, "after": 0, "limit": 5}
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["AT", "EVENT", "ABOUT"]
    assert lines[0] == "2023-11-14T22:13:21Z  link up          link 3, peer oslo"
    assert lines[1] == "2023-11-14T22:13:22Z  controller lost  problem connection refused"


def test_watching_an_agent_tells_each_event_once_and_goes_on_after_its_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    again = local.EventList(1_700_000_100.0, (local.EventRow(1, 1_700_000_101.0, "info", "member", {}),))
    answers = iter([EVENTS, local.EventList(EVENTS.began, ()), None, again, again])
    asked: list[dict[str, Any]] = []

    def ask(_: str, verb: str, wanted: dict[str, Any]) -> dict[str, Any]:
        asked.append(wanted)
        answer = next(answers)
        if answer is None:
            raise ctl_events.Failure(ctl_events.UNREACHABLE, "no agent")
        return json.loads(json.dumps({"schema": "overlayd.local.events/1", **_plain(answer)}))

    monkeypatch.setattr(ctl_events, "ask", ask)
    naps(monkeypatch, 4)
    with pytest.raises(Ended):
        ctl.main(["events", "--watch"])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["event"] for row in rows] == ["link up", "controller lost", "member"]
    assert {row["schema"] for row in rows} == {"overlayd.local.events/1"}
    assert [wanted["after"] for wanted in asked] == [0, 2, 2, 2, 0], "the new agent counts from one"


def test_a_controllers_events_are_the_oldest_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    api(monkeypatch, OF_API, OF_API)
    assert ctl.main(["--controller", "unix:/x", "events"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert lines[0].split() == ["2026-05-04T12:00:01Z", "node", "a", "connected"]
    assert lines[1].endswith("a → b  direct → via r, bulk: loss 9 %")
    assert ctl.main("--controller unix:/x events --since 2026-05-04T12:00:02Z -o json".split()) == 0
    (row,) = json.loads(capsys.readouterr().out)["items"]
    assert row["kind"] == "route"


def test_watching_a_controller_tells_each_event_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    news = {**OF_API[1], "at": "2026-05-04T12:00:09Z", "reason": "away"}
    api(monkeypatch, OF_API, OF_API, [news, *OF_API])
    naps(monkeypatch, 3)
    with pytest.raises(Ended):
        ctl.main(["events", "--controller", "unix:/x", "--watch"])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["reason"] for row in rows] == ["connected", "loss 9 %", "away"]


@pytest.mark.parametrize("words", ["--since yesterday", "--limit 0", "--limit 1001"])
def test_what_makes_no_sense_is_a_usage_error(words: str, tmp_path: Path) -> None:
    with FakeAgent(tmp_path / "sock", events=EVENTS) as agent:
        assert ctl.main(["events", *words.split(), "--socket", agent.path]) == 2
    assert agent.asked == []


def _plain(answer: local.EventList) -> dict[str, Any]:
    from msgspec import to_builtins

    return to_builtins(answer)
