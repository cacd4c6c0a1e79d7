"""Figures of a benchmark and what follows from them: medians, spreads, ratios, the JSON document.

A *cell* is one system, brought up once and measured once: one round, one state of the veth pairs' offloads.
Ratios are taken round by round, between systems that were measured within the same minutes, and only then
their median. Pure; called by `run`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, TypeAlias

SHORT_NAMES = {
    "tcp1_gbps": "tcp1",
    "tcp4_gbps": "tcp4",
    "udp64_kpps": "udp64",
    "udp1400_gbps_no_loss": "udp1400",
    "rtt_us": "rtt",
    "cpu_s_per_gb": "cpu",
}
METRICS = tuple(SHORT_NAMES)
SMALLER_IS_BETTER = frozenset({"rtt_us", "cpu_s_per_gb"})
STATES = ("on", "off")

Figures: TypeAlias = Mapping[str, float | None]
"""One value for each of :data:`METRICS`, in the unit of its name; None: it means nothing for the system."""


@dataclass(frozen=True, slots=True)
class Cell:
    """``figures`` of a system in one round (from 1), or the ``failure`` that kept it from having any."""

    system: str
    state: str
    round: int
    figures: Figures | None
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Rounds:
    """What was measured in one state of the offloads: by system, by metric, by round."""

    values: Mapping[str, Mapping[str, Mapping[int, float]]]

    @staticmethod
    def of(cells: Iterable[Cell], state: str) -> "Rounds":
        values: dict[str, dict[str, dict[int, float]]] = {}
        for cell in cells:
            if cell.state == state and cell.figures is not None:
                system = values.setdefault(cell.system, {metric: {} for metric in METRICS})
                for metric in METRICS:
                    if (value := cell.figures[metric]) is not None:
                        system[metric][cell.round] = value
        return Rounds(values)

    def median(self, system: str, metric: str) -> float | None:
        """None: there is no such figure."""
        found = self.values.get(system, {}).get(metric, {})
        return median(found.values()) if found else None

    def spread(self, system: str, metric: str) -> tuple[float, float] | None:
        """Least and most."""
        found = self.values.get(system, {}).get(metric, {})
        return (min(found.values()), max(found.values())) if found else None

    def best(self, metric: str, systems: Iterable[str]) -> str | None:
        """Whose median is best; None: nobody has one."""
        medians = [(value, name) for name in systems if (value := self.median(name, metric)) is not None]
        if not medians:
            return None
        return (min if metric in SMALLER_IS_BETTER else max)(medians)[1]

    def ratio(self, above: tuple[str, str], below: tuple[str | None, str]) -> float | None:
        """Median over the rounds of one (system, metric) divided by another; None: no round has both."""
        quotients = [a / b for a, b in self._pairs(above, below) if b]
        return median(quotients) if quotients else None

    def difference(self, first: tuple[str, str], second: tuple[str, str]) -> float | None:
        """Median over the rounds of one (system, metric) less another; None: no round has both."""
        found = [a - b for a, b in self._pairs(first, second)]
        return median(found) if found else None

    def _pairs(self, first: tuple[str, str], second: tuple[str | None, str]) -> Iterable[tuple[float, float]]:
        a, b = (self.values.get(system or "", {}).get(metric, {}) for system, metric in (first, second))
        return [(a[number], b[number]) for number in sorted(a.keys() & b.keys())]


def document(
    cells: Sequence[Cell], peers: Sequence[str], machine: Mapping[str, Any], missing: Mapping[str, str]
) -> dict[str, Any]:
    """The whole result. ``missing`` are systems that could not be had at all, each with the reason."""
    rounds = {state: Rounds.of(cells, state) for state in STATES}
    return {
        "machine": machine,
        "rounds": max((cell.round for cell in cells), default=0),
        "offloads": {state: _figures(rounds[state]) for state in STATES if rounds[state].values},
        "ratios": {state: ratios(rounds[state], peers) for state in STATES if rounds[state].values},
        "best_peers": {
            state: {metric: best for metric in METRICS if (best := rounds[state].best(metric, peers))}
            for state in STATES
            if rounds[state].values
        },
        "failed": {**missing, **_failures(cells)},
    }


def _figures(rounds: Rounds) -> dict[str, Any]:
    return {
        "systems": {
            name: {metric: _short(rounds.median(name, metric)) for metric in METRICS}
            for name in rounds.values
        },
        "spread": {
            name: {
                metric: [_short(end) for end in ends]
                for metric in METRICS
                if (ends := rounds.spread(name, metric))
            }
            for name in rounds.values
        },
    }


def ratios(rounds: Rounds, peers: Sequence[str]) -> dict[str, float]:
    """Ourselves against the best peer of each metric, the bare loop and each other.

    Those that end in ``_us`` are differences.
    """
    us, relay1, relay2, repaired, bare, raw = (
        "overlayd",
        "overlayd-relay1",
        "overlayd-relay2",
        "overlayd-repair-on",
        "bare-loop",
        "raw",
    )
    found = {
        f"{short}_to_best_peer": rounds.ratio((us, metric), (rounds.best(metric, peers), metric))
        for metric, short in SHORT_NAMES.items()
    }
    best = rounds.best("tcp1_gbps", peers)
    found |= {
        "tcp1_to_bare_loop": rounds.ratio((us, "tcp1_gbps"), (bare, "tcp1_gbps")),
        "udp64_to_bare_loop": rounds.ratio((us, "udp64_kpps"), (bare, "udp64_kpps")),
        "tcp1_to_raw": rounds.ratio((us, "tcp1_gbps"), (raw, "tcp1_gbps")),
        "tcp4_to_tcp1": rounds.ratio((us, "tcp4_gbps"), (us, "tcp1_gbps")),
        "relay1_tcp1_to_best_peer": rounds.ratio((relay1, "tcp1_gbps"), (best, "tcp1_gbps")),
        "relay2_tcp1_to_best_peer": rounds.ratio((relay2, "tcp1_gbps"), (best, "tcp1_gbps")),
        "repair_on_tcp1_to_overlayd": rounds.ratio((repaired, "tcp1_gbps"), (us, "tcp1_gbps")),
        **{
            f"repair_on_to_off_{short}": rounds.ratio((us, metric), ("overlayd-repair-off", metric))
            for metric, short in SHORT_NAMES.items()
        },
        "rtt_added_us": rounds.difference((us, "rtt_us"), (raw, "rtt_us")),
        "rtt_added_by_relay1_us": rounds.difference((relay1, "rtt_us"), (us, "rtt_us")),
        "rtt_added_by_relay2_us": rounds.difference((relay2, "rtt_us"), (relay1, "rtt_us")),
    }
    return {name: short for name, value in found.items() if (short := _short(value)) is not None}


def _failures(cells: Iterable[Cell]) -> dict[str, str]:
    failures: dict[str, list[str]] = {}
    for cell in cells:
        if cell.figures is None:
            where = f"round {cell.round}, offloads {cell.state}: {cell.failure}"
            failures.setdefault(cell.system, []).append(where)
    return {system: "\n".join(found) for system, found in failures.items()}


def _short(value: float | None) -> float | None:
    """Four digits: more than the spread of any figure here deserves."""
    return None if value is None else float(f"{value:.4g}")


def order(systems: Sequence[str], turn: int) -> list[str]:
    """The order of a turn (from 0): each turn begins one system further."""
    start = turn % max(len(systems), 1)
    return [*systems[start:], *systems[:start]]
