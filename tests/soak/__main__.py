"""A soak of the data plane: all kinds of traffic between two engines, much of it, compared byte for byte.

The command line of `make soak`; the work is in `run`.
"""

import argparse
import os
import signal
import sys
import time
from pathlib import Path

from tests.soak import run

ROOT = Path(__file__).parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(prog="soak", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--gb", type=float, default=20.0, help="gigabytes each way (20)")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "soak" / "dataplane.json")
    arguments = parser.parse_args()
    if arguments.gb <= 0:
        parser.error("--gb: more than 0")
    if os.geteuid() != 0:
        parser.error("makes network namespaces: run as root")
    # Ended in any way but by force, it takes its namespaces and processes with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(128 + signal.SIGHUP))
    output = arguments.output.resolve()
    try:
        equal = run.run(ROOT, output, round(arguments.gb * 1e9), _tell)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    _tell(f"{'all of it as it was sent' if equal else 'NOT as it was sent'}; the report is in {output}")
    return 0 if equal else 1


def _tell(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
