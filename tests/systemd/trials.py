"""A life of the packages: quick start, reboot, sandbox, upgrades, removal. I/O: the hosts of
`tests.systemd.machines`.
"""

import itertools
import json
import math
import os
import statistics
import time
from pathlib import Path

from tests.systemd.machines import Machine
from tests.systemd.quickstart import PLACEHOLDER, of_readme, tokens
from tests.systemd.repacking import repack
from tests.systemd.traffic import PORT, RATE, SETTLE_S, Report, main_pid, overlay

ANSWERS = 40
ANSWERS_WITHIN_S = 0.15
TCP_PORT = 5002
RESTARTS = 3
"""Upgrades that change the engine's unit, after those that do not."""
AWAY_S = 3.0
"""Stop and start of the engine's unit, on two cores with other work on them."""
EXPOSED_AT_MOST = 2.5
ALLOWED = {
    "overlayd-engine": "1000",
    "overlayd-agent": "0",
    "overlayd-controller": "0",
    "overlayd-workload": "140a",
}
"""Capabilities in force, as in /proc: CAP_NET_ADMIN for the engine, and with DAC_OVERRIDE, FOWNER and
NET_BIND_SERVICE for what runs applications.
"""


def quick_start(hosts: dict[str, Machine]) -> Report:
    """Type what README.md says. The clock runs from the first command to the last host's being whole."""
    told = of_readme()
    known: dict[str, str] = {}
    installed_s = 0.0
    begun = time.monotonic()
    for name, machine in hosts.items():
        for line in told[name]:
            before = time.monotonic()
            out = machine.shell(line.replace(PLACEHOLDER, known.get(name, PLACEHOLDER)))
            installed_s += time.monotonic() - before if line.startswith("apt ") else 0
            known |= tokens(out)
    for machine in hosts.values():
        machine.shell("overlayctl wait --for whole")
    whole_s = time.monotonic() - begun
    return {
        "commands": {name: len(told[name]) for name in hosts},
        "seconds": round(whole_s, 1),
        "of which apt": round(installed_s, 1),
        "ok": whole_s <= 60 and max(map(len, told.values())) <= 3,
    }


def reboot(hosts: dict[str, Machine]) -> Report:
    """All three at once, and no hand."""
    for machine in hosts.values():
        machine.reboot()
    begun = time.monotonic()
    for machine in hosts.values():
        machine.booted()
        machine.shell("systemctl start overlayd-online.target")
        machine.shell("overlayctl wait --for whole")
    reached = all(
        "1 received" in machine.shell(f"ping -c 1 -W 2 {overlay(other)}", check=False)
        for machine in hosts.values()
        for other in hosts.values()
    )
    return {"seconds": round(time.monotonic() - begun, 1), "ok": reached}


def security(hosts: dict[str, Machine]) -> Report:
    """Exposure of each unit, as systemd rates it, and capabilities in force in the processes."""
    machine = hosts["paris"]
    found: Report = {}
    machine.shell("systemctl start overlayd-workload")
    for unit in ALLOWED:
        said = machine.shell(f"systemd-analyze security --no-pager {unit}").splitlines()[-1]
        pid = machine.shell(f"systemctl show --value -p MainPID {unit}").strip()
        capable = machine.shell(f"sed -n 's/^CapEff:\\t0*//p' /proc/{pid}/status").strip() or "0"
        found[unit] = {"exposure": float(said.split(": ")[1].split()[0]), "capabilities": capable}
    machine.shell("systemctl stop overlayd-workload")
    found["ok"] = all(
        one["exposure"] <= EXPOSED_AT_MOST and one["capabilities"] == ALLOWED[unit]
        for unit, one in found.items()
    )
    return found


def answer(hosts: dict[str, Machine]) -> Report:
    """How long `overlayctl status` takes beyond the start of Python, the median of many, in turns."""
    rome = hosts["rome"]
    took_s = json.loads(rome.shell(f"python3 stopwatch.py {ANSWERS}"))
    beyond_s = round(took_s["status"] - took_s["python"], 4)
    return {
        **{f"{name} s": value for name, value in took_s.items()},
        "beyond s": beyond_s,
        "load": os.getloadavg()[0],
        "ok": beyond_s <= ANSWERS_WITHIN_S,
    }


