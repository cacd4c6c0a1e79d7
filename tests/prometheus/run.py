"""A lab scraped by a real Prometheus: are all documented metrics there, do the dashboards show something, do
the alerts fire for their causes and for nothing else? I/O, needs root.

Hosts are joined by wires of 5 ms, each with each. Some have something wrong; the others are well, and an
alert that names one of those is a failure.
"""

import json
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sim.lab import process, runner, state
from sim.lab.check import address_of
from sim.lab.errors import LabError
from sim.lab.probe import measure
from sim.lab.sketch import Sketch, Wire
from tests.prometheus.server import Prometheus, promtool

Tell = Callable[[str], None]

PORT = 9460
DEAD, DEAF, LOSSY, RATED = "host02", "host03", "host04", "host05"
"""Killed after a third of the time; 30 % loss on all its wires; 6 % towards those after it; with a rate."""
BROKEN = (DEAD, DEAF, LOSSY)
EXPECTED = {
    "OverlaydHostDown": {DEAD},
    "OverlaydNodeGone": {DEAD},
    "OverlaydResidualLoss": {DEAF},
    "OverlaydLinkLoss": {DEAF, LOSSY},
}
"""Alerts that have to fire, and of which hosts; of all the broken ones they may."""
EXPIRY = "OverlaydCertificateExpires"
"""Has to fire for every host that lives: no certificate is as old as this lab's rule asks for."""
TRAFFIC_S = 20.0
PROBES_A_SECOND = 100


def run(root: Path, output: Path, hosts: int, minutes: float, tell: Tell) -> bool:
    """Check the rules, run the lab for ``minutes``, write the report; whether all is as it should be."""
    rules = root / "packaging" / "prometheus"
    promtool("check", "rules", "overlayd.rules.yml", cwd=rules)
    promtool("test", "rules", "overlayd.rules.test.yml", cwd=rules)
    tell("the rules are well formed, and each alert fires in its test")
    made = sketch(hosts)
    with tempfile.TemporaryDirectory(prefix="overlayd-prometheus-") as folder:
        built = runner.up(made.write(Path(folder), f"prometheus-{os.getpid()}"), tell=tell)
        server = Prometheus(Path(folder) / "prometheus", built.namespaces[made.controller])
        try:
            report = _watch(root, made, built, server, minutes, tell)
        finally:
            server.stop()
            runner.down(built.name)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report, indent=2) + "\n")
    return report["ok"]


def sketch(hosts: int) -> Sketch:
    """The lab: ``hosts`` edges and the controller's machine, where Prometheus runs too."""
    names = [f"host{number:02}" for number in range(1, hosts + 1)]
    wires = [Wire(a, b, _impairment(a, b)) for at, a in enumerate(names) for b in names[at + 1 :]] + [
        Wire(name, "cloud", {"delay": "1ms"}) for name in names
    ]
    made = Sketch((*names, "cloud"), wires, "cloud", {})
    edges: dict[str, dict[str, Any]] = {
        name: {"relay": True, "metrics": {"listen": f"{made.address(name)}:{PORT}"}} for name in names
    }
    edges[RATED]["uplink"] = [{"name": "isp", "address": made.address(RATED), "rate": "50mbit"}]
    return Sketch((*names, "cloud"), wires, "cloud", edges)


def _impairment(a: str, b: str) -> dict[str, object]:
    if DEAF in (a, b):
        return {"delay": "5ms", "loss": "30%"}
    return {"delay": "5ms", "loss": "6%"} if a == LOSSY else {"delay": "5ms"}


def _watch(
    root: Path, made: Sketch, built: state.LabState, server: Prometheus, minutes: float, tell: Tell
) -> dict[str, Any]:
    place = state.folder(built.name)
    token = (place.node(made.controller) / "controller" / "admin.token").read_text().strip()
    rules = (root / "packaging" / "prometheus" / "overlayd.rules.yml").read_text()
    # No certificate of a lab is old: what has less than eight days left is called about to end here.
    rules = rules.replace("2 * 86400", "8 * 86400")
    targets = {name: f"{made.address(name)}:{PORT}" for name in made.edges}
    server.start(targets, "127.0.0.1:7480", token, rules)
    tell(f"Prometheus scrapes {len(targets)} hosts and their controller for {minutes:g} minutes")
    stop = threading.Event()
    talking = [
        threading.Thread(target=_talk, args=(built, a, b, stop), daemon=True)
        for a, b in (("host01", DEAF), (DEAF, "host01"), (RATED, LOSSY), ("host01", DEAD), (LOSSY, "host06"))
    ]
    for thread in talking:
        thread.start()
    began = time.monotonic()
    time.sleep(minutes * 60 / 3)
    tell(f"{DEAD} is killed")
    process.stop_all_in(built.namespaces[DEAD])
    fired: dict[str, set[str]] = {}
    while time.monotonic() - began < minutes * 60:
        time.sleep(5)
        for alert, found in server.firing().items():
            about = fired.setdefault(alert, set())
            about.update(_host_of(labels) for labels in found)
    stop.set()
    for thread in talking:
        thread.join()
    return _report(root, server, fired, targets, minutes)


def _talk(built: state.LabState, source: str, target: str, stop: threading.Event) -> None:
    """Send small packets both ways until told to stop."""
    while not stop.is_set():
        try:
            measure(
                built.namespaces[source],
                built.namespaces[target],
                address_of(built, target, "overlay"),
                count=int(TRAFFIC_S * PROBES_A_SECOND),
                interval_ns=1_000_000_000 // PROBES_A_SECOND,
            )
        except (LabError, OSError):
            stop.wait(1.0)  # killed, or not there yet


def _report(
    root: Path, server: Prometheus, fired: dict[str, set[str]], targets: Mapping[str, str], minutes: float
) -> dict[str, Any]:
    documented = re.findall(r"^\| `(overlayd_\w+)`", (root / "docs/metrics.md").read_text(), re.MULTILINE)
    names = server.names()
    missing = sorted(name for name in documented if f"{name}_count" not in names and name not in names)
    queries = dashboard_queries(root / "packaging" / "grafana")
    empty = sorted(query for query in queries if not server.query(query))
    wanted = EXPECTED | {EXPIRY: set(targets) - {DEAD}}
    unfired = sorted(alert for alert, hosts in wanted.items() if not hosts <= fired.get(alert, set()))
    needless = sorted(
        f"{alert}: {host}"
        for alert, hosts in fired.items()
        for host in hosts
        if alert != EXPIRY and host not in BROKEN
    )
    series = server.query('count({__name__=~"overlayd_.*"})')
    return {
        "ok": not (missing or empty or unfired or needless),
        "minutes": minutes,
        "hosts": len(targets),
        "series": int(float(series[0]["value"][1])),
        "metrics": {"documented": len(documented), "missing": missing},
        "dashboards": {"queries": len(queries), "without_data": empty},
        "alerts": {
            "fired": {alert: sorted(found) for alert, found in sorted(fired.items())},
            "expected_but_silent": unfired,
            "needless": needless,
        },
    }


def dashboard_queries(folder: Path) -> list[str]:
    """Every expression of the shipped dashboards, with Grafana's own variables filled in."""
    found: list[str] = []
    for file in sorted(folder.glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            found += [target["expr"] for target in panel["targets"]]
    return [one.replace("$__rate_interval", "1m").replace("$instance", ".+") for one in found]


def _host_of(labels: Mapping[str, str]) -> str:
    """The host that an alert is about: of several that it names the one that has something wrong."""
    named = [labels[label] for label in ("node", "instance", "peer", "destination") if label in labels]
    return next((host for host in named if host in BROKEN), ", ".join(named))
