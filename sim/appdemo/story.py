"""What happens to the app, one chapter after another, and what was found. I/O."""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import yaml

from sim.appdemo import figures
from sim.appdemo.load import Load
from sim.appdemo.sites import USERS, Sites
from sim.demo.stage import Stage
from sim.lab import acts
from sim.lab.errors import LabError
from sim.lab.expect import Restarted

PER_SECOND = 150.0
ASKING = 8
BOUND_MS = 20.0
ENOUGH = 20_000
"""Requests during the move and the canary."""
MOVED_WITHIN_S = 20.0
_APP = "qc"
_PORT = 80
_CALM_S = 15.0
_AFTER_S = 20.0
"""So long the users' times are taken once the app has moved, and all is calm again."""
_PATIENCE_S = 120.0
_LOCAL = 100


class Findings(msgspec.Struct):
    """``failed``: of all but those of the stretch in which a host died; ``in_flight``: users, each of whom
    waits for one answer at a time. ``load`` of the machine over the last minute, as each p99 was taken: all
    sites share its processors, and what waits for one is part of the figure.
    """

    requests: int = 0
    failed: int = 0
    failed_at_node_death: int = 0
    in_flight: int = ASKING
    move_seconds: float | None = None
    p99_ms: dict[str, float | None] = {}
    load: dict[str, float] = {}
    answered_by: dict[str, int] = {}
    offline_restart_ok: bool = False
    restarts_on_reconnect: int | None = None

    def shortfalls(self) -> list[str]:
        """What was promised and not kept."""
        moved, after_ms = self.move_seconds, self.p99_ms.get("after")
        claims = [
            (self.requests >= ENOUGH, f"{self.requests} requests, {ENOUGH} are wanted"),
            (self.failed == 0, f"{self.failed} requests failed besides the host's death"),
            (
                self.failed_at_node_death <= self.in_flight,
                f"{self.failed_at_node_death} failed as the host died, at most {self.in_flight} in flight",
            ),
            (moved is not None and moved <= MOVED_WITHIN_S, f"back within the bound after {moved} s"),
            (
                after_ms is not None and after_ms <= BOUND_MS,
                f"p99 after the move is {after_ms} ms at a load of {self.load.get('after')}",
            ),
            (self.offline_restart_ok, "the site that was cut off did not serve"),
            (self.restarts_on_reconnect == 0, f"{self.restarts_on_reconnect} restarts on reconnection"),
        ]
        return [problem for kept, problem in claims if not kept]


