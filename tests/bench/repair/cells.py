"""The cells of the repair benchmark: profiles of loss, streams, deadlines, and one row of figures for each.
Pure but for the simulated world.

A cell runs twice, with repair and without, from the same seed. The wire overhead is what both directions
carried beyond the run without, in parts of the stream's own datagrams: probes, which are the same in both,
are neither overhead nor payload.
"""

import math
from dataclasses import dataclass
from typing import Any

import msgspec

from overlayd.agent.protector import protect
from overlayd.model.service import DEFAULT_CLASSES
from overlayd.protocol import engine
from tests.bench.repair.line import PAYLOAD_BYTES, Account, Hop, Line, Loss, Traffic, without_repair

PROFILES = {
    "5 % iid": Loss(0.05),
    "10 % iid": Loss(0.10),
    "1 % iid": Loss(0.01),
    "30 % iid": Loss(0.30),
    "0 %": Loss(),
    "5 % in 3 ms outages": Loss(0.05, 3),
    "2 % in 8 ms outages": Loss(0.02, 8),
}
CONGESTED = "congested 20 Mbit/s"
RATE_BPS = 20_000_000
BESIDE = Traffic(0.4)
"""What else wants to pass the bottleneck: 2500 packets a second, more than it carries."""
CONGESTED_SECONDS = 30.0
STREAMS = {
    "udp-1000pps": Traffic(1.0),
    "voice": Traffic(20.0),
    "video": Traffic(40.0, 5, 40),
    "tail": Traffic(500.0, 3, 30),
}
RTTS_MS = (40, 100, 200)
DEADLINES_MS = (50, 100, 200)
VOICE_DEADLINE_MS = 60
BASELINE_SECONDS = 20.0
_INNER, _OUTER, _HOP, _ROUTED_HOP, _RELAY = 28, 28, 31, 61, 2
"""Bytes of inner and outer IP and UDP; of a direct frame beyond its packet; of a routed one, and for each
relay.
"""


@dataclass(frozen=True, slots=True)
class Cell:
    """``class_name`` is a default class, ``cap`` another bound of its redundancy."""

    profile: str
    rtt_ms: int
    deadline_ms: int
    stream: str
    packets: int
    class_name: str = "interactive"
    cap: float | None = None
    hops: int = 1

    def service(self) -> engine.Class:
        """The class that carries the stream, with the cell's deadline."""
        found = next(service for service in DEFAULT_CLASSES if service.name == self.class_name)
        service = msgspec.structs.replace(protect(found), deadline_ms=self.deadline_ms)
        return service if self.cap is None else msgspec.structs.replace(service, repair_cap_ratio=self.cap)

    @property
    def congested(self) -> bool:
        return self.profile == CONGESTED

    def hop(self) -> Hop:
        if self.congested:
            return Hop(self.rtt_ms, Loss(), RATE_BPS)
        return Hop(self.rtt_ms, PROFILES[self.profile])

    def seconds(self) -> float:
        """How long the stream has to last for its packets."""
        if self.congested:
            return CONGESTED_SECONDS
        traffic = STREAMS[self.stream]
        mean = (traffic.burst + max(traffic.burst, traffic.burst_max)) / 2
        return max(5.0, self.packets / mean * traffic.interval_ms / 1000)


def shows(packets: int) -> list[Cell]:
    """The cells of the issue's bounds: each sent so often that the upper bound of what is lost can meet
    them.
    """
    udp = ("5 % iid", "10 % iid", "1 % iid", "5 % in 3 ms outages", "2 % in 8 ms outages", "0 %")
    thin = packets // 10
    return [
        *(
            Cell(profile, 40, 100, "udp-1000pps", packets if "iid" in profile else thin * 3)
            for profile in udp
        ),
        Cell("10 % iid", 100, VOICE_DEADLINE_MS, "voice", thin, "realtime"),
        Cell("10 % iid", 100, VOICE_DEADLINE_MS, "voice", thin, "realtime", cap=0.74),
    ]


