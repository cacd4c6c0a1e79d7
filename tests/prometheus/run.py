"""A lab that a real Prometheus watches, and what is broken in it. I/O, needs root.

Hosts are joined by wires of 5 ms, each with each. Some have something wrong; the others are well, and an
alert that names one of those is a failure. What is asked of the result is in `judge`.
"""

import json
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from sim.lab import netns, process, runner, state
from sim.lab.check import address_of
from sim.lab.errors import LabError
from sim.lab.probe import measure
from sim.lab.sketch import Sketch, Wire
from tests.prometheus import judge
from tests.prometheus.pages import PROMETHEUS
from tests.prometheus.server import Prometheus, promtool

Tell = Callable[[str], None]

PORT = 9460
CONTROLLER = "cloud"
"""A host too, on good wires: the guide's paris. Prometheus lives there."""
ALERTS_AS_THEY_ARE = 10.0
"""Minutes. In less, alerts wait for less before they fire, in proportion."""
TRAFFIC_S = 20.0
PACKETS_A_SECOND = 50
PROBE_BUDGET = 10_000
"""Bytes per second and host: all of them share one machine, which else does little but probe."""


def run(output: Path, hosts: int, minutes: float, tell: Tell) -> bool:
    """Check the rules, run the lab for ``minutes``, write the report; whether all is as it should be."""
    promtool("check", "rules", "overlayd.rules.yml", cwd=PROMETHEUS)
    promtool("test", "rules", "overlayd.rules.test.yml", cwd=PROMETHEUS)
    tell("the rules are well formed, and each alert fires in its test")
    made = sketch(hosts)
    with tempfile.TemporaryDirectory(prefix="overlayd-prometheus-") as folder:
        built = runner.up(made.write(Path(folder), f"prometheus-{os.getpid()}"), tell=tell)
        server = Prometheus(Path(folder) / "prometheus", built.namespaces[CONTROLLER])
        try:
            report = _watch(built, server, list(made.edges), minutes, tell)
        finally:
            server.stop()
            runner.down(built.name)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report, indent=2) + "\n")
    return report["ok"]


def sketch(hosts: int) -> Sketch:
    """The lab: ``hosts`` edges, the controller's host among them as the last."""
    names = [*(f"host{number:02}" for number in range(1, hosts)), CONTROLLER]
    wires = [Wire(a, b, _impairment(a, b)) for at, a in enumerate(names) for b in names[at + 1 :]]
    bare = Sketch(names, wires, CONTROLLER, {})
    edges: dict[str, dict[str, Any]] = {
        # The overlay's addresses are given out in the order of joining; they come after the agent listens.
        name: {"relay": name != CONTROLLER, "metrics": {"listen": f"100.64.0.{number}:{PORT}"}}
        for number, name in enumerate(names, start=1)
    }
    rated = {"name": "isp", "address": bare.address(judge.RATED), "rate": "50mbit"}
    edges[judge.RATED]["uplink"] = [rated]
    return Sketch(names, wires, CONTROLLER, edges, settings={"probing": {"budget": PROBE_BUDGET}})


def _impairment(a: str, b: str) -> dict[str, object]:
    if CONTROLLER in (a, b):
        return {"delay": "1ms"}
    if judge.DEAF in (a, b):
        return {"delay": "5ms", "loss": "30%"}
    if a == judge.LOSSY:
        return {"delay": "5ms", "loss": "6%"}
    return {"delay": "5ms", "loss": "0.5%"} if judge.RATED in (a, b) else {"delay": "5ms"}


def rules_of_lab(minutes: float) -> str:
    """The shipped rules. No certificate of a lab is old: what has less than eight days left is called about
    to end here, and in few minutes nobody waits for many.
    """
    document = yaml.safe_load((PROMETHEUS / "overlayd.rules.yml").read_text("utf-8"))
    share = min(1.0, minutes / ALERTS_AS_THEY_ARE)
    for group in document["groups"]:
        for rule in group["rules"]:
            rule["expr"] = rule["expr"].replace("2 * 86400", "8 * 86400")
            if "for" in rule:
                number, unit = re.fullmatch(r"(\d+)([sm])", rule["for"]).groups()  # type: ignore[union-attr]
                rule["for"] = f"{int(int(number) * (60 if unit == 'm' else 1) * share)}s"
    return yaml.safe_dump(document, allow_unicode=True)


def _watch(
    built: state.LabState, server: Prometheus, hosts: list[str], minutes: float, tell: Tell
) -> dict[str, Any]:
    server.start()
    controller = state.folder(built.name).node(CONTROLLER) / "controller"
    server.set_up(controller, rules_of_lab(minutes))
    tell(f"Prometheus, set up by the guide, watches {len(hosts)} hosts for {minutes:g} minutes")
    stop = threading.Event()
    talker, rated = judge.TALKERS
    pairs = (
        (talker, judge.DEAF),
        (judge.DEAF, talker),
        (talker, judge.DEAD),
        (rated, judge.LOSSY),
        (rated, "host06"),
    )
    talking = [threading.Thread(target=_talk, args=(built, a, b, stop), daemon=True) for a, b in pairs]
    for thread in talking:
        thread.start()
    began = time.monotonic()
    _wait(began + minutes * 10)
    _kill_engine(built, judge.LOSSY)
    _wait(began + minutes * 20)
    process.stop_all_in(built.namespaces[judge.DEAD])
    _kill_engine(built, judge.LOSSY)
    tell(f"{judge.DEAD} is dead, the engine of {judge.LOSSY} was killed twice")
    fired: dict[str, list[dict[str, str]]] = {}
    while time.monotonic() - began < minutes * 60:
        time.sleep(5)
        for alert, found in server.firing().items():
            about = fired.setdefault(alert, [])
            about += [labels for labels in found if labels not in about]
    server.stand_still()
    try:
        return {"minutes": minutes, **judge.report(server, hosts, fired)}
    finally:
        stop.set()
        for thread in talking:
            thread.join()


def _wait(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def _kill_engine(built: state.LabState, host: str) -> None:
    for pid in netns.processes(built.namespaces[host]):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if b"overlayd.cli.daemon" in words and b"engine" in words:
            os.kill(pid, 9)


def _talk(built: state.LabState, source: str, target: str, stop: threading.Event) -> None:
    """Send small packets both ways until told to stop."""
    while not stop.is_set():
        try:
            measure(
                built.namespaces[source],
                built.namespaces[target],
                address_of(built, target, "overlay"),
                count=int(TRAFFIC_S * PACKETS_A_SECOND),
                interval_ns=1_000_000_000 // PACKETS_A_SECOND,
            )
        except (LabError, OSError):
            stop.wait(1.0)  # killed, or not there yet