class Story:
    """One run; ``findings`` fill as it goes."""

    def __init__(self, sites: Sites, stage: Stage) -> None:
        self._sites = sites
        self._stage = stage
        self.findings = Findings()

    def play(self) -> None:
        """All of it. Raises :class:`LabError`."""
        self._apply()
        address = self._route()
        load = Load(self._sites.state.namespaces[USERS], address, _PORT, ASKING, PER_SECOND)
        try:
            self._users(load)
        finally:
            load.stop()
        self._cut_off(address)

    def _users(self, load: Load) -> None:
        self._stage.say(f"{ASKING} users in {USERS} ask {PER_SECOND:g} times a second")
        begun = time.time()
        time.sleep(_CALM_S)
        self._p99("before", load, begun, time.time())
        self._degrade(load)
        self._canary(load)
        self._wait(f"{ENOUGH} requests", lambda: len(load.since(begun)) >= ENOUGH)
        calm_until = time.time()
        self._die(load)
        died_until = time.time()
        load.stop()
        found = self.findings
        found.requests = len(load.asked)
        found.failed_at_node_death = figures.failed(figures.between(load.asked, calm_until, died_until))
        found.failed = figures.failed(load.asked) - found.failed_at_node_death
        found.answered_by = dict(Counter(one.version for one in load.asked if one.version))
        self._stage.say(
            f"{found.requests} requests, {found.failed} failed, {found.failed_at_node_death} at the death"
        )

    # Chapters

    def _apply(self) -> None:
        self._stage.chapter(1, f"an app is applied: for users in {USERS}, within {BOUND_MS:g} ms")
        self._sites.kubectl("apply", "-f", "-", told=manifests("v1"))
        self._sites.kubectl("wait", "app", _APP, "--for=condition=Available", "--timeout=60s")
        self._sites.kubectl("wait", "app", _APP, "--for=condition=WithinBounds", "--timeout=60s")
        self._stage.say(f"it runs at {', '.join(self._nodes())}")

    def _route(self) -> str:
        self._wait("a route with an instance", lambda: self._status("approute").get("readyInstances", 1) >= 1)
        address = self._status("approute")["address"]
        self._stage.say(f"users reach it at {address}")
        time.sleep(2.0)
        return address

    def _degrade(self, load: Load) -> None:
        before = self._nodes()
        self._stage.chapter(2, f"the lines of {before[0]} become 30 ms longer")
        self._sites.impair(before[0], delay="32ms")
        degraded = time.time()
        self._wait("a move", lambda: self._nodes() != before and before[0] not in self._nodes())
        moved = time.time()
        self._wait("the old instance's end", lambda: len(self._pods()) == 1)
        time.sleep(_AFTER_S)
        self.findings.move_seconds = figures.seconds_until_within(load.asked, degraded, time.time(), BOUND_MS)
        self._p99("degraded", load, degraded + 1.0, min(moved, degraded + 5.0))
        self._p99("after", load, time.time() - _AFTER_S, time.time())
        self._stage.say(
            f"it runs at {', '.join(self._nodes())}; users are well after {self.findings.move_seconds} s"
        )

    def _canary(self, load: Load) -> None:
        self._stage.chapter(3, "a new version goes out as a canary")
        begun = time.time()
        self._sites.kubectl("apply", "-f", "-", told=manifests("v2"))
        self._wait("the new version everywhere", lambda: self._rolled_out("v2", load, begun))
        shares = Counter(one.version for one in load.since(begun) if one.version)
        self._stage.say(", ".join(f"{version}: {count} answers" for version, count in sorted(shares.items())))

    def _die(self, load: Load) -> None:
        self._sites.kubectl("scale", "app", _APP, "--replicas=2")
        self._wait("a second instance", lambda: len(self._ready()) == 2)
        time.sleep(5.0)
        dying = self._nodes()[0]
        self._stage.chapter(4, f"the host at {dying} dies")
        self._sites.end(dying)
        died = time.time()
        self._wait("answers by the others", lambda: self._well(load, died))
        time.sleep(_CALM_S)

    def _cut_off(self, address: str) -> None:
        site = next(
            pod["spec"]["nodeName"] for pod in self._ready() if pod["spec"]["nodeName"] in self._living()
        )
        self._stage.chapter(5, f"{site} is cut off, and its agent started anew")
        before = self._containers(site)
        self._sites.impair(site, blackhole=True)
        act = acts.Disturbance(self._sites.name, [Restarted(site, "agent")])
        act.begin()
        act.end()
        load = Load(self._sites.state.namespaces[site], address, _PORT, 1, 20.0)
        time.sleep(_LOCAL / 20.0)
        load.stop()
        self.findings.offline_restart_ok = len(load.asked) > _LOCAL / 2 and figures.failed(load.asked) == 0
        self._stage.say(f"{len(load.asked)} requests within the site, {figures.failed(load.asked)} failed")
        self._sites.impair(site, blackhole=False)
        self._wait("its return", lambda: self._connected(site))
        time.sleep(_CALM_S)
        after = self._containers(site)
        self.findings.restarts_on_reconnect = sum(1 for one in before if one not in after)
        self._stage.say(
            f"the lines are back: {self.findings.restarts_on_reconnect} instances were started anew"
        )

    # What is so now

    def _status(self, kind: str) -> dict[str, Any]:
        found = self._sites.objects(kind)
        return found[0].get("status", {}) if found else {}

    def _pods(self) -> list[dict[str, Any]]:
        return self._sites.objects("pods")

    def _ready(self) -> list[dict[str, Any]]:
        return [pod for pod in self._pods() if _is_ready(pod)]

    def _nodes(self) -> list[str]:
        """Where instances serve, those that users are nearest to first."""
        instances = self._status("app").get("instances", [])
        serving = [one for one in instances if one.get("ready") and not one.get("draining")]
        return [one["node"] for one in sorted(serving, key=lambda one: one.get("expectedMs", 0.0))]

    def _living(self) -> set[str]:
        return {
            node["metadata"]["name"]
            for node in self._sites.objects("nodes.overlayd.io")
            if _is(node, "Connected")
        }

    def _connected(self, site: str) -> bool:
        nodes = self._sites.objects("nodes.overlayd.io")
        return any(node["metadata"]["name"] == site and _is(node, "Workloads") for node in nodes)

    def _containers(self, site: str) -> list[tuple[str, str, int]]:
        """The instances at a site: pod, container, restarts."""
        return [
            (pod["metadata"]["name"], one.get("containerID", ""), one["restartCount"])
            for pod in self._pods()
            if pod["spec"]["nodeName"] == site
            for one in pod.get("status", {}).get("containerStatuses", [])
        ]

    def _rolled_out(self, version: str, load: Load, begun: float) -> bool:
        rollout = self._status("app").get("rollout", {})
        newest = [one.version for one in load.since(time.time() - 2.0)]
        return (
            rollout.get("phase") == "Done"
            and bool(newest)
            and set(newest) == {version}
            and time.time() > begun + 2
        )

    @staticmethod
    def _well(load: Load, since: float) -> bool:
        asked = load.since(max(since + 1.0, time.time() - 2.0))
        return len(asked) > PER_SECOND and not figures.failed(asked)

    def _p99(self, when: str, load: Load, begin_s: float, end_s: float) -> None:
        found = figures.p99_ms(figures.between(load.asked, begin_s, end_s))
        self.findings.p99_ms[when] = None if found is None else round(found, 1)
        self.findings.load[when] = round(os.getloadavg()[0], 1)
        said = "nobody asked" if found is None else f"{found:.1f} ms"
        self._stage.say(f"p99 {when}: {said} (load {self.findings.load[when]:g})")

    @staticmethod
    def _wait(what: str, so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not so():
            if time.monotonic() > deadline:
                raise LabError(f"waited {_PATIENCE_S:g} s for {what}")
            time.sleep(0.5)


def manifests(version: str) -> str:
    """What is applied: who the users are, the app, how they reach it."""
    program = str(Path(__file__).with_name("serving.py"))
    app = {
        "source": {"command": [sys.executable, "-I", program, "$(PORT)", version]},
        "ports": [{"name": "web", "port": _PORT}],
        "health": {"http": {"path": "/", "port": "web"}, "intervalSeconds": 1},
        "replicas": {"min": 1, "max": 3, "spread": "node"},
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
        "placement": {
            "policy": "latency-first",
            "near": {"users": USERS},
            "network": {"latencyMs": BOUND_MS, "satisfy": 0.95},
        },
        "update": {"strategy": "canary", "canary": {"steps": [20, 50], "analysisSeconds": 10}},
    }
    objects = [
        ("UserGroup", USERS, {"ingress": [{"node": USERS}]}),
        ("App", _APP, app),
        ("AppRoute", _APP, {"app": _APP, "port": _PORT, "targetPort": "web", "protocol": "HTTP"}),
    ]
    return yaml.safe_dump_all(
        {"apiVersion": "overlayd.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        for kind, name, spec in objects
    )


def _is(found: dict[str, Any], condition: str) -> bool:
    conditions = found.get("status", {}).get("conditions", [])
    return any(one["type"] == condition and one["status"] == "True" for one in conditions)


def _is_ready(pod: dict[str, Any]) -> bool:
    return "deletionTimestamp" not in pod["metadata"] and _is(pod, "Ready")
