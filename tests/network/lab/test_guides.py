"""The commands of the guides, as they stand there, on hosts of a lab in the places of the guides' hosts."""

import os
import re
import shlex
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from sim.lab import daemons, netns, process
from sim.lab.errors import LabError
from tests.network.lab.conftest import SITES
from tests.network.lab.mesh import Mesh, program, wait_until
from tests.network.lab.test_joining import a_host
from tests.systemd.quickstart import commands

GUIDES = Path(__file__).parents[3] / "docs/guides"
HOSTS = {"paris": SITES[0], "rome": SITES[1]}
"""Who stands for whom in the pair; what asks the controller's API is asked on the controller's host."""
MAY_BE_DEGRADED = ("overlayctl netcheck",)
"""A lab's host has no default route, perhaps."""


def lines(guide: str) -> list[tuple[str, str]]:
    """Host and command, in the order of the guide."""
    found = commands((GUIDES / guide).read_text("utf-8"))
    return [(host, line) for host, told in found.items() for line in told]


def run(mesh: Mesh, host: str, line: str) -> subprocess.CompletedProcess[str]:
    """Run one line on the host that stands for the guide's."""
    for name, site in HOSTS.items():
        line = line.replace(f" {name}", f" {site}")
    of_api = "--controller" in line
    node = mesh.sketch.controller if of_api else HOSTS[host]
    state = mesh.place.node(mesh.sketch.controller) / "controller"
    line = line.replace("/var/lib/overlayd-controller", str(state))
    words = shlex.split(line)
    if words[1] == "netcheck":
        words += ["--config", str(mesh.place.node(node) / "overlayd.toml")]
    environment = {**os.environ, "OVERLAYD_SOCKET": str(daemons.agent_socket(mesh.place, node))}
    with netns.inside(mesh.namespaces[node]):
        return subprocess.run(
            [program(words[0]), *words[1:]],
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
            env=environment,
        )


def fenced(guide: str, kind: str) -> str:
    """The guide's one block of this kind."""
    (block,) = re.findall(rf"^```{kind}\n(.*?)^```$", (GUIDES / guide).read_text("utf-8"), re.M | re.S)
    return block


@pytest.mark.parametrize(("guide", "least"), [("bad-path.md", 10), ("behind-a-nat.md", 2)])
def test_the_commands_of_a_guide_answer(pair: Mesh, guide: str, least: int) -> None:
    told = lines(guide)
    assert len(told) >= least

    (decision,) = (line for _, line in lines("bad-path.md") if "overlayctl explain paris rome" in line)

    def decided() -> bool:
        with suppress(LabError, OSError):
            return run(pair, "paris", decision).returncode == 0
        return False

    wait_until(decided)
    for host, line in told:
        done = run(pair, host, line)
        allowed = (0, 6) if line in MAY_BE_DEGRADED else (0,)
        assert done.returncode in allowed and done.stdout, (line, done)


def test_a_site_is_added_as_the_guide_says(pair: Mesh, tmp_path: Path) -> None:
    """The new host reaches the controller, and in this lab no other member: it has no path to explain."""
    (first, made), *then = lines("add-a-site.md")
    assert (first, made.split()[:3]) == ("paris", ["overlayd-controller", "token", "create"])
    token = pair.controller(*made.split()[1:]).splitlines()[0]
    with a_host(pair, tmp_path, name="bern") as host:
        for _, line in then:
            words = shlex.split(line.replace("TOKEN", token).replace(" paris", f" {SITES[0]}"))[1:]
            config = ("--config", str(tmp_path / "overlayd.toml")) if words[0] == "netcheck" else ()
            done = host.ctl(*words, *config)
            assert done.returncode in ((0, 4) if words[0] == "explain" else (0,)), (line, done)
        assert host.ctl("leave").returncode == 0
    wait_until(lambda: len(pair.ask(SITES[0], "status")["peers"]) == 1)


def test_packets_of_an_uplink_leave_by_its_interface_as_the_guide_says() -> None:
    namespace = f"ovd-isps{os.getpid()}"
    netns.create(namespace)
    try:
        told = [
            "ip link add eth0 type veth peer wwan0",
            "ip address add 198.51.100.7/24 dev eth0",
            "ip address add 10.64.3.9/24 dev wwan0",
            "ip link set eth0 up",
            "ip link set wwan0 up",
            *fenced("several-isps.md", "text").splitlines(),
        ]
        for line in told:
            process.run(namespace, line.split())
        for address, interface in (("198.51.100.7", "eth0"), ("10.64.3.9", "wwan0")):
            way = process.run(namespace, ["ip", "route", "get", "203.0.113.1", "from", address])
            assert f"dev {interface}" in way
    finally:
        netns.remove(namespace)
