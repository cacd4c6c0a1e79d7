"""What happens in a simulated run: traffic, congestion episodes, deaths, a controller outage; and what came
of it.

Pure but for the mesh it drives; everything follows from the seed.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from sim.mesh import SECOND_NS, SimulatedMesh, degraded
from sim.sites import Site, random_sites


class StreamReport(msgspec.Struct, frozen=True):
    """The receiver's account of one stream; times in nanoseconds."""

    sent: int
    delivered: int
    late: int
    duplicated: int
    altered: int
    reordered: int
    delay_p50_ns: int
    delay_p99_ns: int
    delay_max_ns: int
    outage_ns: int


class RunReport(msgspec.Struct, frozen=True):
    """``digest`` is equal for equal runs: a hash over every delivery and event."""

    seed: int
    nodes: int
    seconds: float
    digest: str
    switches: int
    sent: int
    delivered: int
    duplicated: int
    altered: int
    residual_loss_ratio: float
    longest_outage_ms: float
    streams: tuple[StreamReport, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes of a random run: how many streams, episodes of loss and delay, and deaths of relays it holds."""

    nodes: int = 50
    seconds: float = 600.0
    streams: int = 12
    stream_interval_ms: float = 20.0
    episodes: int = 20
    deaths: int = 3
    controller_outage_s: float = 60.0


def run(seed: int, plan: Plan, progress: Callable[[float], None] = lambda _: None) -> RunReport:
    """Simulate ``plan`` with ``seed`` and return what came of it. ``progress`` is told the share done,
    0..1.
    """
    rng = random.Random(seed)
    sites = random_sites(rng, plan.nodes)
    mesh = SimulatedMesh(seed, sites)
    until_ns = round(plan.seconds * SECOND_NS)
    warm_ns = min(10 * SECOND_NS, until_ns // 4)
    streams = [_add_stream(mesh, rng, plan, warm_ns, until_ns) for _ in range(plan.streams)]
    happenings = sorted(_happenings(mesh, rng, plan, warm_ns, until_ns), key=lambda entry: entry[0])
    for at_ns, happen in happenings:
        mesh.run_until(at_ns)
        happen()
        progress(at_ns / until_ns)
    mesh.run_until(until_ns + SECOND_NS)
    reports = tuple(
        msgspec.json.decode(mesh.world.stream_report(stream, 0, until_ns), type=StreamReport)
        for stream in streams
    )
    sent, delivered = sum(report.sent for report in reports), sum(report.delivered for report in reports)
    return RunReport(
        seed=seed,
        nodes=plan.nodes,
        seconds=plan.seconds,
        digest=mesh.digest(),
        switches=len(mesh.switches),
        sent=sent,
        delivered=delivered,
        duplicated=sum(report.duplicated for report in reports),
        altered=sum(report.altered for report in reports),
        residual_loss_ratio=1 - delivered / sent if sent else 0.0,
        longest_outage_ms=max((report.outage_ns for report in reports), default=0) / 1e6,
        streams=reports,
    )


def _add_stream(mesh: SimulatedMesh, rng: random.Random, plan: Plan, start_ns: int, stop_ns: int) -> int:
    a, b = rng.sample(range(plan.nodes), 2)
    begin_ns = rng.randrange(start_ns, stop_ns)
    end_ns = min(begin_ns + rng.randrange(20 * SECOND_NS, 80 * SECOND_NS), stop_ns)
    stream: dict[str, Any] = {
        "from": a,
        "to": b,
        "source": Site.address(a),
        "destination": Site.address(b),
        "interval_ns": round(plan.stream_interval_ms * 1e6),
        "payload_bytes": rng.choice([64, 200, 1000]),
        "dscp": rng.choice([0, 46]),
        "start_ns": begin_ns,
        "stop_ns": end_ns,
    }
    return mesh.world.add_stream(json.dumps(stream))


def _happenings(
    mesh: SimulatedMesh, rng: random.Random, plan: Plan, start_ns: int, stop_ns: int
) -> list[tuple[int, Callable[[], None]]]:
    happenings: list[tuple[int, Callable[[], None]]] = []
    pairs = sorted(mesh.sites.wires)
    for _ in range(plan.episodes):
        a, b = rng.choice(pairs)
        clean = mesh.sites.wires[a, b]
        bad = degraded(clean, extra_ms=rng.uniform(0, 80), loss_ratio=rng.choice([0.01, 0.03, 0.08]))
        begin = rng.randrange(start_ns, stop_ns)
        end = begin + rng.randrange(10 * SECOND_NS, 120 * SECOND_NS)
        happenings.append((begin, lambda a=a, b=b, bad=bad: mesh.set_wire(a, b, bad)))
        if end < stop_ns:
            happenings.append((end, lambda a=a, b=b, clean=clean: mesh.set_wire(a, b, clean)))
    relays = [index for index, site in enumerate(mesh.sites.sites) if site.relay]
    for victim in rng.sample(relays, min(plan.deaths, len(relays))):
        begin = rng.randrange(start_ns, stop_ns)
        end = begin + rng.randrange(20 * SECOND_NS, 60 * SECOND_NS)
        happenings.append((begin, lambda victim=victim: mesh.kill(victim)))
        if end < stop_ns:
            happenings.append((end, lambda victim=victim: mesh.revive(victim)))
    outage_ns = round(plan.controller_outage_s * SECOND_NS)
    if 0 < outage_ns < stop_ns - start_ns:
        begin = rng.randrange(start_ns, stop_ns - outage_ns)
        happenings.append((begin, lambda: mesh.set_controller(False)))
        happenings.append((begin + outage_ns, lambda: mesh.set_controller(True)))
    return happenings