def agent_upgrade(hosts: dict[str, Machine], packages: Path) -> Report:
    """A new version whose engine is the old one: a minute of traffic through host and relay alike."""
    oslo, rome = hosts["oslo"], hosts["rome"]
    package = repack(packages, 1, engine=None)
    rome.copy(package)
    receiver = rome.spawn(f"python3 load.py receive {PORT}")
    sender = oslo.spawn(f"python3 load.py send {overlay(rome)} {PORT} {RATE} {60 * RATE}")
    time.sleep(10)
    before = main_pid(rome, "overlayd-engine"), main_pid(rome, "overlayd-agent")
    rome.shell(f"apt install ./{package.name}")
    after = main_pid(rome, "overlayd-engine"), main_pid(rome, "overlayd-agent")
    out, _ = sender.communicate(timeout=120)
    time.sleep(1)
    came = rome.end("load.py receive", receiver)
    lost = 60 * RATE - came["received"]
    return {
        "sent": 60 * RATE,
        "lost": lost,
        "engine went on": before[0] == after[0],
        "agent is new": before[1] != after[1],
        "ok": lost == 0 and before[0] == after[0] and before[1] != after[1] and bool(out),
    }


def engine_upgrades(hosts: dict[str, Machine], packages: Path, runs: int) -> Report:
    """New versions with new engines, one after the other, under datagrams and one TCP connection.

    The last ones change the unit's settings as well, so that the engine has to start anew.
    """
    oslo, rome = hosts["oslo"], hosts["rome"]
    server = rome.spawn(f"python3 load.py serve {TCP_PORT}")
    receiver = rome.spawn(f"python3 load.py receive {PORT}")
    time.sleep(1)
    sender = oslo.spawn(f"python3 load.py send {overlay(rome)} {PORT} {RATE}")
    talker = oslo.spawn(f"python3 load.py talk {overlay(rome)} {TCP_PORT}")
    time.sleep(SETTLE_S)
    begun: list[float] = []
    for number in range(runs + RESTARTS):
        package = repack(packages, 2 + number, engine=f"engine {number}", unit=number >= runs)
        rome.copy(package)
        before = main_pid(rome, "overlayd-engine")
        restarts = _starts(rome)
        begun.append(time.monotonic())
        rome.shell(f"apt install ./{package.name}")
        rome.shell("overlayctl wait --for whole")
        time.sleep(SETTLE_S)
        if before == main_pid(rome, "overlayd-engine"):
            raise SystemExit(f"the engine is not another after {package.name}")
        if (_starts(rome) != restarts) != (number >= runs):
            raise SystemExit(f"the engine was renewed and started anew the wrong way by {package.name}")
        package.unlink()
    tcp = oslo.end("load.py talk", talker)
    oslo.end("load.py send", sender)
    came = rome.end("load.py receive", receiver)
    rome.end("load.py serve", server)
    outages = [
        round(max((end - start for start, end in came["gaps"] if since <= end < until), default=0.0), 3)
        for since, until in itertools.pairwise([*begun, math.inf])
    ]
    renewed = sorted(outages[:runs])
    p99 = renewed[math.ceil(0.99 * runs) - 1]
    return {
        "runs": runs,
        "outage p50 s": round(statistics.median(renewed), 3),
        "outage p99 s": p99,
        "outages s": renewed,
        "with another unit s": outages[runs:],
        "load": os.getloadavg()[0],
        "tcp": tcp,
        "ok": p99 < 1 and max(outages) < AWAY_S and tcp is not None and not tcp["broke"],
    }


def _starts(machine: Machine) -> str:
    """Differs when systemd has started the engine, and not when one was renewed."""
    return machine.shell("systemctl show --value -p ActiveEnterTimestampMonotonic overlayd-engine").strip()


def removal(hosts: dict[str, Machine]) -> Report:
    """Removed, a host keeps its membership and gets it back; purged, nothing is left."""
    oslo = hosts["oslo"]
    oslo.shell("apt remove --yes overlayd")
    left = oslo.shell("ip link show overlay0; pgrep -fa 'overlayd (engine|agent)'", check=False).strip()
    kept = oslo.shell("test -e /var/lib/overlayd/agent/record.json && echo kept", check=False).strip()
    oslo.shell("apt install ./overlayd_*-1_*.deb && overlayctl wait --for online")
    oslo.shell("apt purge --yes overlayd")
    rest = oslo.shell(
        "find / -xdev -path /proc -prune -o -name '*overlayd*' -print | grep -v -e '^/root/' -e '^/sys'",
        check=False,
    ).split()
    return {
        "running after remove": left,
        "membership": kept,
        "after purge": rest,
        "ok": not left and bool(kept) and not rest,
    }
