"""Guides whose commands need packages and systemd, word by word, each block on the hosts that it names.

Disasters, what Grafana is given, what opens the dashboard. `TOKEN` is the host's; nothing else is changed.
After each block the mesh is whole again, unless the guide says otherwise. Called by `tests.systemd`. I/O:
hosts.
"""

import time

from tests.systemd.machines import Machine
from tests.systemd.quickstart import PLACEHOLDER, ROOT, Block, blocks, tokens
from tests.systemd.traffic import Report, well_again

GUIDES = ROOT / "docs/guides"
FORGOTTEN_S = 60.0
"""Within which the others have heard that a host is none of them any more."""


def guides(hosts: dict[str, Machine]) -> Report:
    """Follow each guide; the last leaves a mesh of another network, with the same hosts."""
    done = {
        "monitoring.md": _monitoring(hosts),
        "dashboard.md": _dashboard(hosts),
        "disaster.md": _disaster(hosts),
    }
    return {"commands": done, "ok": all(done.values())}


def _monitoring(hosts: dict[str, Machine]) -> int:
    """What Grafana loads stands where the file that it reads says; Prometheus is `make test-prometheus`'s."""
    paris = hosts["paris"]
    (block,) = (block for block in _blocks("monitoring.md") if "Grafana" in block.heading)
    given = _give(hosts, block, {})
    where = "sed -n 's/.*path: \\([^}]*\\)}/\\1/p' /etc/grafana/provisioning/dashboards/overlayd.yml"
    found = paris.shell(f'ls "$({where})"').split()
    shipped = [file.name for file in (ROOT / "packaging/grafana").glob("*.json")]
    if sorted(found) != sorted(shipped):
        raise SystemExit(f"Grafana would find {found}, not {shipped}")
    paris.shell("rm -r /var/lib/grafana /etc/grafana")
    return given


def _dashboard(hosts: dict[str, Machine]) -> int:
    (block,) = _blocks("dashboard.md")
    return _give(hosts, block, {})


def _disaster(hosts: dict[str, Machine]) -> int:
    """The stolen host comes back as a new one of its name."""
    oslo, rome, paris = hosts["oslo"], hosts["rome"], hosts["paris"]
    known: dict[str, str] = {}
    given = 0
    for block in _blocks("disaster.md"):
        given += _give(hosts, block, known)
        if any("init" in line for line in block.lines):
            continue  # the hosts are still of the old network
        if any("node remove oslo" in line for line in block.lines):
            _forgotten(rome, "oslo")
            token = paris.shell("overlayd-controller token create --name oslo").splitlines()[0]
            oslo.shell(f"overlayctl leave --force && overlayctl join {token}")
        _whole(hosts, block)
    paris.shell("rm -r /root/*.tar /root/overlayd-controller.lost")
    rome.shell("rm -f /root/overlayd-bugreport*")
    return given


def _blocks(guide: str) -> list[Block]:
    return blocks((GUIDES / guide).read_text("utf-8"))


def _give(hosts: dict[str, Machine], block: Block, known: dict[str, str]) -> int:
    """Give the block's commands; return how many. Tokens that are printed are ``known`` from then on."""
    for name in block.hosts:
        for line in block.lines:
            known |= tokens(hosts[name].shell(line.replace(PLACEHOLDER, known.get(name, PLACEHOLDER))))
    return len(block.hosts) * len(block.lines)


def _whole(hosts: dict[str, Machine], block: Block) -> None:
    if not well_again(hosts):
        raise SystemExit(f"not whole after {block.heading!r}: {block.lines}")


def _forgotten(machine: Machine, host: str) -> None:
    """Wait until ``machine`` has no peer of that name."""
    deadline = time.monotonic() + FORGOTTEN_S
    while host in machine.shell("overlayctl status"):
        if time.monotonic() > deadline:
            raise SystemExit(f"{machine.name} still knows {host}")
        time.sleep(0.2)
