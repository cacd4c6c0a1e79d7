"""The table at the end: before, during, after, beside the same without the mesh. Pure; called by `story`."""

from collections.abc import Iterable
from dataclasses import dataclass

from rich.table import Table

from sim.demo.measure import Quality


@dataclass(frozen=True, slots=True)
class Met:
    """What an application met on one way of going; ``goodput_mbps`` in Mbit/s."""

    quality: Quality
    goodput_mbps: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """One stretch of the story. ``path``: the way that traffic took in the mesh, in words."""

    phase: str
    path: str
    mesh: Met
    direct: Met | None = None


def table(rows: Iterable[Row]) -> Table:
    """RTT and loss are those of probes; loss is what was left for the application, there and back."""
    made = Table(title="What the application met", title_justify="left")
    made.add_column("")
    made.add_column("path in the mesh")
    for who in ("mesh", "no mesh"):
        for figure in ("RTT p50", "p99", "loss", "Mbit/s"):
            made.add_column(f"{who}\n{figure}", justify="right", no_wrap=True)
    for row in rows:
        made.add_row(row.phase, row.path, *cells(row.mesh), *cells(row.direct))
    return made


def cells(met: Met | None) -> tuple[str, str, str, str]:
    """RTT at the median, at the 99th percentile, loss, goodput; ``–``: not measured."""
    if met is None:
        return "–", "–", "–", "–"
    known = met.quality
    return (
        _figure(known.rtt_p50_ms, "{:.1f} ms"),
        _figure(known.rtt_p99_ms, "{:.1f} ms"),
        _figure(known.loss_ratio, "{:.2%}"),
        _figure(met.goodput_mbps, "{:.2f}" if (met.goodput_mbps or 0) < 10 else "{:.1f}"),
    )


def route(path: Iterable[str]) -> str:
    return " → ".join(path) or "–"


def _figure(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)
