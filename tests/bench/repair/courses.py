"""Runs that are no single cell: loss that changes in mid-flow, and repair hop by hop beside repair end to
end. Pure but for the simulated world.
"""

from typing import Any

from tests.bench.repair.cells import BASELINE_SECONDS, STREAMS, Cell, figures
from tests.bench.repair.line import SECOND_NS, Hop, Line, Loss, Traffic, without_repair

STEPS = (0.0, 0.10, 0.01, 0.0)
GRACE_S = 2
"""So long after a step the bounds of the new state hold."""
HOPS, HOP_RTT_MS, HOP_LOSS, TOTAL_DEADLINE_MS = 3, 30, 0.05, 100


def steps(seconds: float, seed: int) -> list[dict[str, Any]]:
    """One stream over a hop whose loss steps; of each state what it comes to from two seconds after the
    step on.
    """
    service, traffic = Cell("0 %", 40, 100, "udp-1000pps", 0).service(), Traffic(1.0)
    calm = (Hop(40, Loss()),)
    plain = Line(seed, calm, without_repair(service)).start(traffic, 100, BASELINE_SECONDS).account()
    whole = (seconds + GRACE_S + 2) * len(STEPS)  # each account waits two seconds more for what is late
    line = Line(seed, calm, service)
    flow = line.start(traffic, 100, whole)
    rows: list[dict[str, Any]] = []
    for loss in STEPS:
        line.set_hop(0, Hop(40, Loss(loss)))
        line.run_until(line.now_ns() + GRACE_S * SECOND_NS)
        account = flow.account(line.now_ns() + round(seconds * SECOND_NS))
        rows.append({"loss_pct": 100 * loss, "rtt_ms": 40, "deadline_ms": 100, **figures(account, plain, 1)})
    return rows


def three_hops(packets: int, seed: int) -> list[dict[str, Any]]:
    """Three lossy hops repaired one by one, and the same way repaired from end to end only: relays that
    pass everything on are one long lossy wire.
    """
    cell = Cell("5 % iid", HOP_RTT_MS, TOTAL_DEADLINE_MS, "udp-1000pps", packets, hops=HOPS)
    whole_loss = 1 - (1 - HOP_LOSS) ** HOPS
    ways = {
        "hop by hop": (Hop(HOP_RTT_MS, Loss(HOP_LOSS)),) * HOPS,
        "end to end only": (Hop(HOP_RTT_MS * HOPS, Loss(whole_loss)),),
    }
    rows: list[dict[str, Any]] = []
    for repair, hops in ways.items():
        service, traffic = cell.service(), STREAMS[cell.stream]
        plain = Line(seed, hops, without_repair(service)).start(traffic, TOTAL_DEADLINE_MS, BASELINE_SECONDS)
        ours = Line(seed, hops, service).start(traffic, TOTAL_DEADLINE_MS, cell.seconds())
        way = {"repair": repair, "hops": HOPS, "hop_rtt_ms": HOP_RTT_MS, "deadline_ms": TOTAL_DEADLINE_MS}
        rows.append({**way, **figures(ours.account(), plain.account(), len(hops))})
    return rows
