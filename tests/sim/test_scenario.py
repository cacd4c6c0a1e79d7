"""Runs of the simulator are functions of their seed, and the mesh in them does its work."""

import json

from sim.mesh import SECOND_NS, SimulatedMesh, degraded
from sim.scenario import Plan, StreamReport, run
from sim.sites import Site, Sites, Wire

SMALL = Plan(nodes=6, seconds=30.0, streams=3, episodes=3, deaths=1, controller_outage_s=5.0)


def test_equal_seeds_give_equal_runs_and_other_seeds_other_runs() -> None:
    first, second, other = run(7, SMALL), run(7, SMALL), run(8, SMALL)
    assert first == second
    assert first.digest != other.digest
    assert first.sent > 0


def test_a_run_does_not_depend_on_how_its_threads_take_turns() -> None:
    """Enough nodes for a planner that is still at work when reports of new links come in."""
    plan = Plan(nodes=40, seconds=40.0)
    assert run(1, plan) == run(1, plan)


def test_nothing_is_altered_or_delivered_twice() -> None:
    report = run(3, SMALL)
    assert report.altered == 0
    assert report.duplicated == 0


def _triangle(direct_ms: float, leg_ms: float) -> SimulatedMesh:
    """Two edges (0, 1) and a relay (2)."""
    sites = (Site("west", False), Site("east", False), Site("relay", True))
    wires = {
        pair: Wire(direct_ms if 2 not in pair else leg_ms)
        for pair in [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)]
    }
    return SimulatedMesh(5, Sites(sites, wires))


def _stream(mesh: SimulatedMesh, start_s: float, stop_s: float) -> int:
    stream = {
        "from": 0,
        "to": 1,
        "source": Site.address(0),
        "destination": Site.address(1),
        "interval_ns": 5_000_000,
        "payload_bytes": 200,
        "start_ns": round(start_s * SECOND_NS),
        "stop_ns": round(stop_s * SECOND_NS),
    }
    return mesh.world.add_stream(json.dumps(stream))


def _report(mesh: SimulatedMesh, stream: int, from_s: float, until_s: float) -> StreamReport:
    text = mesh.world.stream_report(stream, round(from_s * SECOND_NS), round(until_s * SECOND_NS))
    return StreamReport(**json.loads(text))


def test_traffic_leaves_a_direct_path_that_turns_bad_within_five_seconds() -> None:
    mesh = _triangle(direct_ms=10, leg_ms=8)
    stream = _stream(mesh, 10, 60)
    mesh.run_until(30 * SECOND_NS)
    assert _report(mesh, stream, 12, 29).delay_p50_ns < 11_000_000
    for pair in [(0, 1), (1, 0)]:
        mesh.set_wire(*pair, degraded(mesh.sites.wires[pair], extra_ms=80, loss_ratio=0.08))
    mesh.run_until(61 * SECOND_NS)
    after = _report(mesh, stream, 35, 60)
    assert after.delay_p99_ns < 30_000_000
    assert after.delivered == after.sent


def test_traffic_leaves_a_dead_relay_within_milliseconds() -> None:
    mesh = _triangle(direct_ms=60, leg_ms=8)
    stream = _stream(mesh, 20, 50)
    mesh.run_until(40 * SECOND_NS)
    assert _report(mesh, stream, 35, 39).delay_p50_ns < 20_000_000
    mesh.kill(2)
    mesh.run_until(51 * SECOND_NS)
    after = _report(mesh, stream, 39, 50)
    assert after.outage_ns < 150_000_000
    assert after.duplicated == 0


def test_traffic_goes_on_and_reroutes_without_a_controller() -> None:
    mesh = _triangle(direct_ms=10, leg_ms=8)
    stream = _stream(mesh, 10, 60)
    mesh.run_until(20 * SECOND_NS)
    mesh.set_controller(False)
    mesh.set_wire(0, 1, Wire(10, blackhole=True))
    mesh.run_until(61 * SECOND_NS)
    after = _report(mesh, stream, 22, 60)
    assert after.delivered == after.sent
