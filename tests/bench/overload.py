"""The overload benchmark: more is offered than a bottleneck, or the engine itself, carries.

The command line of `make bench-overload`. Part one: 800 Mbit/s of UDP in one flow, then TCP, over an emulated
bottleneck of 200 Mbit/s with a deep queue, beside small packets of another flow. Part two: a sender that
floods the engine over a plain veth pair, against the most that arrived at any lower rate. Writes JSON.
"""

import argparse
import dataclasses
import json
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bench.ground import Ground
from tests.bench.measure import Bench
from tests.bench.overlay import Overlay
from tests.bench.programs import Programs
from tests.network.narrow import Bottleneck, Narrow, flood, push

ROOT = Path(__file__).parents[2]
OFFERED_BPS = 800_000_000
WARM_UP_S = 5.0
SIZES = (64, 1352)
WINDOW_MS = 2_000
LEAST, STEP, STEPS_DOWN = 0.5, 1.15, 2
"""Lower rates are tried from this share of what a flood brought, each higher by so much, until so many in a
row brought no more than the best.
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench-overload", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="of each run at the bottleneck (60)")
    parser.add_argument("--rounds", type=int, default=3, help="of the floods (3)")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench" / "overload.json")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("makes network namespaces: run as root")
    result = {
        "load_before": os.getloadavg()[0],
        "bottleneck": bottleneck(arguments.seconds),
        "outrun": {str(size): outrun(size, arguments.rounds) for size in SIZES},
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    return 0


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
    """Datagrams received a second: in a flood, and the most at any lower rate; the median round's ratio."""
    programs = Programs(ROOT, ROOT / "build" / "bench" / "peers", print)
    found: list[dict[str, Any]] = []
    for _ in range(rounds):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            system = Overlay("overlayd")
            ground = stack.enter_context(Ground(system.hosts, offloads=True, directory=folder))
            ends = system.start(ground, programs.find)
            bench = Bench(ground, ends, programs.find, congestion="")
            bench.wait_until_up()
            flooded = bench.flood(size, WINDOW_MS)
            best, rate, worse = 0.0, flooded * LEAST, 0
            while worse < STEPS_DOWN:
                received = bench.flood(size, WINDOW_MS, int(rate))
                worse = 0 if received > best else worse + 1
                best, rate = max(best, received), rate * STEP
            again = bench.flood(size, WINDOW_MS)
            flooded = (flooded + again) / 2
            found.append({"flood_pps": flooded, "best_pps": best, "ratio": flooded / max(best, flooded)})
    found.sort(key=lambda one: one["ratio"])
    return found[len(found) // 2] | {"rounds": found}


if __name__ == "__main__":
    sys.exit(main())
