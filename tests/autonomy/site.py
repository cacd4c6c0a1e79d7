"""A site that runs apps and has their users, and its controller on another host. I/O: hosts of
`tests.systemd.machines`.
"""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.systemd.machines import Machine
from tests.systemd.traffic import main_pid

KINDS = ("process", "container")
"""Of apps: how they run."""
IMAGE = "overlayd-test-web:1"
PATIENCE_S = 120.0
_CUT = (
    "add table inet cut; add chain inet cut in { type filter hook input priority 0; };"
    " add chain inet cut out { type filter hook output priority 0; };"
    " add rule inet cut in iifname eth0 drop; add rule inet cut out oifname eth0 drop"
)
_CONTROLLER = "/var/lib/overlayd-controller/controller.toml"
_API = "192.0.2.1:7481"
_PODS = "/run/overlayd/workload/pods.json"

Run = tuple[str, str, int]
"""Of a pod: its name, the id of what runs, how often that was started anew."""


class Site:
    """``rome`` runs apps and has their users; ``paris`` is the controller."""

    def __init__(self, rome: Machine, paris: Machine) -> None:
        self.rome = rome
        self.paris = paris
        self.addresses: dict[str, str] = {}
        self._returns = 0

    def prepare(self) -> None:
        """Switch applications on, and give the site's Docker an image."""
        self.paris.shell(f"printf '\\n[orchestration]\\nlisten = \"{_API}\"\\n' >> {_CONTROLLER}")
        self.paris.shell("systemctl restart overlayd-controller")
        self.rome.copy(Path(__file__).with_name("asking.py"))
        self.rome.shell(
            "mkdir -p image/bin image/w && cp $(command -v busybox) image/bin/"
            " && echo hello > image/w/index.html"
            f" && tar -C image -c . | docker import - {IMAGE}"
        )
        self.rome.shell("printf '\\n[workload]\\n' >> /etc/overlayd/overlayd.toml")
        self.rome.shell("systemctl enable --now overlayd-workload")
        self.until("the site offers itself", self.connected)

    # Apps

    def apply(self, kind: str, name: str, *, least: int = 1) -> None:
        """An app of a kind, and a route to it; ``address`` is where its users ask."""
        app = {
            "source": _source(kind),
            "ports": [{"name": "web", "port": 8080}],
            "health": {"http": {"path": "/", "port": "web"}},
            "replicas": {"min": least, "max": 1},
            "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}},
            "stopTimeout": "1s",
        }
        route = {"app": name, "port": 80, "targetPort": "web", "protocol": "HTTP"}
        for one, spec in (("App", app), ("AppRoute", route)):
            body = {"apiVersion": "overlayd.io/v1", "kind": one, "metadata": {"name": name}, "spec": spec}
            self._overlayctl(f"apply -f - <<'END'\n{json.dumps(body)}\nEND")
        self.until(f"the site carries {name}", lambda: self._carried(name))

    def delete(self, name: str) -> None:
        """Take an app and its route away, and wait until nothing of it runs."""
        for one in ("approute", "app"):
            self._overlayctl(f"delete {one} {name}")
        self.until(f"{name} is gone", lambda: not self.runs(name))

    def serves(self, name: str) -> bool:
        """Whether an instance of an app serves, as the site says."""
        return any(one["ready"] for _, one in self._containers(name))

    def runs(self, name: str) -> set[Run]:
        """What runs of an app, as the site says."""
        return {(pod, one.get("containerID", ""), one["restartCount"]) for pod, one in self._containers(name)}

    def once(self, name: str) -> float:
        """How long one request of a route takes (s)."""
        return json.loads(self.rome.shell(f"python3 asking.py once {self.addresses[name]}"))

    def asking(self) -> "subprocess.Popen[str]":
        """Users of the apps of all kinds, until :meth:`asked`."""
        routes = " ".join(f"{kind}={self.addresses[kind]}" for kind in KINDS)
        return self.rome.spawn(f"python3 asking.py {routes}")

    def asked(self, users: "subprocess.Popen[str]") -> dict[str, list[tuple[float, str]]]:
        """What they saw (`rows.Seen`)."""
        return self.rome.end("asking.py", users)

    # The site and its controller

    def cut(self) -> None:
        """Nothing comes to the site or from it."""
        self.rome.shell(f"nft '{_CUT}'")

    def mend(self) -> None:
        self.rome.shell("nft delete table inet cut")

    def returned(self) -> None:
        """Wait until the controller is back, and has had the site do something new."""
        self.until("the site is back", self.connected)
        self._returns += 1
        name = f"back{self._returns}"
        self.apply("process", name)
        self.until(f"{name} serves", lambda: self.serves(name))
        self.delete(name)

    def connected(self) -> bool:
        """Whether the controller has the site's channel."""
        conditions = self._status("node", "rome").get("conditions", [])
        return any(one["type"] == "Workloads" and one["status"] == "True" for one in conditions)

    def kill(self, unit: str) -> None:
        """kill -9 of a unit's process; wait until systemd has it back."""
        before = main_pid(self.rome, unit)
        self.rome.shell(f"kill -9 {before}")
        up = f"test $(systemctl is-active {unit}) = active && echo yes"
        self.until(
            f"{unit} is back",
            lambda: self.rome.shell(up, check=False) != "" and main_pid(self.rome, unit) != before,
        )

    def up_s(self, unit: str) -> float:
        """When a unit became active, CLOCK_MONOTONIC."""
        told = self.rome.shell(f"systemctl show --value -p ActiveEnterTimestampMonotonic {unit}")
        return int(told) / 1e6

    def until(self, what: str, so: Callable[[], bool]) -> None:
        """Wait for it."""
        deadline = time.monotonic() + PATIENCE_S
        while not so():
            if time.monotonic() > deadline:
                log = self.rome.shell("journalctl --no-pager -u overlayd-workload | tail -n 40", check=False)
                raise SystemExit(f"waited {PATIENCE_S:.0f} s for: {what}\n{log}")
            time.sleep(0.1)

    def _carried(self, name: str) -> bool:
        """Whether the address of a route is on the site."""
        address = self._status("approute", name).get("address")
        if address is None or f"{address}/" not in self.rome.shell("ip -o address show lo"):
            return False
        self.addresses[name] = address
        return True

    def _status(self, kind: str, name: str) -> dict[str, Any]:
        """What the controller says of an object; nothing while it does not answer."""
        said = self._overlayctl(f"get {kind} {name} -o json", check=False)
        found = json.loads(said)["items"] if said else []
        return found[0].get("status", {}) if found else {}

    def _overlayctl(self, words: str, *, check: bool = True) -> str:
        """What it prints, typed beside the controller."""
        return self.paris.shell(f"OVERLAYD_SERVER=https://{_API} overlayctl {words}", check=check)

    def _containers(self, name: str) -> list[tuple[str, dict[str, Any]]]:
        said = self.rome.shell(f"cat {_PODS}", check=False)
        return [
            (pod["name"], one)
            for pod in (json.loads(said) if said else [])
            if pod["name"].startswith(f"{name}-")
            for one in pod["status"].get("containerStatuses", [])
        ]


def _source(kind: str) -> dict[str, Any]:
    if kind == "container":
        return {"image": IMAGE, "command": ["/bin/busybox", "httpd", "-f", "-h", "/w", "-p", "8080"]}
    return {"command": ["python3", "-m", "http.server", "$(PORT)"]}
