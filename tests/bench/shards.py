"""What more shards cost or bring: engines of one to four shards at both ends, measured interleaved.

The command line of `make bench-shards`. Rounds and figures are those of `run` and `figures`; each shard count
is a system, and the ratios are to one shard in the same round. I/O, needs root.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench import figures, run
from tests.bench.command import carry_out
from tests.bench.figures import Cell, Rounds
from tests.bench.overlay import Overlay
from tests.bench.programs import Programs

ROOT = Path(__file__).parents[2]
COUNTS = (1, 2, 3, 4)
METRICS = ("tcp1_gbps", "tcp4_gbps", "udp64_kpps", "cpu_s_per_gb")
STATE = "on"
FLOOR = 0.8
"""Throughput with more shards than cores, against one shard."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench-shards", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often each number is measured (5)")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench", help="folder of the result")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds: at least 1")
    output = arguments.output.resolve()
    return carry_out(parser, lambda: measure(output, arguments.rounds))


def measure(output: Path, rounds: int) -> None:
    """Measure every number of shards in every round; write ``shards.json`` anew after each."""
    run.remove_left_behind()
    programs = Programs(ROOT, ROOT / "build" / "bench" / "peers", run.tell)
    programs.install_tools()
    control = run.pick_control(Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text())
    machine = run.describe_machine(control)
    systems = {name(count): Overlay(name(count), shards=count) for count in COUNTS}
    cells: list[Cell] = []
    found: dict[str, Any] = {}
    output.mkdir(parents=True, exist_ok=True)
    for number in range(1, rounds + 1):
        for system in figures.order(list(systems), number - 1):
            cells.append(run.measure(systems[system], STATE, number, programs, control, METRICS))
            run.tell(f"round {number} of {rounds}, {run.summary(cells[-1])}, {system}")
        found = document(cells, machine)
        (output / "shards.json").write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    print(json.dumps(found["ratios"], indent=2))
    run.tell(f"least throughput against one shard {found['least']}, at least {FLOOR} is asked: shards.json")


def name(count: int) -> str:
    return f"shards-{count}"


def document(cells: Sequence[Cell], machine: dict[str, Any]) -> dict[str, Any]:
    """Medians, spreads and ratios to one shard, by number of shards. ``least`` is of throughput alone."""
    rounds = Rounds.of(cells, STATE)

    def ratios(count: int) -> dict[str, float | None]:
        return {metric: rounds.ratio((name(count), metric), (name(1), metric)) for metric in METRICS}

    against_one = {str(count): ratios(count) for count in COUNTS[1:]}
    throughput = [
        ratio
        for found in against_one.values()
        for metric, ratio in found.items()
        if ratio is not None and metric not in figures.SMALLER_IS_BETTER
    ]
    return {
        "machine": machine,
        "rounds": max((cell.round for cell in cells), default=0),
        "shards": {
            str(count): {metric: rounds.median(name(count), metric) for metric in METRICS} for count in COUNTS
        },
        "spread": {
            str(count): {metric: rounds.spread(name(count), metric) for metric in METRICS} for count in COUNTS
        },
        "ratios": against_one,
        "least": min(throughput, default=None),
        "failed": [cell.failure for cell in cells if cell.figures is None],
    }


if __name__ == "__main__":
    sys.exit(main())
