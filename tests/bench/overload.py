"""The overload benchmark: more is offered than a bottleneck, or the engine itself, carries.

The command line of `make bench-overload`. Part one: 800 Mbit/s of UDP in one flow, then TCP, over an emulated
bottleneck of 200 Mbit/s with a deep queue, beside small packets of another flow. Part two: a sender that
floods the engine over a plain veth pair, against the rate at which most arrives, and the same for the bare
loop: the sender takes from the cores that a tunnel needs, however the tunnel is made. Writes JSON.
"""

import argparse
import dataclasses
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench import figures, run
from tests.bench.command import carry_out
from tests.bench.ground import Ground, remove_left_behind
from tests.bench.measure import LARGE, SMALL, Bench
from tests.bench.overlay import Overlay
from tests.bench.programs import Programs
from tests.bench.systems import REFERENCES, System
from tests.network.narrow import Bottleneck, Narrow, flood, push

ROOT = Path(__file__).parents[2]
PARTS = ("bottleneck", "outrun")
OFFERED_BPS = 800_000_000
WARM_UP_S = 5.0
SYSTEMS: dict[str, System] = {
    system.name: system for system in (*REFERENCES, Overlay("overlayd")) if system.name != "raw"
}
SIZES = (SMALL, LARGE)
WINDOW_MS = 1_000
LEAST, STEP, STEPS_DOWN = 0.7, 1.15, 2
"""Lower rates are tried from this share of what a flood brought, each higher by so much, until so many in a
row brought no more than the best.
"""
PAIRS = 4
"""A flood and the best of the lower rates are then measured by turns: the best of many was lucky, too."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench-overload", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--parts", default=",".join(PARTS), help="bottleneck, outrun, or both")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each run at the bottleneck (60)")
    parser.add_argument("--rounds", type=int, default=2, help="of the floods (2)")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench" / "overload.json")
    arguments = parser.parse_args()
    parts = arguments.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if arguments.seconds <= WARM_UP_S or arguments.rounds < 1:
        parser.error(f"--seconds: more than {WARM_UP_S:g}; --rounds: at least 1")
    return carry_out(parser, lambda: measure(arguments.output, parts, arguments.seconds, arguments.rounds))


def measure(output: Path, parts: Sequence[str], seconds: float, rounds: int) -> None:
    """Measure the named parts and write them."""
    remove_left_behind()
    result: dict[str, Any] = {"load_before": os.getloadavg()[0]}
    if "bottleneck" in parts:
        result["bottleneck"] = bottleneck(seconds)
    if "outrun" in parts:
        result["outrun"] = {str(size): outrun(size, rounds) for size in SIZES}
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def bottleneck(seconds: float) -> dict[str, Any]:
    """Each load on a fresh pair of engines."""
    shape = Bottleneck()
    runs: dict[str, Any] = {}
    for name in ("udp", "tcp"):
        with tempfile.TemporaryDirectory() as folder, Narrow(Path(folder), shape) as narrow:
            target = narrow.hosts[1].addresses[0]
            load = flood(target, OFFERED_BPS, seconds) if name == "udp" else push(target, seconds)
            outcome = narrow.offer(load, seconds, WARM_UP_S)
        rate_mbps = shape.rate_bps / 1e6
        runs[name] = dataclasses.asdict(outcome) | {
            "share_of_rate": outcome.goodput_mbps / rate_mbps,
            "share_of_rate_as_packets": outcome.packets_mbps / rate_mbps,
        }
    return {"shape": dataclasses.asdict(shape), "warm_up_s": WARM_UP_S, "runs": runs}


def outrun(size: int, rounds: int) -> dict[str, Any]:
    """Datagrams received a second of a flood, and at the rate at which most arrive; by system."""
    programs = Programs(ROOT, ROOT / "build" / "bench" / "peers", run.tell)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in SYSTEMS}
    for number in range(rounds):
        for name in figures.order(list(SYSTEMS), number):
            found[name] += outrun_once(SYSTEMS[name], size, programs)
            run.tell(f"round {number + 1} of {rounds}, {size} bytes, {name}: {summary(found[name])}")
    return {name: summary(pairs) for name, pairs in found.items()}


def outrun_once(system: System, size: int, programs: Programs) -> list[tuple[float, float]]:
    """Pairs of what a flood and what the best lower rate brought, one measured after the other."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ground = stack.enter_context(Ground(system.hosts, offloads=True, directory=folder))
        bench = Bench(ground, system.start(ground, programs.find), programs.find, congestion="")
        bench.wait_until_up()
        best, best_rate, worse = 0.0, 0.0, 0
        rate = bench.flood(size, WINDOW_MS) * LEAST
        while worse < STEPS_DOWN:
            received = bench.flood(size, WINDOW_MS, int(rate))
            if received > best:
                best, best_rate, worse = received, rate, 0
            else:
                worse += 1
            rate *= STEP
        return [
            (bench.flood(size, WINDOW_MS), bench.flood(size, WINDOW_MS, int(best_rate))) for _ in range(PAIRS)
        ]


def summary(pairs: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Medians; ``ratio`` is that of the ratios within pairs, and may be above 1."""
    ratios = [flooded / best for flooded, best in pairs]
    return {
        "flood_pps": round(median(flooded for flooded, _ in pairs)),
        "best_pps": round(median(best for _, best in pairs)),
        "ratio": round(median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
    }


if __name__ == "__main__":
    sys.exit(main())
