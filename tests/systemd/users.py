"""Users of an app on a host with systemd: led there by HAProxy and names, each a unit in its own sandbox.

The controller places the app, which runs nowhere until somebody asks. I/O: hosts of `tests.systemd.machines`.
"""

import json
import time
from typing import Any

from tests.systemd.machines import CARRIERS, Machine
from tests.systemd.traffic import Report, main_pid, overlay

PATIENCE_S = 60.0
CONTROLLER_FILE = "/var/lib/overlayd-controller/controller.toml"
API_PORT = 7481
CTL = "KUBECONFIG=/root/apps.kubeconfig overlayctl"
CARRIED_BY = {"overlayd-haproxy": "4e0", "overlayd-names": "4c1"}
"""Capabilities that systemd leaves them (``CapBnd``): NET_BIND_SERVICE, SETUID, SETGID; KILL or CHOWN."""
OBJECTS: tuple[dict[str, Any], ...] = (
    {"kind": "UserGroup", "metadata": {"name": "rome"}, "spec": {"ingress": [{"node": "rome"}]}},
    {
        "kind": "App",
        "metadata": {"name": "echo"},
        "spec": {
            "source": {"command": ["python3", "/root/load.py", "serve", "$(PORT)"]},
            "ports": [{"name": "talk", "port": 5005}],
            "replicas": {"min": 0, "max": 1},
            "placement": {"near": {"users": "rome"}},
        },
    },
)
ASK = "import socket as s; c = s.create_connection(('{}', {}), 60); c.sendall(b'a user!'); print(c.recv(7))"
RESOLVE = """\
import socket as s
c = s.socket(s.AF_INET, s.SOCK_DGRAM); c.settimeout(5); c.connect(('{}', 53))
c.send(bytes.fromhex('000701000001000000000000') + b''.join(
    bytes([len(one)]) + one.encode() for one in '{}'.split('.')) + bytes.fromhex('0000010001'))
print(s.inet_ntoa(c.recv(512)[-4:]))
"""


def users(hosts: dict[str, Machine]) -> Report:
    """Lead users of rome to an app there, through restarts of the unit, a reload and a kill of HAProxy."""
    paris, rome = hosts["paris"], hosts["rome"]
    rome.shell(f"apt install --yes {CARRIERS}/*.deb && systemctl disable --now haproxy")
    paris.shell(f"cp {CONTROLLER_FILE} /root/controller.toml.before")
    paris.shell(
        f"printf '\\n[orchestration]\\nlisten = \"{paris.address}:{API_PORT}\"\\n' >> {CONTROLLER_FILE}"
    )
    paris.shell("systemctl restart overlayd-controller")
    paris.shell(f"overlayd-controller kubeconfig --server {paris.address}:{API_PORT} > /root/apps.kubeconfig")
    until(paris, f"{CTL} get nodes | grep -w rome")
    _apply(paris, *OBJECTS, _route("echo", 80))
    address = until(paris, _address_of("echo"))
    found: Report = {"woken": _asked(rome, address, 80)}

    talker = rome.spawn(f"python3 load.py talk {address} 80")
    before = main_pid(rome, "overlayd-haproxy")
    for act in ("restart", "stop", "start"):
        rome.shell(f"systemctl {act} overlayd-workload")
    _apply(paris, _route("second", 81))
    found["reloaded"] = _asked(rome, until(paris, _address_of("second")), 81)
    found["same HAProxy"] = main_pid(rome, "overlayd-haproxy") == before != "0"
    found["names"] = all(
        _resolved(rome, name) == until(paris, _address_of(name)) for name in ("echo", "second")
    )
    talked = rome.end("load.py talk", talker)
    found["a connection"] = talked
    found["units"] = {unit: _rights(rome, unit) for unit in CARRIED_BY}

    rome.shell(f"kill -9 {before}")
    found["after kill -9"] = _asked(rome, address, 80)
    found["another HAProxy"] = main_pid(rome, "overlayd-haproxy") not in ("0", before)
    paris.shell(f"{CTL} delete approute echo second && {CTL} delete app echo")
    found["ends with its routes"] = bool(
        until(rome, "systemctl is-active --quiet overlayd-haproxy overlayd-names || echo yes")
    )
    paris.shell(f"cp /root/controller.toml.before {CONTROLLER_FILE}; systemctl restart overlayd-controller")
    rights = found["units"]
    found["ok"] = (
        all(value for name, value in found.items() if name not in ("a connection", "units"))
        and talked is not None
        and talked["echoes"] > 0
        and not talked["broke"]
        and all(
            rights[unit]["exposure"] <= 2.5 and rights[unit]["capabilities"] == capabilities
            for unit, capabilities in CARRIED_BY.items()
        )
        and rights["overlayd-haproxy"]["of workers"] == ["0"]
    )
    return found


def until(machine: Machine, line: str) -> str:
    """Return what ``line`` prints once it prints something."""
    deadline = time.monotonic() + PATIENCE_S
    while not (said := machine.shell(line, check=False).strip()):
        if time.monotonic() > deadline:
            log = machine.shell("journalctl --no-pager -u 'overlayd-*' | tail -n 40", check=False)
            raise SystemExit(f"{machine.name}: not so within {PATIENCE_S:.0f} s: {line}\n{log}")
        time.sleep(0.1)
    return said


def _route(name: str, port: int) -> dict[str, Any]:
    spec = {"app": "echo", "port": port, "targetPort": "talk", "protocol": "TCP"}
    return {"kind": "AppRoute", "metadata": {"name": name}, "spec": spec}


def _apply(machine: Machine, *objects: dict[str, Any]) -> None:
    texts = (json.dumps({"apiVersion": "overlayd.io/v1", **one}) for one in objects)
    machine.shell(f"{CTL} apply -f - <<'END'\n" + "\n---\n".join(texts) + "\nEND")


def _address_of(route: str) -> str:
    return f"{CTL} get approute {route} -o json | grep -o '100\\.127\\.[0-9.]*' | head -n 1"


def _asked(machine: Machine, address: str, port: int) -> bool:
    """Whether a user comes to the app and gets an answer, at last."""
    return "a user!" in until(machine, f'python3 -c "{ASK.format(address, port)}" 2>/dev/null')


def _resolved(machine: Machine, route: str) -> str:
    program = RESOLVE.format(overlay(machine), f"{route}.default.mesh")
    return until(machine, f"python3 - 2>/dev/null <<'END'\n{program}END")


def _rights(machine: Machine, unit: str) -> Report:
    """Exposure, as systemd rates it; capabilities of the first process, and those that its children use."""
    said = machine.shell(f"systemd-analyze security --no-pager {unit}").splitlines()[-1]
    pid = main_pid(machine, unit)
    status = "sed -n 's/^{}:\\t0*//p' /proc/{}/status"
    deadline = time.monotonic() + PATIENCE_S
    while _used(machine, pid) - {"0"} and time.monotonic() < deadline:
        time.sleep(0.5)  # a worker begins as root
    return {
        "exposure": float(said.split(": ")[1].split()[0]),
        "capabilities": machine.shell(status.format("CapBnd", pid)).strip() or "0",
        "of workers": sorted(_used(machine, pid)),
    }


def _used(machine: Machine, pid: str) -> set[str]:
    """Capabilities that children of a process use."""
    each = "sed -n 's/^CapEff:\\t0*/caps /p' /proc/$one/status"
    lines = machine.shell(f"for one in $(pgrep -P {pid}); do {each}; done", check=False).splitlines()
    return {line.removeprefix("caps").strip() or "0" for line in lines}
