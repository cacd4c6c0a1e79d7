"""An application as a unit of systemd's: it outlives what started it, and is back after a reboot. I/O: a
host of `tests.systemd.machines`.
"""

import json
import time
from typing import Any

from tests.systemd.machines import Machine
from tests.systemd.traffic import Report
from tests.systemd.users import until, users

PORT = 20001
AFTER_BOOT_S = 5.0
"""From when the unit is ready; the boot itself is the host's."""
FOLDER = "/etc/overlayd/pods"
MEMORY = 64 << 20
MADE = "/tmp/of-an-app"
"""A folder of the host: in /tmp the unit sees its own, and what runs for pods that of all."""
ALIVE = "place=/; test ${place} = / && test -d " + MADE
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
                "livenessProbe": {"exec": {"command": ["sh", "-c", ALIVE]}, "periodSeconds": 2},
                "resources": {"limits": {"memory": str(MEMORY), "cpu": "500m"}},
                "volumeMounts": [{"name": name, "mountPath": f"/mnt/{name}"} for name in ("made", "kept")],
            }
        ],
        "volumes": [
            {"name": "made", "hostPath": {"path": MADE, "type": "DirectoryOrCreate"}},
            {"name": "kept", "emptyDir": {"medium": "Memory"}},
        ],
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
    made = rome.shell(f"test -d {MADE} && echo yes", check=False).strip()
    rome.shell(f"rm {FOLDER}/web.json")
    gone = until(rome, f"test -z \"$(pgrep -f '[h]ttp.server {PORT}')\" && echo yes")
    led = users(hosts)
    rome.shell(
        "systemctl disable --now overlayd-workload; sed -i '/^\\[workload\\]/,$d' /etc/overlayd/overlayd.toml"
    )
    found: Report = {
        "memory limit": limit, "after kill -9": killed == before, "after a restart": restarted == before,
        "after a stop": stopped == before, "seconds to serve after a boot": served_s,
        "a volume is made": made == "yes", "gone with its manifest": gone == "yes", "users": led,
    }  # fmt: skip
    found["ok"] = (
        limit == str(MEMORY)
        and killed == restarted == stopped == before
        and served_s <= AFTER_BOOT_S
        and made == gone == "yes"
        and led["ok"]
    )
    return found


def _process(machine: Machine) -> str:
    """The application's process, as long as it serves."""
    fetch = f"import urllib.request as u; u.urlopen('http://127.0.0.1:{PORT}/', timeout=10)"
    return machine.shell(f"pgrep -f '[h]ttp.server {PORT}' && python3 -c \"{fetch}\"").strip()


def _until_active(machine: Machine) -> None:
    until(machine, "test $(systemctl is-active overlayd-workload) = active && echo yes")


def _until_ready(machine: Machine) -> None:
    until(machine, "grep -q '\"ready\":true' /run/overlayd/workload/pods.json && echo yes")
