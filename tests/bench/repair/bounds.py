"""What repair has to reach, and whether a document of the benchmark does. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

UDP_BOUNDS: Mapping[str, tuple[float, float]] = {
    "5 % iid": (0.001, 11.0),
    "10 % iid": (0.01, 18.0),
    "1 % iid": (0.001, 3.0),
    "5 % in 3 ms outages": (0.05, 12.0),
    "2 % in 8 ms outages": (0.05, 8.0),
    "0 %": (0.0, 0.5),
}
"""By profile at RTT 40 ms, deadline 100 ms, 1000 packets/s: residual loss and wire overhead, in percent."""
P50_MS, P99_BEYOND_RTT_MS = 1.0, 10.0
VOICE_BOUNDS: Mapping[float | None, tuple[float, float]] = {None: (0.1, 115.0), 0.74: (0.8, 75.0)}
"""By the cap of the class; None: its own."""
STEP_BOUNDS: Mapping[float, tuple[float, float]] = {0.0: (0.0, 0.5), 10.0: (0.01, 18.0), 1.0: (0.001, 3.0)}
PATHS_BOUNDS = (0.001, 15.0)
"""Residual loss and wire overhead where the first of two calm paths dies now and then."""
HOPS_RESIDUAL, HOPS_P99_MS = 0.005, 45.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Figures of a row and their bounds; no bound: it is there to be compared with."""

    name: str
    row: Mapping[str, Any]
    residual: float | None = None
    overhead: float | None = None
    p50: float | None = None
    p99: float | None = None

    @property
    def met(self) -> bool:
        """Whether the row is within all its bounds."""
        row = self.row
        of = ("residual_loss_pct", "wire_overhead_pct", "added_ms_p50", "added_ms_p99")
        most = (self.residual, self.overhead, self.p50, self.p99)
        return all(bound is None or row[name] <= bound for name, bound in zip(of, most, strict=True))


def verdicts(document: Mapping[str, Any]) -> list[Verdict]:
    """All rows that have bounds, and those beside them."""
    return [
        *_udp((*document["udp"], *document["capped"])),
        *_steps(document["steps"]),
        *_hops(document["three_hops"]),
        *_paths(document["two_paths"]),
        *_live(document["live"]),
    ]


def table(found: Iterable[Verdict]) -> str:
    """For the terminal; what is not met is marked."""
    lines = [f"{'':44}{'residual %':>12}{'≤ 95 %':>9}{'wire + %':>9}{'p50 ms':>8}{'p99 ms':>8}"]
    for verdict in found:
        row = verdict.row
        lines.append(
            f"{verdict.name:44}{row['residual_loss_pct']:12.5f}{row['residual_upper95_pct']:9.5f}"
            f"{row['wire_overhead_pct']:9.2f}{row['added_ms_p50']:8.1f}{row['added_ms_p99']:8.1f}"
            f"{'' if verdict.met else '  not met'}"
        )
    return "\n".join(lines)


def _udp(rows: Iterable[Mapping[str, Any]]) -> Iterator[Verdict]:
    for row in rows:
        if row["system"] != "overlayd":
            continue
        place = (row["rtt_ms"], row["deadline_ms"], row["stream"])
        profile = row["profile"]
        if place == (40, 100, "udp-1000pps") and profile in UDP_BOUNDS:
            yield Verdict(profile, row, *UDP_BOUNDS[profile], P50_MS, row["rtt_ms"] + P99_BEYOND_RTT_MS)
        if place == (100, 60, "voice") and profile == "10 % iid":
            cap = row.get("cap")
            name = "voice" if cap is None else f"voice, at most {cap:.0%} redundancy"
            yield Verdict(name, row, *VOICE_BOUNDS[cap])


def _steps(rows: Iterable[Mapping[str, Any]]) -> Iterator[Verdict]:
    for row in rows:
        name = f"2 s after the step to {row['loss_pct']:.0f} %"
        yield Verdict(name, row, *STEP_BOUNDS[round(row["loss_pct"], 6)])


def _hops(rows: Iterable[Mapping[str, Any]]) -> Iterator[Verdict]:
    for row in rows:
        bounded = row["repair"] == "hop by hop"
        name = f"three hops, {row['repair']}"
        if bounded:
            yield Verdict(name, row, HOPS_RESIDUAL, p99=HOPS_P99_MS)
        else:
            yield Verdict(name, row)


def _paths(rows: Iterable[Mapping[str, Any]]) -> Iterator[Verdict]:
    for row in rows:
        bounds = PATHS_BOUNDS if row["second_path"] and row["profile"] == "0 %" else (None, None)
        name = f"the first of two paths dies, {row['profile']}"
        yield Verdict(name if row["second_path"] else f"{name}, without the second", row, *bounds)


def _live(rows: Iterable[Mapping[str, Any]]) -> Iterator[Verdict]:
    """To be compared with virtual time: so few packets, at a machine's mercy, meet no bound."""
    for row in rows:
        stream = "" if row["stream"] == "udp-1000pps" else f"{row['stream']}, "
        yield Verdict(f"live, {row['system']}, {stream}{row['profile']}", row)
