"""The rows of TCP: unmodified cubic and bbr of the kernel, live, through a lossy hop and a shared bottleneck.

Beside them the bare wire. Nothing of TCP is modelled. I/O, needs root; called by the command line
or by itself: ``python -m tests.bench.repair.tcp [SECONDS]`` prints rows and verdicts.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.lab.impair import Settings
from tests.bench.repair.cells import PROFILES
from tests.bench.repair.tcp_hop import Carrier, Flow, Hop, Outcome

QUEUE_MS = 100
"""What the hop's queue holds."""
CONGESTED = "congested 20 Mbit/s"
WARM_UP_SHARE = 0.3
"""Of a run: slow start, and repair learns the loss."""
SHARE, REDUNDANCY, LONGER_MS = (0.35, 0.65), 0.05, 10.0
HEAVY = "30 % iid"
HEAVY_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class TcpCell:
    """``goodput_mbps`` and ``wire`` are bounds of ours by cubic; None: none."""

    profile: str
    rtt_ms: int
    rate_mbps: int = 50
    goodput_mbps: float | None = None
    wire: float | None = None

    def settings(self) -> Settings:
        """Both directions alike."""
        rate_bps = self.rate_mbps * 1_000_000
        loss = PROFILES[self.profile].ratio if self.profile in PROFILES else 0.0
        queue = rate_bps * QUEUE_MS // 8000
        return Settings(delay_ns=self.rtt_ms * 500_000, loss_ratio=loss, rate_bps=rate_bps, queue_bytes=queue)


CELLS = (
    TcpCell("5 % iid", 100, goodput_mbps=39, wire=1.22),
    TcpCell("1 % iid", 100, goodput_mbps=42, wire=1.15),
    TcpCell("5 % iid", 200, goodput_mbps=35),
    TcpCell(HEAVY, 40, goodput_mbps=HEAVY_SHARE * 50 * 0.7),
)


def measure(seconds: float, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """All rows, one run after the other: two would take each other's processor."""
    rows: list[dict[str, Any]] = []
    for cell in CELLS:
        for flow in _flows(cell):
            outcome = run(cell, [flow], seconds)
            rows.append(row(cell, flow, outcome))
            tell(line(rows[-1]))
    rows += congested(seconds)
    return rows


def _flows(cell: TcpCell) -> Iterator[Flow]:
    for control in ("cubic",) if cell.profile == HEAVY else ("cubic", "bbr"):
        yield Flow("overlayd", control)
        yield Flow("plain", control)


def run(cell: TcpCell, flows: Sequence[Flow], seconds: float) -> Outcome:
    """Flows side by side across one hop. Raises `LabError` where that does not come up."""
    with tempfile.TemporaryDirectory() as folder, Hop(Path(folder), cell.settings()) as hop:
        targets: dict[Carrier, str] = {}
        for flow in flows:
            if flow.carrier not in targets:
                targets[flow.carrier] = hop.carry(flow.carrier)
        return hop.measure(
            [(flow, targets[flow.carrier]) for flow in flows], seconds, seconds * WARM_UP_SHARE
        )


def row(cell: TcpCell, flow: Flow, outcome: Outcome) -> dict[str, Any]:
    """The row of a flow alone."""
    goodput = outcome.goodput_mbps[0]
    return {
        "profile": cell.profile,
        "rtt_ms": cell.rtt_ms,
        "cc": flow.control,
        "system": flow.carrier,
        "goodput_mbps": round(goodput, 2),
        "wire_per_goodput": round(outcome.wire_mbps / goodput, 3) if goodput else None,
    }


def congested(seconds: float) -> list[dict[str, Any]]:
    """A repaired flow beside a plain one at a bottleneck, and two plain ones; both by cubic. The rows have
    the share of the first, and what small packets waited in the queue.
    """
    cell = TcpCell(CONGESTED, 40, rate_mbps=20)
    plain = Flow("plain", "cubic")
    rows: list[dict[str, Any]] = []
    for first in (Flow("overlayd", "cubic"), plain):
        # Two plain flows cannot be told apart by their address: their sum is halved.
        outcome = run(cell, [first, plain], 2 * seconds)
        ours, other = outcome.goodput_mbps
        if first == plain:
            ours = other = ours / 2
        rows.append(
            {
                **row(cell, first, outcome),
                "goodput_mbps": round(ours, 2),
                "wire_per_goodput": round(outcome.wire_mbps / (ours + other), 3),
                "share": round(ours / (ours + other), 3),
                "redundancy": round(outcome.added_ratio, 4),
                "queue_ms_p50": round(outcome.queue_ms[0], 1),
                "queue_ms_p99": round(outcome.queue_ms[1], 1),
            }
        )
    return rows


def verdicts(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, bool]]:
    """What was promised of ours, and whether the rows have it."""
    found: list[tuple[str, bool]] = []
    by_place = {(r["profile"], r["rtt_ms"], r["cc"], r["system"]): r for r in rows}
    for cell in CELLS:
        ours = by_place.get((cell.profile, cell.rtt_ms, "cubic", "overlayd"))
        if ours is not None and cell.goodput_mbps is not None:
            met = ours["goodput_mbps"] >= cell.goodput_mbps
            wire = "" if cell.wire is None else f" @ {cell.wire}"
            enough = cell.wire is None or (ours["wire_per_goodput"] or cell.wire + 1) <= cell.wire
            found.append((f"≥ {cell.goodput_mbps:g} Mbit/s{wire}: {line(ours)}", met and enough))
        of_bbr = [
            by_place.get((cell.profile, cell.rtt_ms, "bbr", system)) for system in ("overlayd", "plain")
        ]
        if of_bbr[0] is not None and of_bbr[1] is not None:
            met = of_bbr[0]["goodput_mbps"] >= of_bbr[1]["goodput_mbps"]
            found.append((f"≥ bbr alone ({of_bbr[1]['goodput_mbps']}): {line(of_bbr[0])}", met))
    shared = by_place.get((CONGESTED, 40, "cubic", "overlayd"))
    alone = by_place.get((CONGESTED, 40, "cubic", "plain"))
    if shared is not None and alone is not None:
        honest = (
            SHARE[0] <= shared["share"] <= SHARE[1]
            and shared["redundancy"] <= REDUNDANCY
            and shared["queue_ms_p50"] <= alone["queue_ms_p50"] + LONGER_MS
        )
        found.append((f"beside a plain flow: {shared}; queue of two plain ones: {alone}", honest))
    return found


def line(of: Mapping[str, Any]) -> str:
    """A row in a line."""
    return (
        f"{of['profile']}, RTT {of['rtt_ms']}, {of['cc']}, {of['system']}: "
        f"{of['goodput_mbps']} Mbit/s @ {of['wire_per_goodput']}"
    )


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    rows = measure(seconds, lambda text: print(text, flush=True))
    print(json.dumps(rows, indent=1, ensure_ascii=False))
    told = verdicts(rows)
    for text, met in told:
        print(f"{'' if met else 'not met: '}{text}")
    return 0 if all(met for _, met in told) else 1


if __name__ == "__main__":
    sys.exit(main())
