"""The verdict of the demo: a good run passes, and each promise that is broken is named."""

import json
from typing import Any

import msgspec
import pytest

from sim.demo.summary import AgentKill, Facts, Goodput, RelayKill, Reroute, Transfer, document, shortfalls

GOOD = Facts(
    hosts=5,
    seconds=90.0,
    transfer=Transfer(400_000_000, sha256_equal=True, broken_connections=0),
    reroute=Reroute(1.5, 4.0, ("paris", "madrid"), ("paris", "frankfurt", "madrid"), "via frankfurt, 46 ms"),
    relay_kill=RelayKill(120.0),
    agent_kill=AgentKill(6000, 0),
    goodput_mbps=Goodput(95.0, 0.3, 88.0, 80.0),
)


def but(path: str, value: object) -> Facts:
    """The good run with one fact changed."""
    outer, _, inner = path.partition(".")
    if inner:
        value = msgspec.structs.replace(getattr(GOOD, outer), **{inner: value})
    return msgspec.structs.replace(GOOD, **{outer: value})


def test_a_run_at_its_bounds_is_good() -> None:
    assert shortfalls(GOOD) == []
    bounds: dict[str, Any] = {
        "seconds": 180.0,
        "reroute.seconds_off": 5.0,
        "reroute.seconds": 15.0,
        "relay_kill.outage_ms": 150.0,
        "agent_kill.probes_sent": 5000,
        "goodput_mbps.mesh_clean": 100.0,
    }
    for path, value in bounds.items():
        assert shortfalls(but(path, value)) == [], path


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("hosts", 4, "4 hosts"),
        ("seconds", 180.1, "180.1 s (at most 180 s)"),
        ("transfer.sha256_equal", False, "not the file"),
        ("transfer.broken_connections", 1, "broken connections: 1"),
        ("transfer.broken_connections", None, "not measured"),
        ("reroute.seconds_off", 5.01, "left the degraded path after 5.01 s"),
        ("reroute.seconds_off", None, "not measured"),
        ("reroute.seconds", 15.2, "best path after 15.2 s"),
        ("reroute.seconds", None, "not measured"),
        ("reroute.path_after", ("paris", "madrid"), "paris → madrid to paris → madrid"),
        ("reroute.path_after", (), "to unknown"),
        ("reroute.path_before", ("paris", "warsaw", "madrid"), "from paris → warsaw → madrid"),
        ("relay_kill.outage_ms", 150.1, "150.1 ms (at most 150 ms)"),
        ("relay_kill.outage_ms", None, "not measured"),
        ("agent_kill.probes_sent", 4999, "4999 probes"),
        ("agent_kill.probes_lost", 1, "while the agent died: 1"),
        ("agent_kill.probes_lost", None, "not measured"),
        ("goodput_mbps.mesh_clean", 100.1, "0.80 × the clean mesh's"),
        ("goodput_mbps.mesh_degraded", None, "not measured"),
        ("goodput_mbps.direct_degraded", 8.1, "× the degraded direct path's"),
        ("goodput_mbps.direct_degraded", None, "not measured"),
        ("goodput_mbps.direct_clean", None, "not measured"),
    ],
)
def test_what_falls_short_is_named(path: str, value: object, said: str) -> None:
    found = shortfalls(but(path, value))
    assert found
    assert said in " / ".join(found)


def test_a_run_that_broke_off_at_once_falls_short_of_everything() -> None:
    assert len(shortfalls(Facts())) >= 11


def test_the_document_has_the_promised_shape() -> None:
    made = json.loads(document(GOOD))
    assert list(made) == [
        "ok",
        "hosts",
        "seconds",
        "transfer",
        "reroute",
        "relay_kill",
        "agent_kill",
        "goodput_mbps",
    ]
    assert made["ok"] is True
    assert list(made["transfer"]) == ["bytes", "sha256_equal", "broken_connections"]
    assert list(made["reroute"]) == ["seconds_off", "seconds", "path_before", "path_after", "reason"]
    assert list(made["relay_kill"]) == ["outage_ms"]
    assert list(made["agent_kill"]) == ["probes_sent", "probes_lost"]
    assert list(made["goodput_mbps"]) == ["direct_clean", "direct_degraded", "mesh_clean", "mesh_degraded"]
    assert json.loads(document(but("agent_kill.probes_lost", 3)))["ok"] is False


def test_a_story_that_broke_off_is_not_ok_whatever_was_measured() -> None:
    assert json.loads(document(GOOD, "the lab fell down"))["ok"] is False
