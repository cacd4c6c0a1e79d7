"""What the command lines of the benchmarks and of the soak share: root, an orderly end, the exit code.

I/O; called by `__main__`, `shards`, `overload` and `tests.soak`.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable

from tests.bench.programs import Missing


def carry_out(parser: argparse.ArgumentParser, work: Callable[[], bool | None]) -> int:
    """Do the work as root; answers the exit code, which is 1 where the work says False.

    Ended in any way but by force, it takes its namespaces and processes with it.
    """
    if os.geteuid() != 0:
        parser.error("makes network namespaces: run as root")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        return int(work() is False)
    except Missing as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
