"""An application as a unit of systemd's: it outlives what started it, and is back after a reboot. I/O: a
host of `tests.systemd.machines`.
"""

import json
import time
from typing import Any

from tests.systemd.machines import Machine
from tests.systemd.traffic import Report

PORT = 20001
PATIENCE_S = 60.0
AFTER_BOOT_S = 5.0
"""From when the unit is ready; the boot itself is the host's."""
FOLDER = "/etc/overlayd/pods"
MEMORY = 64 << 20
MANIFEST: dict[str, Any] = {
    "kind": "Pod",
    "metadata": {"name": "web"},
    "spec": {
        "containers": [
            {
                "name": "main",
                "command": ["python3", "-u", "-m", "http.server", "$(PORT)"],
                "ports": [{"name": "web", "containerPort": 80, "hostPort": PORT}],
                "readinessProbe": {"httpGet": {"port": "web"}},
                "livenessProbe": {"exec": {"command": ["test", "-d", "/"]}, "periodSeconds": 2},
                "resources": {"limits": {"memory": str(MEMORY), "cpu": "500m"}},
            }
        ]
    },
}


def applications(hosts: dict[str, Machine]) -> Report:
    """Enable the unit, and look at what it runs through kill -9, a restart and a reboot."""
    rome = hosts["rome"]
    rome.shell(f"mkdir -p {FOLDER} && cat > {FOLDER}/web.json <<'END'\n{json.dumps(MANIFEST)}\nEND")
    rome.shell(f"printf '[workload]\\nmanifests = \"{FOLDER}\"\\n' >> /etc/overlayd/overlayd.toml")
    rome.shell("systemctl enable --now overlayd-workload")
    _until_ready(rome)
    before = _process(rome)
    unit = rome.shell("systemctl list-units --plain --no-legend 'overlayd-pod-*.service'").split()[0]
    limit = rome.shell(f"systemctl show --value -p MemoryMax {unit}").strip()
    rome.shell("kill -9 $(systemctl show --value -p MainPID overlayd-workload)")
    _until_active(rome)
    killed = _process(rome)
    rome.shell("systemctl restart overlayd-workload")
    restarted = _process(rome)
    rome.shell("systemctl stop overlayd-workload")
    stopped = _process(rome)
    rome.reboot()
    rome.booted()
    began = time.monotonic()
    _until_ready(rome)
    served_s = round(time.monotonic() - began, 1)
    exposed = rome.shell("systemd-analyze security --no-pager overlayd-workload").splitlines()[-1]
    rome.shell(f"rm {FOLDER}/web.json")
    gone = _until(rome, f"test -z \"$(pgrep -f '[h]ttp.server {PORT}')\" && echo yes")
    rome.shell(
        "systemctl disable --now overlayd-workload; sed -i '/^\\[workload\\]/,$d' /etc/overlayd/overlayd.toml"
    )
    found: Report = {
        "memory limit": limit, "after kill -9": killed == before, "after a restart": restarted == before,
        "after a stop": stopped == before, "seconds to serve after a boot": served_s,
        "exposure": float(exposed.split(": ")[1].split()[0]), "gone with its manifest": gone == "yes",
    }  # fmt: skip
    found["ok"] = (
        limit == str(MEMORY)
        and killed == restarted == stopped == before
        and served_s <= AFTER_BOOT_S
        and gone == "yes"
    )
    return found


def _process(machine: Machine) -> str:
    """The application's process, as long as it serves."""
    fetch = f"import urllib.request as u; u.urlopen('http://127.0.0.1:{PORT}/', timeout=10)"
    return machine.shell(f"pgrep -f '[h]ttp.server {PORT}' && python3 -c \"{fetch}\"").strip()


def _until_active(machine: Machine) -> None:
    _until(machine, "test $(systemctl is-active overlayd-workload) = active && echo yes")


def _until_ready(machine: Machine) -> None:
    _until(machine, "grep -q '\"ready\":true' /run/overlayd/workload/pods.json && echo yes")


def _until(machine: Machine, line: str) -> str:
    deadline = time.monotonic() + PATIENCE_S
    while not (said := machine.shell(line, check=False).strip()):
        if time.monotonic() > deadline:
            log = machine.shell("journalctl --no-pager -u overlayd-workload | tail -n 20", check=False)
            raise SystemExit(f"{machine.name}: not so within {PATIENCE_S:.0f} s: {line}\n{log}")
        time.sleep(0.1)
    return said
