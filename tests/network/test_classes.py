"""The rules that come with the package: packets' classes by mark and by cgroup. Needs root."""

import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from overlayd._engine import open_tun
from overlayd.model.service import DEFAULT_CLASSES
from sim.lab import netns, process

RULES = Path(__file__).parents[2] / "packaging/nftables/overlayd-classes.nft"
VNET_HEADER = 10
SO_MARK = 36
WAIT_S = 60.0
CLASS_OF = {code_point: service.name for service in DEFAULT_CLASSES for code_point in service.dscp}
SEND = """
import socket
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"from a cgroup", ("10.90.0.2", 9))
"""


class Host:
    """A namespace with the interface alone, whose packets are read as the engine reads them."""

    def __init__(self, stack: ExitStack) -> None:
        self.namespace = f"ovd-cls{os.getpid()}"
        netns.create(self.namespace)
        stack.callback(netns.remove, self.namespace)
        with netns.inside(self.namespace):
            self.tun = open_tun("overlay0")
        stack.callback(os.close, self.tun)
        os.set_blocking(self.tun, False)
        for words in (
            "ip address add 10.90.0.1/24 dev overlay0",
            "ip address add fd90::1/64 dev overlay0 nodad",
            "ip link set overlay0 up",
        ):
            process.run(self.namespace, words.split(), WAIT_S)
        self.nft("-f", str(RULES))

    def nft(self, *words: str) -> None:
        process.run(self.namespace, ["nft", *words], WAIT_S)

    def send(self, mark: int, address: str = "10.90.0.2") -> None:
        with netns.inside(self.namespace):
            sender = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        with sender:
            sender.setsockopt(socket.SOL_SOCKET, SO_MARK, mark)
            sender.sendto(b"marked", (address, 9))

    def class_of_next(self, content: bytes) -> str | None:
        """Of the next packet with this content; None: that of no code point, which is the first."""
        while True:
            readable, _, _ = select.select([self.tun], [], [], WAIT_S)
            assert readable, "no packet came"
            packet = os.read(self.tun, 65536)[VNET_HEADER:]
            if not packet.endswith(content):
                continue
            traffic_class = packet[1] if packet[0] >> 4 == 4 else (packet[0] << 4 | packet[1] >> 4) & 0xFF
            return CLASS_OF.get(traffic_class >> 2)


@contextmanager
def cgroup(name: str) -> Iterator[tuple[Path, str, int]]:
    """Make one: its folder, its path as nft wants it, and its level there."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    root = next(Path(fields[1]) for fields in mounts if fields[2] == "cgroup2")
    folder = root / name
    folder.mkdir()
    try:
        yield folder, str(folder.relative_to("/sys/fs/cgroup")), 1
    finally:
        folder.rmdir()


@pytest.mark.parametrize("address", ["10.90.0.2", "fd90::2"])
def test_a_mark_becomes_a_class(stack: ExitStack, address: str) -> None:
    host = Host(stack)
    wanted = {0x0A01: "realtime", 0x0A02: "interactive", 0x0A03: "bulk", 0x0A04: "reliable", 0: None, 7: None}
    for mark, name in wanted.items():
        host.send(mark, address)
        assert host.class_of_next(b"marked") == name, hex(mark)


def test_a_cgroup_becomes_a_class(stack: ExitStack) -> None:
    host = Host(stack)
    folder, path, level = stack.enter_context(cgroup(f"ovd-cls{os.getpid()}"))
    rule = f'socket cgroupv2 level {level} "{path}" goto bulk'
    host.nft(f"add rule inet overlayd_classes by_cgroup {rule}")

    def enter() -> None:
        (folder / "cgroup.procs").write_text(str(os.getpid()))

    for inside, name in ((enter, "bulk"), (None, None)):
        with netns.inside(host.namespace):
            sender = subprocess.Popen([sys.executable, "-c", SEND], preexec_fn=inside)
        assert sender.wait(WAIT_S) == 0
        assert host.class_of_next(b"from a cgroup") == name


def test_rules_that_are_loaded_again_are_there_once(stack: ExitStack) -> None:
    host = Host(stack)
    host.nft("-f", str(RULES))
    listed = process.run(host.namespace, ["nft", "list", "ruleset"], WAIT_S)
    assert listed.count("table inet overlayd_classes") == 1 and listed.count("type filter hook") == 2
