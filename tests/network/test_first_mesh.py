"""The guide to a first mesh, word by word, on three hosts with files, names and a network of their own."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from sim.lab import netns, process
from tests.network.lab.mesh import wait_until
from tests.systemd.quickstart import blocks

GUIDE = (Path(__file__).parents[2] / "docs/guides/first-mesh.md").read_text("utf-8")
HOSTS = {"paris": "192.0.2.1", "rome": "192.0.2.2", "oslo": "192.0.2.3"}
CONTROLLER_PORT = 7443
NO_AGENT = 3
ROOM_OF_ITS_OWN = """
hostname "$0" && mount -t tmpfs none /run && cp -a /etc /run/etc && mount --bind /run/etc /etc &&
mount -t tmpfs none /var/lib && mkdir -p /etc/overlayd && exec sleep infinity
"""
"""The guide's commands write to /etc, /var/lib and /run."""


class Host:
    """One of the guide's hosts; all share a working directory, in place of carrying tokens about."""

    def __init__(self, name: str, namespace: str, folder: Path) -> None:
        self.address = HOSTS[name]
        self.namespace = namespace
        self._folder = folder
        self._log = folder / f"{name}.log"
        command = ["unshare", "--mount", "--uts", "sh", "-c", ROOM_OF_ITS_OWN, name]
        self._holder = process.start(name, namespace, command, self._log)
        wait_until(lambda: self.run("test -d /etc/overlayd && hostname").stdout.strip() == name, self.log)

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """Give a command as root would; one that goes on in the background writes to the log."""
        holder = ("-t", str(self._holder.pid), "--root", "--mount", "--uts", "--net")
        into = ("nsenter", *holder, f"--wd={self._folder}")
        with self._log.open("a") as log:
            goes_on = line.endswith("&")
            return subprocess.run(
                [*into, "sh", "-c", line],
                stdout=log if goes_on else subprocess.PIPE,
                stderr=log if goes_on else subprocess.PIPE,
                text=True,
                timeout=90,
                check=False,
                env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            )

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def configure(self) -> None:
        """The guide's file, with this host's address in it."""
        (text,) = re.findall(r"^```toml\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
        text = text.replace(HOSTS["paris"], self.address)
        assert self.run(f"cat > /etc/overlayd/overlayd.toml <<'END'\n{text}END").returncode == 0


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[dict[str, Host]]:
    prefix = f"ovd-first{os.getpid()}"
    with ExitStack() as stack:

        def namespace(name: str) -> str:
            netns.create(f"{prefix}-{name}")
            stack.callback(netns.remove, f"{prefix}-{name}")
            stack.callback(process.stop_all_in, f"{prefix}-{name}")
            return f"{prefix}-{name}"

        switch = namespace("switch")
        process.run(switch, ["ip", "link", "add", "bridge", "up", "type", "bridge"])
        made: dict[str, Host] = {}
        for name, address in HOSTS.items():
            own = namespace(name)
            netns.add_veth((own, "eth0"), (switch, name), mtu=1500)
            process.run(switch, ["ip", "link", "set", name, "up", "master", "bridge"])
            process.run(own, ["ip", "link", "set", "lo", "up"])
            process.run(own, ["ip", "address", "add", f"{address}/24", "dev", "eth0"])
            netns.wait_for_carrier(own, 20)
            made[name] = Host(name, own, tmp_path)
        yield made


def listens(host: Host) -> bool:
    with suppress(OSError), netns.inside(host.namespace):
        socket.create_connection((host.address, CONTROLLER_PORT), 1).close()
        return True
    return False


def test_the_guide_makes_a_mesh(hosts: dict[str, Host]) -> None:
    ready = {
        "overlayd run &": lambda host: host.run("overlayctl status").returncode != NO_AGENT,
        "overlayd-controller serve &": listens,
    }
    for host in hosts.values():
        host.configure()
    given = 0
    for block in blocks(GUIDE):
        if block.heading.startswith("4"):
            for host in hosts.values():
                assert host.run("overlayctl wait --for whole").returncode == 0, host.log()
        for name in block.hosts:
            host = hosts[name]
            for line in block.lines:
                done = host.run(line)
                assert done.returncode == 0, (name, line, done, host.log())
                if line in ready:
                    wait_until(lambda host=host, line=line: ready[line](host), host.log)
                given += 1
    assert given >= 16
