"""The Debian packages under a real systemd: quick start, reboot, failures, guides, upgrades, removal.

The command line of `make test-systemd`; hosts are in `machines`, what is done to them in `trials`.
"""

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tests.systemd import configuration, failures, trials
from tests.systemd.applications import applications
from tests.systemd.guides import guides
from tests.systemd.machines import daemon, machines, make_image
from tests.systemd.traffic import Report

ROOT = Path(__file__).parents[2]
HOSTS = ("paris", "rome", "oslo")


def main() -> int:
    parser = argparse.ArgumentParser(prog="systemd", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=20, help="upgrades of the engine (20)")
    parser.add_argument("--only", nargs="+", metavar="TRIAL", help="after the quick start; default: all")
    parser.add_argument(
        "--packages", type=Path, default=ROOT / "build" / "deb", help="folder of both packages"
    )
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "systemd.json")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("starts containers: run as root")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    report: dict[str, Any] = {}
    with daemon():
        _tell("a minimal Debian with systemd")
        make_image()
        with machines(HOSTS) as hosts:
            for machine in hosts.values():
                for script in ("load.py", "stopwatch.py"):
                    machine.copy(ROOT / "tests/systemd" / script)
                wanted = "*.deb" if machine.name == "paris" else "overlayd_*.deb"
                for package in arguments.packages.glob(wanted):
                    machine.copy(package)
            for name, trial in (
                ("quick start", lambda: trials.quick_start(hosts)),
                ("reboot", lambda: trials.reboot(hosts)),
                ("security", lambda: trials.security(hosts)),
                ("answer", lambda: trials.answer(hosts)),
                ("applications", lambda: applications(hosts)),
                ("configuration", lambda: configuration.trials(hosts)),
                ("failures", lambda: failures.failures(hosts)),
                ("guides", lambda: guides(hosts, arguments.packages)),
                ("agent upgrade", lambda: trials.agent_upgrade(hosts, arguments.packages)),
                ("engine upgrade", lambda: trials.engine_upgrades(hosts, arguments.packages, arguments.runs)),
                ("removal", lambda: trials.removal(hosts)),
            ):
                if arguments.only and name not in ("quick start", *arguments.only):
                    continue
                report[name] = trial()
                _tell(f"{name}: {json.dumps(report[name])}")
                arguments.output.parent.mkdir(exist_ok=True)
                arguments.output.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    cases: list[Report] = [*report.get("configuration", []), *report.get("failures", [])]
    well = all(part["ok"] for part in report.values() if isinstance(part, dict))
    well = well and all(case[held] for case in cases for held in failures.HOLDS)
    if cases:
        print(failures.table(cases))
    _tell(
        f"{'all is as it should be' if well else 'NOT as it should be'}; the report is in {arguments.output}"
    )
    return 0 if well else 1


def _tell(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
