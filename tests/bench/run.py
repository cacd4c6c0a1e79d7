"""A whole run of the benchmark: every system in turn, round after round, and the files that come of it.

I/O; called by `__main__`.
"""

import json
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sim.lab.errors import LabError
from tests.bench import chart, figures, table
from tests.bench.figures import Cell, Figures
from tests.bench.ground import Ground, remove_left_behind
from tests.bench.measure import Bench
from tests.bench.overlay import ON_DEMAND, OVERLAYS
from tests.bench.programs import Missing, Programs
from tests.bench.systems import PEERS, REFERENCES, System

BY_DEFAULT: tuple[System, ...] = (*REFERENCES, *OVERLAYS, *PEERS)
SYSTEMS = (*BY_DEFAULT, *ON_DEMAND)
CONTROLS = ("bbr", "cubic")
"""Congestion controls of TCP, the one to be preferred first."""


def run(root: Path, output: Path, rounds: int, names: Sequence[str], states: Sequence[str]) -> None:
    """Measure the named systems and write ``dataplane.json`` and ``dataplane.svg``, anew after each round."""
    remove_left_behind()
    programs = Programs(root, root / "build" / "bench" / "peers", tell)
    output.mkdir(parents=True, exist_ok=True)
    programs.install()
    congestion = pick_control(Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text())
    machine = describe_machine(congestion)
    cells: list[Cell] = []
    missing: dict[str, str] = {}
    document: dict[str, Any] = {}
    systems = {system.name: system for system in SYSTEMS}
    for number in range(1, rounds + 1):
        for turn, state in enumerate(states):
            left = [name for name in names if name not in missing]
            for name in figures.order(left, (number - 1) * len(states) + turn):
                try:
                    cell = measure(systems[name], state, number, programs, congestion)
                except Missing as error:
                    missing[name] = str(error)
                    continue
                cells.append(cell)
                tell(f"round {number} of {rounds}, offloads {state}, {name}: {summary(cell)}")
        document = figures.document(cells, [peer.name for peer in PEERS], machine, missing)
        (output / "dataplane.json").write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        (output / "dataplane.svg").write_text(chart.render(document, names))
    print(table.render(document, names))
    tell(f"TCP by {congestion}; the figures are in {output}/dataplane.json, the chart in dataplane.svg")


def measure(
    system: System,
    state: str,
    number: int,
    programs: Programs,
    congestion: str,
    metrics: Sequence[str] = figures.METRICS,
) -> Cell:
    """Bring a system up, measure it, take it down. Raises :class:`Missing` where its program is not there."""
    with tempfile.TemporaryDirectory(prefix="ovd-bench") as directory:
        ground = Ground(system.hosts, state == "on", Path(directory))
        try:
            with ground:
                ends = system.start(ground, programs.find)
                found: Figures = Bench(ground, ends, programs.find, congestion).measure(metrics)
        except (LabError, OSError) as error:
            return Cell(system.name, state, number, None, f"{error}\n{ground.log_tail()}".strip())
    return Cell(system.name, state, number, found)


def describe_machine(congestion: str) -> dict[str, Any]:
    """What the figures hold for."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "congestion_control": congestion,
        "load_before": round(os.getloadavg()[0], 2),
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def pick_control(available: str) -> str:
    """The congestion control that all TCP is pinned to."""
    return next((name for name in CONTROLS if name in available.split()), available.split()[0])


def summary(cell: Cell) -> str:
    if cell.figures is None:
        return f"failed: {cell.failure}"
    found = [
        f"{short} {value:.3g}"
        for metric, short in figures.SHORT_NAMES.items()
        if (value := cell.figures[metric]) is not None
    ]
    return ", ".join(found)


def tell(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)
