"""The data plane's benchmark: overlayd, its peers, raw veth and a bare loop, measured interleaved.

The command line of `make bench-dataplane`; the work is in `run`.
"""

import argparse
import sys
from pathlib import Path

from tests.bench import run
from tests.bench.command import carry_out
from tests.bench.figures import STATES

ROOT = Path(__file__).parents[2]


def main() -> int:
    known = [system.name for system in run.SYSTEMS]
    parser = argparse.ArgumentParser(prog="bench-dataplane", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often each system is measured (5)")
    parser.add_argument("--systems", default="", help=f"some of {','.join(known)}")
    parser.add_argument("--offloads", default=",".join(STATES), help="on, off, or both (on,off)")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench", help="folder of the results")
    arguments = parser.parse_args()
    systems = (
        arguments.systems.split(",") if arguments.systems else [system.name for system in run.BY_DEFAULT]
    )
    states = arguments.offloads.split(",")
    if unknown := (set(systems) - set(known)) | (set(states) - set(STATES)):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if arguments.rounds < 1:
        parser.error("--rounds: at least 1")
    output = arguments.output.resolve()
    return carry_out(parser, lambda: run.run(ROOT, output, arguments.rounds, systems, states))


if __name__ == "__main__":
    sys.exit(main())
