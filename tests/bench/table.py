"""The result as a table for the terminal. Pure; called by `run`."""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.bench.figures import METRICS

HEADINGS = {
    "tcp1_gbps": "TCP 1\nGbit/s",
    "tcp4_gbps": "TCP 4\nGbit/s",
    "udp64_kpps": "UDP 64 B\nkpps",
    "udp1400_gbps_no_loss": "UDP 1380 B\nGbit/s",
    "rtt_us": "RTT\nµs",
    "cpu_s_per_gb": "CPU\ns/GB",
}


def render(document: Mapping[str, Any], order: Sequence[str]) -> str:
    """Medians, and under more than one round least–most behind them; systems in the order given."""
    parts: list[str] = []
    for state, figures in document["offloads"].items():
        systems, spread = figures["systems"], figures["spread"]
        rows = [["", *(HEADINGS[metric].split("\n")[0] for metric in METRICS)]]
        rows.append([f"offloads {state}", *(HEADINGS[metric].split("\n")[1] for metric in METRICS)])
        rows += [
            [name, *(_entry(systems[name], spread[name], metric) for metric in METRICS)]
            for name in order
            if name in systems
        ]
        parts.append(_columns(rows))
        ratios = document["ratios"].get(state, {})
        parts.append("\n".join(f"  {name.replace('_', ' ')}: {value:g}" for name, value in ratios.items()))
    parts += [f"failed: {name}: {reason}" for name, reason in document["failed"].items()]
    return "\n\n".join(part for part in parts if part)


def _entry(figures: Mapping[str, float | None], spread: Mapping[str, Sequence[float]], metric: str) -> str:
    if (value := figures[metric]) is None:
        return "–"
    least, most = spread[metric]
    return f"{value:.3g}" if least == most else f"{value:.3g} ({least:.3g}–{most:.3g})"


def _columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            entry.ljust(width) if column == 0 else entry.rjust(width)
            for column, (entry, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
