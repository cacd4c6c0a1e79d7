"""A soak of the data plane: all kinds of traffic between two engines, much of it, compared byte for byte.

The command line of `make soak`; the work is in `run`.
"""

import argparse
import sys
import time
from pathlib import Path

from tests.bench.command import carry_out
from tests.soak import run

ROOT = Path(__file__).parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(prog="soak", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--gb", type=float, default=20.0, help="gigabytes each way (20)")
    parser.add_argument("--seed", type=int, default=0, help="another number, other traffic (0)")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "soak" / "dataplane.json")
    arguments = parser.parse_args()
    if arguments.gb <= 0:
        parser.error("--gb: more than 0")
    output = arguments.output.resolve()

    def work() -> bool:
        equal = run.run(ROOT, output, round(arguments.gb * 1e9), arguments.seed, _tell)
        _tell(f"{'all of it as it was sent' if equal else 'NOT as it was sent'}; the report is in {output}")
        return equal

    return carry_out(parser, work)


def _tell(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
