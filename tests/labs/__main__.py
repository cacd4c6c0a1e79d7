"""The labs by both runners, each broken as well to see that its check can fail; a table and a report.

The command line of `make test-labs` (namespaces) and `make test-containerlab` (namespaces and containers).
"""

import argparse
import json
import os
import shlex
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from sim.lab import state
from sim.lab.nodes import Runner
from tests.labs import containerlab
from tests.labs.trial import NAMES, Report, trial

ROOT = Path(__file__).parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(prog="labs", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runner", nargs="+", choices=("netns", "clab"), default=["netns"])
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="LAB", default=NAMES)
    parser.add_argument("--packages", type=Path, default=ROOT / "build" / "deb", help="of the node image")
    parser.add_argument("--prepare", action="store_true", help="make what the runner clab needs, and no more")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "labs.json")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("makes network namespaces and containers: run as root")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    reports: list[Report] = []
    with ExitStack() as stack:
        state.ROOT = stack.enter_context(containerlab.scratch())
        runners: list[Runner] = [] if arguments.prepare else arguments.runner
        if arguments.prepare or "clab" in runners:
            stack.enter_context(containerlab.ready(arguments.packages, _tell))
            if faults := containerlab.faults():
                parser.exit(1, "\n".join((*faults, "not what containerlab's schema allows\n")))
            _tell(f"{len(list(containerlab.topologies()))} topology files are valid by containerlab's schema")
        if arguments.prepare:
            print(f"export OVERLAYD_CONTAINERLAB={shlex.quote(os.environ['OVERLAYD_CONTAINERLAB'])}")
            return 0
        for name in arguments.only:
            for by in runners:
                _tell(f"{name}, {by}")
                reports.append(trial(name, by, lambda line: _tell(f"  {line}")))
                _write(reports, arguments.output)
    print(table(reports))
    failed = sum(not report.ok for report in reports)
    _tell(f"{len(reports) - failed} of {len(reports)} are as they should be; see {arguments.output}")
    return 1 if failed else 0


def table(reports: list[Report]) -> str:
    """The reports as a table in Markdown, a row each."""
    rows = [
        f"| {report.name} | {report.runner} | {'ok' if report.ok else 'FAILED'} | {report.seconds:.0f} s |"
        f" {sum(finding.ok for finding in report.findings)} of {len(report.findings)} | {_broken(report)} |"
        for report in reports
    ]
    head = "| lab | runner | | time | figures that hold | what fails once it is broken |"
    return "\n".join((head, "|---|---|---|---|---|---|", *rows))


def _broken(report: Report) -> str:
    return "; ".join(
        f"{way}: {failed.assertion if failed else 'NOTHING'}" for way, failed in report.broken.items()
    )


def _write(reports: list[Report], file: Path) -> None:
    labs = [
        {"name": report.name, "runner": report.runner, "ok": report.ok, "seconds": round(report.seconds, 1)}
        for report in reports
    ]
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"labs": labs}, indent=2) + "\n", "utf-8")


def _tell(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
