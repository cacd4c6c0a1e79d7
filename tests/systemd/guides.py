"""Guides whose commands need packages and systemd, word by word, each block on the hosts that it names.

Upgrading and going back, disasters, several ISPs, the controller's part of monitoring. What a reader puts in
place of a word (`TOKEN`) or brings along (`overlayd_NEW.deb`) is put here too; nothing else is changed. After
each block the mesh is whole again, unless the guide says otherwise. Called by `tests.systemd`. I/O: hosts.
"""

import re
import time
from pathlib import Path

from tests.systemd.machines import Machine, run
from tests.systemd.quickstart import PLACEHOLDER, ROOT, Block, blocks, tokens
from tests.systemd.repacking import repack
from tests.systemd.traffic import Report, well_again

GUIDES = ROOT / "docs/guides"
VERSION = "dpkg-query -W -f '${Version}' overlayd"
FILE = "/etc/overlayd/overlayd.toml"
SECOND = "10.64.3.9"
ISPS = {"198.51.100.7": "192.0.2.1", SECOND: "192.0.2.11"}
"""The guide's addresses, and those that stand for them on paris."""
FORGOTTEN_S = 60.0
"""Within which the others have heard that a host is none of them any more."""


def guides(hosts: dict[str, Machine], packages: Path) -> Report:
    """Follow each guide to its end; the last leaves a mesh of another network, with the same hosts."""
    done = {
        "several-isps.md": _several_isps(hosts),
        "upgrade.md": _upgrade(hosts, packages),
        "monitoring.md": _monitoring(hosts),
        "dashboard.md": _dashboard(hosts),
        "disaster.md": _disaster(hosts),
    }
    return {"commands": done, "ok": all(done.values())}


def _several_isps(hosts: dict[str, Machine]) -> int:
    """With the guide's file; the second way is a second address of the same wire."""
    paris = hosts["paris"]
    (text,) = re.findall(r"^```toml\n(.*?)^```$", (GUIDES / "several-isps.md").read_text(), re.M | re.S)
    for in_guide, here in ISPS.items():
        text = text.replace(in_guide, here)
    paris.shell(f"ip address add {ISPS[SECOND]}/24 dev eth0; cp {FILE} one-isp.toml")
    paris.shell(f"cat > two-isps.toml <<'END'\n{text}END")
    given = 0
    for block in _blocks("several-isps.md"):
        given += _give(hosts, block, {})
        _whole(hosts, block)
    if "lte" not in (told := paris.shell("overlayctl netcheck")):
        raise SystemExit(f"there is no second uplink:\n{told}")
    paris.shell("overlayctl config apply one-isp.toml --restart")
    paris.shell(f"ip address del {ISPS[SECOND]}/24 dev eth0; rm {FILE}.previous *-isp*.toml")
    well_again(hosts)
    return given


def _upgrade(hosts: dict[str, Machine], packages: Path) -> int:
    rome, paris = hosts["rome"], hosts["paris"]
    for machine, package in ((rome, "overlayd"), (paris, "overlayd-controller")):
        (old,) = packages.glob(f"{package}_*.deb")
        new = repack(packages, 1, engine="another", package=package)
        machine.copy(old, f"/root/{package}_OLD.deb")
        machine.copy(new, f"/root/{package}_NEW.deb")
        new.unlink()
    (old,) = packages.glob("overlayd_*.deb")
    before = run("dpkg-deb", "--field", str(old), "Version").strip()
    given = 0
    for block in _blocks("upgrade.md"):
        given += _give(hosts, block, {})
        _whole(hosts, block)
        is_new = rome.shell(VERSION) != before
        if "rome" in block.hosts and is_new == block.heading.startswith("Back"):
            raise SystemExit(f"upgrade.md: after {block.heading!r} rome has {rome.shell(VERSION)}")
    for machine, package in ((rome, "overlayd"), (paris, "overlayd-controller")):
        machine.shell(f"rm {package}_OLD.deb {package}_NEW.deb /root/*.before.tar", check=False)
    return given


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
