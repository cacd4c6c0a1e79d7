"""What nodes spend on probes, counted on the wires of a simulated mesh, and how soon a failure is seen then.

``python -m sim.probing --nodes 8 50 200 --talks 7 --budget 1000000`` has shipped engines, agents and
controller run in virtual time: first nothing is sent, then each host talks to so many others, and at last the
wires of one pair are cut. I/O: prints.
"""

import argparse
import json
import random
import time
from dataclasses import dataclass

from overlayd.model.ids import NodeId
from overlayd.protocol.controller import PROBE_BUDGET
from sim.mesh import SECOND_NS, SimulatedMesh
from sim.sites import Site, Wire, random_sites

SETTLED_S = 30
COUNTED_S = 10
PACKET_INTERVAL_NS = SECOND_NS // 10
PAYLOAD_BYTES = 72
"""100 bytes of IP."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Bytes per second of IP packets: of all that left a node, the mean of nodes and the most of any, and
    what the nodes themselves count as probes and answers. The longest intervals in force, in ms.
    """

    mean: float
    most: float
    counted_mean: float
    counted_most: float
    in_use_ms: float
    idle_ms: float


def measure(nodes: int, talks: int, budget: int, seed: int = 1) -> tuple[Spent, Spent, float]:
    """Return what is spent at rest and while each host talks to ``talks`` others, and the ms that a path is
    used which has failed.
    """
    rng = random.Random(seed)
    mesh = SimulatedMesh(seed, random_sites(rng, nodes), probe_budget=budget)
    mesh.run_until(SETTLED_S * SECOND_NS)
    rest = _count(mesh, nodes)
    pairs = [(index, other) for index in range(nodes) for other in _others(rng, nodes, index, talks)]
    for place, (source, destination) in enumerate(pairs):
        _talk(mesh, source, destination, mesh.now_ns + PACKET_INTERVAL_NS * place // len(pairs))
    mesh.run_until(mesh.now_ns + SETTLED_S * SECOND_NS)
    busy = _count(mesh, nodes)
    direct = [pair for pair in pairs if _takes_the_direct_path(mesh, *pair)]
    return rest, busy, _cut(mesh, *direct[0])


def _others(rng: random.Random, nodes: int, index: int, count: int) -> list[int]:
    return rng.sample([other for other in range(nodes) if other != index], min(count, nodes - 1))


def _talk(mesh: SimulatedMesh, source: int, destination: int, start_ns: int) -> None:
    mesh.world.add_stream(
        json.dumps(
            {
                "from": source,
                "to": destination,
                "source": Site.address(source),
                "destination": Site.address(destination),
                "interval_ns": PACKET_INTERVAL_NS,
                "payload_bytes": PAYLOAD_BYTES,
                "start_ns": start_ns,
                "stop_ns": start_ns + 3600 * SECOND_NS,
            }
        )
    )


def _count(mesh: SimulatedMesh, nodes: int) -> Spent:
    before, told_before = _on_wires(mesh, nodes), _told(mesh)
    mesh.run_until(mesh.now_ns + COUNTED_S * SECOND_NS)
    sent = [(now - then) / COUNTED_S for now, then in zip(_on_wires(mesh, nodes), before, strict=True)]
    told = [(now - then) / COUNTED_S for now, then in zip(_told(mesh), told_before, strict=True)]
    paces = [json.loads(mesh.world.counters(index))["probing"] for index in range(nodes)]
    return Spent(
        mean=sum(sent) / nodes,
        most=max(sent),
        counted_mean=sum(told) / nodes,
        counted_most=max(told),
        in_use_ms=max(pace["in_use_ns"] for pace in paces) / 1e6,
        idle_ms=max(pace["idle_ns"] for pace in paces) / 1e6,
    )


def _on_wires(mesh: SimulatedMesh, nodes: int) -> list[int]:
    sent = [0] * nodes
    for a, b in mesh.sites.wires:
        counted = json.loads(mesh.world.wire_counters(Site.endpoint(a), Site.endpoint(b)))
        sent[a] += counted["offered_bytes"]
    return sent


def _told(mesh: SimulatedMesh) -> list[int]:
    return [json.loads(mesh.world.counters(index))["probing"]["bytes"] for index in range(len(mesh.hosts))]


def _takes_the_direct_path(mesh: SimulatedMesh, source: int, destination: int) -> bool:
    node = NodeId(destination + 1)
    return mesh.hosts[source].agent.tables.orders[node, 0][0] == (node,)


def _cut(mesh: SimulatedMesh, source: int, destination: int) -> float:
    """Cut the wires of a pair; how long the source keeps to the path over them, in ms."""
    at, known = mesh.now_ns, len(mesh.switches)
    for a, b in ((source, destination), (destination, source)):
        mesh.set_wire(a, b, Wire(delay_ms=1.0, blackhole=True))
    mesh.run_until(at + 5 * SECOND_NS)
    left = [
        (at_ns - at) / 1e6
        for at_ns, index, switch in mesh.switches[known:]
        if index == source and switch.destination == destination + 1 and switch.from_ == (destination + 1,)
    ]
    return min(left)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m sim.probing", description=(__doc__ or "").split("\n", 1)[0]
    )
    parser.add_argument("--nodes", type=int, nargs="+", default=[8, 50, 200])
    parser.add_argument("--talks", type=int, default=7, help="others that each host talks to")
    parser.add_argument("--budget", type=int, default=PROBE_BUDGET, help="bytes per second")
    asked = parser.parse_args()
    for nodes in asked.nodes:
        began = time.monotonic()
        rest, busy, after = measure(nodes, asked.talks, asked.budget)
        print(f"{nodes} nodes, {asked.budget} B/s ({time.monotonic() - began:.0f} s)")
        for what, spent in (("at rest", rest), (f"{asked.talks} talks", busy)):
            print(
                f"  {what:9} on the wire {spent.mean:9.0f} mean {spent.most:9.0f} most, probes"
                f" {spent.counted_mean:9.0f} mean {spent.counted_most:9.0f} most B/s,"
                f" each {spent.in_use_ms:.0f} ms in use, each {spent.idle_ms:.0f} ms idle"
            )
        print(f"  a failed path is left after {after:.0f} ms")


if __name__ == "__main__":
    main()