def matrix(packets: int) -> list[Cell]:
    """Every profile, round trip, deadline and stream."""
    cells = [
        Cell(profile, rtt, deadline, stream, packets, "realtime" if stream == "voice" else "interactive")
        for profile in (*PROFILES, CONGESTED)
        for rtt in RTTS_MS
        for stream in STREAMS
        for deadline in (*DEADLINES_MS, *([VOICE_DEADLINE_MS] if stream == "voice" else []))
    ]
    told = {(cell.profile, cell.rtt_ms, cell.deadline_ms, cell.stream) for cell in shows(0)}
    return [cell for cell in cells if (cell.profile, cell.rtt_ms, cell.deadline_ms, cell.stream) not in told]


def measure(cell: Cell, seed: int) -> list[dict[str, Any]]:
    """Run a cell; a row for it, and one for the same stream without repair."""
    service, traffic = cell.service(), STREAMS[cell.stream]
    hops = (cell.hop(),) * cell.hops
    beside = BESIDE if cell.congested else None
    without = Line(seed, hops, without_repair(service))
    plain = without.start(traffic, cell.deadline_ms, BASELINE_SECONDS, beside).account()
    ours = Line(seed, hops, service).start(traffic, cell.deadline_ms, cell.seconds(), beside).account()
    # On a full wire it is all traffic that repair's bytes are beyond.
    packets = 1 + cell.seconds() * 1000 / BESIDE.interval_ms / ours.sent if beside else 1.0
    name = {
        "profile": cell.profile,
        "rtt_ms": cell.rtt_ms,
        "deadline_ms": cell.deadline_ms,
        "stream": cell.stream,
    }
    cap = {} if cell.cap is None else {"cap": cell.cap}
    return [
        {**name, "system": "overlayd", **cap, **figures(ours, plain, cell.hops, packets)},
        {**name, "system": "plain", **cap, **figures(plain, plain, cell.hops, packets)},
    ]


def figures(account: Account, plain: Account, hops: int, packets: float = 1.0) -> dict[str, Any]:
    """What a run came to, beside one without repair, for so many ``packets`` of all traffic for one of the
    stream's.
    """
    if account.altered or account.duplicated:
        raise AssertionError(f"a delivered packet was altered or delivered twice: {account}")
    beyond = account.wire_bytes / account.sent - plain.wire_bytes / plain.sent
    return {
        "sent": account.sent,
        "residual_loss_pct": 100 * account.lost / account.sent,
        "residual_upper95_pct": 100 * upper95(account.lost, account.sent),
        "wire_overhead_pct": 100 * beyond / (packets * stream_bytes(hops)),
        "added_ms_p50": account.added_ms_p50,
        "added_ms_p99": account.added_ms_p99,
    }


def stream_bytes(hops: int) -> int:
    """Bytes on all wires of one packet's own datagrams."""
    relays = hops - 1
    frame = _HOP if relays == 0 else _ROUTED_HOP + _RELAY * relays
    return hops * (PAYLOAD_BYTES + _INNER + _OUTER + frame)


def upper95(lost: int, sent: int) -> float:
    """The largest ratio at which so few losses would still be seen in one run of twenty (Poisson; exact for
    one side). It takes losses for independent.
    """
    low, high = float(lost), lost + 10 * math.sqrt(lost + 1) + 10
    for _ in range(60):
        mean = (low + high) / 2
        term = total = math.exp(-mean)
        for count in range(1, lost + 1) if mean < 600 else ():
            term *= mean / count
            total += term
        if mean >= 600:  # beyond what the sum can be told with: the normal approximation
            total = 0.5 * math.erfc((mean - lost - 0.5) / math.sqrt(2 * mean))
        low, high = (mean, high) if total > 0.05 else (low, mean)
    return min(1.0, high / sent)
