"""What dies beside a running stream, and what the stream notices."""

import os
import signal
import time
from functools import partial

import pytest

from sim.lab import process, runner
from tests.network.lab.conftest import SITES
from tests.network.lab.mesh import MS, Mesh, kill, wait_until

HERE, THERE, RELAY = SITES
RESTART_NS = 5_000 * MS
"""A start of the engine's process takes a second of a processor that may be busy with something else."""
TRIES = 5
"""For that: where other programs have the cores it may be late, but not each time."""


@pytest.fixture
def mesh(triangle: Mesh) -> Mesh:
    wait_until(lambda: all(triangle.online(site) for site in SITES))
    triangle.settle(HERE, THERE)
    return triangle


def test_no_packet_is_lost_when_an_agent_is_killed(mesh: Mesh) -> None:
    before = mesh.pid(HERE, "agent")
    met = mesh.probe(HERE, THERE, count=900, act=lambda: os.kill(before, signal.SIGKILL))
    assert met.loss_ratio == 0
    wait_until(lambda: mesh.online(HERE))
    assert mesh.pid(HERE, "agent") != before


def test_an_agent_that_cannot_reach_its_controller_ends_all_the_same(mesh: Mesh) -> None:
    runner.impair(mesh.name, f"{HERE}:cloud", {"blackhole": True})
    try:
        kill(mesh, HERE, "agent", signal.SIGTERM)
        assert "does not end" not in mesh.log(HERE), "before its supervisor loses patience"
    finally:
        runner.impair(mesh.name, f"{HERE}:cloud", {"blackhole": False})


def test_without_a_controller_traffic_goes_on_and_leaves_a_path_that_turns_bad(mesh: Mesh) -> None:
    wait_until(lambda: mesh.path(HERE, THERE) == (HERE, THERE))
    (controller,) = (one for one in mesh.built.processes if one.name == "controller")
    assert mesh.probe(HERE, THERE, count=300, act=lambda: process.stop([controller])).loss_ratio == 0
    wait_until(lambda: mesh.ask(HERE, "status")["state"] == "offline")
    try:
        # An agent that starts now has only its files.
        before = mesh.pid(HERE, "agent")
        assert mesh.probe(HERE, THERE, count=300, act=lambda: os.kill(before, signal.SIGKILL)).loss_ratio == 0
        wait_until(lambda: mesh.pids(HERE, "agent") not in ([], [before]))
        wait_until(lambda: mesh.answers(HERE) and mesh.path(HERE, THERE) == (HERE, THERE))
        runner.impair(mesh.name, f"{HERE}:{THERE}", {"delay": "85ms", "loss": "8%"})
        begun = time.monotonic()
        while mesh.path(HERE, THERE) != (HERE, RELAY, THERE):
            assert time.monotonic() - begun < 60, "3 s on a quiet machine"
            mesh.probe(HERE, THERE, count=20)
        # The engine moved; the agent tells of it when it has heard.
        wait_until(lambda: mesh.document(HERE, "explain", THERE)["moved"])
        assert mesh.document(HERE, "explain", THERE)["moved"].startswith("direct → via ")
        assert mesh.document(HERE, "status")["degraded"]
        assert mesh.ctl(HERE, "status", "--check").returncode == 6
    finally:
        runner.impair(mesh.name, f"{HERE}:{THERE}", {"delay": "5ms", "loss": "0%"})
        mesh.start_controller()
    wait_until(lambda: all(mesh.online(site) for site in SITES))


def test_an_engine_that_is_killed_is_back_within_seconds_and_needs_no_agent(pair: Mesh) -> None:
    """It comes up with its last snapshot, before any agent has spoken to it."""
    for left in reversed(range(TRIES)):
        before = pair.pid(HERE, "engine")
        met = pair.probe(THERE, HERE, count=1500, act=partial(os.kill, before, signal.SIGKILL))
        assert met.outage_ns > 0
        if met.outage_ns < RESTART_NS:
            break
        assert left, "too late each time"
        pair.settle(HERE, THERE)
    assert pair.settle(HERE, THERE).loss_ratio == 0
    wait_until(lambda: pair.online(HERE))
