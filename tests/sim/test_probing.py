"""A mesh that is too large for all to probe all, with shipped engines, agents and controller: what its routes
are worth beside the best there are.
"""

import json
import random

from controller.core.controller import Settings
from controller.planner.probing import Probing
from sim.mesh import SECOND_NS, SimulatedMesh
from sim.scenario import StreamReport
from sim.sites import Site, Sites, random_sites

NODES, RELAYS, FLOWS = 24, 4, 12
FLOWS_NS, SETTLED_NS, END_NS = 10 * SECOND_NS, 80 * SECOND_NS, 110 * SECOND_NS


def best_ms(sites: Sites, a: int, b: int) -> float:
    """Return the delay of the quickest path of one relay at most."""
    wires = sites.wires
    relays = [i for i, site in enumerate(sites.sites) if site.relay and i not in (a, b)]
    relayed = [wires[a, relay].delay_ms + wires[relay, b].delay_ms for relay in relays]
    return min(wires[a, b].delay_ms, *relayed)


def test_pairs_that_talk_are_soon_nearly_as_quick_as_they_can_be() -> None:
    """Four of seven relays each, drawn at random: none was chosen by what is known yet."""
    sites = random_sites(random.Random(1), NODES)
    mesh = SimulatedMesh(1, sites, Settings(probing=Probing(full_mesh=12, relays=RELAYS)))
    pairs = [tuple(random.Random(i).sample(range(NODES), 2)) for i in range(FLOWS)]
    streams = [
        mesh.world.add_stream(
            json.dumps(
                {
                    "from": a,
                    "to": b,
                    "source": Site.address(a),
                    "destination": Site.address(b),
                    "interval_ns": 50_000_000,
                    "payload_bytes": 200,
                    "start_ns": FLOWS_NS,
                    "stop_ns": END_NS,
                }
            )
        )
        for a, b in pairs
    ]
    mesh.run_until(END_NS)
    for index, (host, site) in enumerate(zip(mesh.hosts, sites.sites, strict=True)):
        links = host.agent.tables.neighbours
        talks = sum(index in pair for pair in pairs)
        assert site.relay or len(links) <= RELAYS + talks
    assert sum(len(host.agent.tables.neighbours) for host in mesh.hosts) < NODES * (NODES - 1) / 2
    delays_ms, bests_ms = list[float](), list[float]()
    for stream, (a, b) in zip(streams, pairs, strict=True):
        text = mesh.world.stream_report(stream, SETTLED_NS, END_NS - SECOND_NS)
        report = StreamReport(**json.loads(text))
        assert report.delivered == report.sent > 0
        delays_ms.append(report.delay_p50_ns / 1e6)
        bests_ms.append(best_ms(sites, a, b))
    assert sum(delays_ms) < 1.2 * sum(bests_ms)
    # Whoever does not talk is reached all the same.
    assert all(len(host.agent.mesh.routes) >= NODES - 1 for host in mesh.hosts)
