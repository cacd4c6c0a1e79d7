"""A site without its controller: its link cut, agent, engine or workload unit killed, the host rebooted, each
time with a process and a container that users ask. Before it, how soon an app that sleeps answers.

The command line of `make test-autonomy`: the packages on hosts with a real systemd (`tests.systemd`), of
which one runs a Docker of its own. Writes build/autonomy.json. I/O.
"""

import argparse
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.autonomy import rows
from tests.autonomy.rows import Row
from tests.autonomy.site import KINDS, Site
from tests.controller.orchestration.control.partitions import World
from tests.systemd.machines import INCLUDED, Image, Machine, daemon, machines, make_image
from tests.systemd.trials import quick_start

ROOT = Path(__file__).parents[2]
HOSTS = ("paris", "rome", "oslo")
IMAGE = Image(
    "overlayd-test-apps:bookworm",
    f"{INCLUDED},docker.io,iptables,haproxy,dnsmasq-base,busybox-static",
    # Docker's networks take sysctls that are writable, its layers a file system that is no overlay.
    ("--security-opt", "systempaths=unconfined", "--volume", "/var/lib/docker"),
)
WORLDS = 200
STARTS = 10
FIRST_S = {"process": 1.5, "container": 3.0}
"""Until the first answer of an app that slept; its image is there."""
CALM_S = 3.0
RETURN_S = 10.0
"""Once the controller is back it is looked for so long whether anything starts anew."""


@dataclass(frozen=True, slots=True)
class Disturbance:
    """``needs``: units that have to be up again before an app can be; a container needs Docker as well."""

    event: str
    act: Callable[[Site], None]
    needs: tuple[str, ...] = ()
    reboot: bool = False


UNITS = ("overlayd-agent", "overlayd-engine", "overlayd-workload")
DISTURBANCES = (
    Disturbance("link cut", Site.cut),
    *(Disturbance(f"{unit} killed", lambda site, unit=unit: site.kill(unit), (unit,)) for unit in UNITS),
    Disturbance("host rebooted", lambda site: site.rome.reboot(), UNITS[1:], reboot=True),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="autonomy", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--packages", type=Path, default=ROOT / "build" / "deb")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "autonomy.json")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("starts containers: run as root")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    report: dict[str, Any] = {"singletons": _singletons()}
    _tell(f"singletons: {report['singletons']}")
    with daemon(IMAGE):
        _tell("a minimal Debian with systemd and Docker")
        make_image(IMAGE)
        with machines(HOSTS, IMAGE) as hosts:
            site = _begun(hosts, arguments.packages)
            report["from zero"] = [_from_zero(site, kind) for kind in KINDS]
            found = [row for one in DISTURBANCES for row in _disturbed(site, one)]
    report["autonomy"] = [row.told() for row in found]
    print(rows.table(found))
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    well = all(part["ok"] for part in (report["singletons"], *report["from zero"], *report["autonomy"]))
    _tell(
        f"{'all is as it should be' if well else 'NOT as it should be'}; the report is in {arguments.output}"
    )
    return 0 if well else 1


def _singletons() -> dict[str, Any]:
    """Random worlds of partitions, drifting clocks and restarts, with the shipped leases."""
    worlds = [World(seed).run() for seed in range(WORLDS)]
    double = sum(bool(world.double) for world in worlds)
    replaced = sum(world.replaced for world in worlds)
    return {"worlds": WORLDS, "replaced": replaced, "double": double, "ok": not double and replaced > WORLDS}


def _begun(hosts: dict[str, Machine], packages: Path) -> Site:
    """The quick start of README.md, and what applications take beyond it."""
    for name, machine in hosts.items():
        for package in packages.glob("*.deb" if name == "paris" else "overlayd_*.deb"):
            machine.copy(package)
    _tell(f"quick start: {quick_start(hosts)}")
    site = Site(hosts["rome"], hosts["paris"])
    site.prepare()
    for kind in KINDS:
        site.apply(kind, kind)
    for kind in KINDS:
        site.until(f"{kind} serves", lambda kind=kind: site.serves(kind))
    return site


def _from_zero(site: Site, kind: str) -> dict[str, Any]:
    """The first request to apps that sleep, each an app of its own."""
    seconds: list[float] = []
    for number in range(STARTS):
        name = f"asleep{number}-{kind}"
        site.apply(kind, name, least=0)
        time.sleep(CALM_S)
        if site.runs(name):
            raise SystemExit(f"{name} runs, and nobody has asked for it")
        seconds.append(round(site.once(name), 3))
        site.delete(name)
    found = {
        "kind": kind,
        "seconds": seconds,
        "median": round(statistics.median(seconds), 3),
        "ok": max(seconds) <= FIRST_S[kind],
    }
    _tell(f"from zero: {found}")
    return found


def _disturbed(site: Site, disturbance: Disturbance) -> list[Row]:
    """What users of the site met while it was without its controller, and what its return did."""
    cut = disturbance.act is Site.cut
    if not cut:
        site.paris.shell("systemctl stop overlayd-controller")
    before = {kind: site.runs(kind) for kind in KINDS}
    users = None if disturbance.reboot else site.asking()
    time.sleep(CALM_S)
    acted_s = time.monotonic()
    disturbance.act(site)
    users = users or site.asking()
    time.sleep(CALM_S)
    for kind in KINDS:
        site.until(f"{kind} serves", lambda kind=kind: site.serves(kind))
    time.sleep(CALM_S)
    seen = site.asked(users)
    alone = {kind: site.runs(kind) for kind in KINDS}
    site.mend() if cut else site.paris.shell("systemctl start overlayd-controller")
    site.returned()
    time.sleep(RETURN_S)
    found: list[Row] = []
    for kind in KINDS:
        needs = (*disturbance.needs, *(["docker"] if disturbance.reboot and kind == "container" else []))
        up_s = max(map(site.up_s, needs), default=acted_s)
        found.append(
            Row(
                event=disturbance.event,
                kind=kind,
                requests=len(seen[kind]),
                failed=rows.failed(seen[kind]),
                serves_s=rows.serves_s(seen[kind], up_s),
                kept=None if disturbance.reboot else before[kind] == alone[kind],
                restarts=len(alone[kind] - site.runs(kind)),
            )
        )
        _tell(f"{found[-1].told()}")
    return found


def _tell(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
