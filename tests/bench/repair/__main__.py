"""The repair benchmark: what the shipped engine makes of lossy links, in seeded virtual time.

The command line of `make bench-repair`. Same seed, same rows. Writes JSON, prints a table. Exit status 1: a
bound is not met.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench.programs import Missing, Programs
from tests.bench.repair import bounds, cells, courses, live, outages, tcp

ROOT = Path(__file__).parents[3]
Rows = list[dict[str, Any]]


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench-repair", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="the cells with bounds only, a tenth of the packets"
    )
    parser.add_argument(
        "--packets", type=int, default=3_000_000, help="of a cell with the sharpest bound (3 million)"
    )
    parser.add_argument(
        "--matrix-packets", type=int, default=30_000, help="of a cell without a bound (30 000)"
    )
    parser.add_argument(
        "--live-seconds", type=float, default=25.0, help="of each live cell (25); 0: none, as where not root"
    )
    parser.add_argument(
        "--tcp-seconds", type=float, default=20.0, help="of each live flow of TCP (20); 0: none"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench" / "repair.json")
    arguments = parser.parse_args()
    packets = arguments.packets // 10 if arguments.quick else arguments.packets
    document = run(packets, 0 if arguments.quick else arguments.matrix_packets, arguments.seed)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(document, indent=1) + "\n")
    if arguments.live_seconds:
        document["live"] = run_live(arguments.live_seconds, arguments.seed)
        document["udp"] += [row for row in document["live"] if row["system"] == "srt"]
        arguments.output.write_text(json.dumps(document, indent=1) + "\n")
    if arguments.tcp_seconds:
        document["tcp"] = tcp.measure(arguments.tcp_seconds, print)
        arguments.output.write_text(json.dumps(document, indent=1) + "\n")
    verdicts = bounds.verdicts(document)
    print(bounds.table(verdicts))
    of_tcp = tcp.verdicts(document["tcp"])
    for text, met in of_tcp:
        print(f"{'' if met else 'not met: '}{text}")
    return 0 if all(verdict.met for verdict in verdicts) and all(met for _, met in of_tcp) else 1


def run(packets: int, matrix_packets: int, seed: int) -> dict[str, Any]:
    """Run all cells, a process for each core; the document."""
    jobs: list[Callable[[], Rows]] = [partial(cells.measure, cell, seed) for cell in cells.shows(packets)]
    special: list[Callable[[], Rows]] = [
        partial(courses.steps, packets / 30_000, seed),
        partial(courses.three_hops, packets // 5, seed),
        partial(outages.two_paths, packets // 10, seed),
    ]
    rest = cells.matrix(matrix_packets) if matrix_packets else []
    jobs += [partial(cells.measure, cell, seed) for cell in rest]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        running = [pool.submit(job) for job in (*special, *jobs)]
        steps, hops, paths, *of_cells = (future.result() for future in running)
    rows = [row for of_cell in of_cells for row in of_cell]
    return {
        "seed": seed,
        "udp": [row for row in rows if "cap" not in row],
        "capped": [row for row in rows if "cap" in row and row["system"] == "overlayd"],
        "steps": steps,
        "three_hops": hops,
        "two_paths": paths,
        "tcp": [],
        "live": [],
    }


def run_live(seconds: float, seed: int) -> Rows:
    """Run the live cells one after the other, once nothing else takes the cores."""
    programs = Programs(ROOT, ROOT / "build" / "bench" / "peers", print)
    programs.install_debian()
    systems = list(live.SYSTEMS)
    try:
        programs.find(live.SRT)
    except Missing as error:
        print(f"left out: {error}")
        systems.remove("srt")
    return [row for cell in live.CELLS for row in live.measure(cell, seconds, seed, programs.find, systems)]


if __name__ == "__main__":
    sys.exit(main())
