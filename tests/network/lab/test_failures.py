"""What dies beside a running stream, and what the stream notices."""

import os
import signal

import pytest

from sim.lab import process, runner
from tests.network.lab.conftest import SITES
from tests.network.lab.mesh import Mesh, held_agent, kill, wait_until

HERE, THERE, RELAY = SITES


@pytest.fixture
def mesh(triangle: Mesh) -> Mesh:
    wait_until(lambda: all(triangle.online(site) for site in SITES))
    triangle.settle(HERE, THERE)
    return triangle


def test_no_packet_is_lost_when_an_agent_is_killed(mesh: Mesh) -> None:
    before = mesh.pid(HERE, "agent")
    assert mesh.loses_nothing(HERE, THERE, count=900, act=lambda: os.kill(before, signal.SIGKILL))
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
    assert mesh.loses_nothing(HERE, THERE, count=300, act=lambda: process.stop([controller]))
    wait_until(lambda: mesh.ask(HERE, "status")["state"] == "offline")
    try:
        # An agent that starts now has only its files.
        before = mesh.pid(HERE, "agent")
        assert mesh.loses_nothing(HERE, THERE, count=300, act=lambda: os.kill(before, signal.SIGKILL))
        wait_until(lambda: mesh.pids(HERE, "agent") not in ([], [before]))
        wait_until(lambda: mesh.answers(HERE) and mesh.path(HERE, THERE) == (HERE, THERE))
        runner.impair(mesh.name, f"{HERE}:{THERE}", {"delay": "85ms", "loss": "8%"})

        def has_left() -> bool:
            """Look while there is traffic: nobody moves what nobody uses."""
            mesh.probe(HERE, THERE, count=20)
            return mesh.path(HERE, THERE) == (HERE, RELAY, THERE)

        wait_until(has_left)
        # The engine moved; the agent tells of it when it has heard.
        wait_until(lambda: mesh.document(HERE, "explain", THERE)["moved"])
        assert mesh.document(HERE, "explain", THERE)["moved"].startswith("direct → via ")
        assert mesh.document(HERE, "status")["degraded"]
        assert mesh.ctl(HERE, "status", "--check").returncode == 6
    finally:
        runner.impair(mesh.name, f"{HERE}:{THERE}", {"delay": "5ms", "loss": "0%"})
        mesh.start_controller()
    wait_until(lambda: all(mesh.online(site) for site in SITES))


def test_an_engine_that_is_killed_is_back_and_needs_no_agent(pair: Mesh) -> None:
    """It comes up with its last snapshot: no agent can speak to it before packets pass."""
    before = pair.pid(HERE, "engine")
    with held_agent(pair, HERE):
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: pair.pids(HERE, "engine") not in ([], [before]))
        pair.settle(THERE, HERE)
    wait_until(lambda: pair.online(HERE))
