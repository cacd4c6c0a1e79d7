"""Guides whose commands need packages and systemd, word by word, each block on the hosts that it names.

What Grafana is given, and what opens the dashboard. Called by `tests.systemd`. I/O: hosts.
"""

from tests.systemd.machines import Machine
from tests.systemd.quickstart import ROOT, Block, blocks
from tests.systemd.traffic import Report

GUIDES = ROOT / "docs/guides"


def guides(hosts: dict[str, Machine]) -> Report:
    """Give the commands; return how many of each guide."""
    done = {"monitoring.md": _monitoring(hosts), "dashboard.md": _dashboard(hosts)}
    return {"commands": done, "ok": all(done.values())}


def _monitoring(hosts: dict[str, Machine]) -> int:
    """What Grafana loads stands where the file that it reads says; Prometheus is `make test-prometheus`'s."""
    paris = hosts["paris"]
    (block,) = (block for block in _blocks("monitoring.md") if "Grafana" in block.heading)
    given = _give(hosts, block)
    where = "sed -n 's/.*path: \\([^}]*\\)}/\\1/p' /etc/grafana/provisioning/dashboards/overlayd.yml"
    found = paris.shell(f'ls "$({where})"').split()
    shipped = [file.name for file in (ROOT / "packaging/grafana").glob("*.json")]
    if sorted(found) != sorted(shipped):
        raise SystemExit(f"Grafana would find {found}, not {shipped}")
    paris.shell("rm -r /var/lib/grafana /etc/grafana")
    return given


def _dashboard(hosts: dict[str, Machine]) -> int:
    (block,) = _blocks("dashboard.md")
    return _give(hosts, block)


def _blocks(guide: str) -> list[Block]:
    return blocks((GUIDES / guide).read_text("utf-8"))


def _give(hosts: dict[str, Machine], block: Block) -> int:
    """Give the block's commands; return how many."""
    for name in block.hosts:
        for line in block.lines:
            hosts[name].shell(line)
    return len(block.hosts) * len(block.lines)
