"""The data plane's benchmark: overlayd, its peers, raw veth and a bare loop, measured interleaved.

The command line of `make bench-dataplane`; the work is in `run`.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

from tests.bench import run
from tests.bench.figures import STATES
from tests.bench.programs import Missing

ROOT = Path(__file__).parents[2]


def main() -> int:
    known = [system.name for system in run.SYSTEMS]
    parser = argparse.ArgumentParser(prog="bench-dataplane", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often each system is measured (5)")
    parser.add_argument("--systems", default="", help=f"some of {','.join(known)} (all)")
    parser.add_argument("--offloads", default=",".join(STATES), help="on, off, or both (on,off)")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench", help="folder of the results")
    arguments = parser.parse_args()
    systems = arguments.systems.split(",") if arguments.systems else known
    states = arguments.offloads.split(",")
    if unknown := (set(systems) - set(known)) | (set(states) - set(STATES)):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if arguments.rounds < 1:
        parser.error("--rounds: at least 1")
    if os.geteuid() != 0:
        parser.error("makes network namespaces: run as root")
    # Ended in any way but by force, it takes its namespaces and processes with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(128 + signal.SIGHUP))
    try:
        run.run(ROOT, arguments.output.resolve(), arguments.rounds, systems, states)
    except Missing as error:
        print(f"bench-dataplane: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    sys.exit(main())
