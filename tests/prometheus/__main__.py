"""Rules, metrics and dashboards with a real Prometheus over a lab of many hosts.

The command line of `make test-prometheus`; the work is in `run`.
"""

import argparse
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from tests.prometheus import run
from tests.prometheus.pages import ROOT


def main() -> int:
    parser = argparse.ArgumentParser(prog="prometheus", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--hosts", type=int, default=20, help="hosts of the lab, 8 or more (20)")
    parser.add_argument("--minutes", type=float, default=2.0, help="how long to watch, 2 or more (2)")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "prometheus.json")
    arguments = parser.parse_args()
    if arguments.hosts < 8:
        parser.error("--hosts: 8 or more")
    if arguments.minutes < 2:
        parser.error("--minutes: 2 or more: loss is measured over a minute")
    if os.geteuid() != 0:
        parser.error("makes network namespaces: run as root")
    for program in ("prometheus", "promtool"):
        if shutil.which(program) is None:
            parser.error(f"there is no {program}: apt-get install prometheus")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(128 + signal.SIGHUP))
    output = arguments.output.resolve()
    well = run.run(output, arguments.hosts, arguments.minutes, _tell)
    _tell(f"{'all is as it should be' if well else 'NOT as it should be'}; the report is in {output}")
    return 0 if well else 1


def _tell(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
