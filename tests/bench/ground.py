"""The ground a system is measured on: hosts in namespaces of their own, in a chain of veth pairs, and the
processes started there. I/O, needs root; called by `systems`, `overlay` and `run`.

Host N has the underlay address 192.0.2.N. Everything goes when the ground is left, however that happens.
"""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from sim.lab import netns, process
from sim.lab.errors import LabError

PREFIX = "ovd-bench"
MTU = 1500
CARRIER_S = 10.0
OFFLOADS = ("tso", "gso", "gro", "tx-udp-segmentation")
"""What "off" takes away: all that lets more than a frame cross at once. Checksums stay, as on any card."""
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass
class Ground:
    """``hosts`` namespaces; ``offloads`` is whether the veth pairs keep those that the kernel gives them."""

    hosts: int
    offloads: bool
    directory: Path
    namespaces: list[str] = field(init=False)
    tunnels: list[process.Process] = field(init=False, default_factory=list)
    _stack: ExitStack = field(init=False, default_factory=ExitStack)

    def __enter__(self) -> Self:
        self.namespaces = [f"{PREFIX}{os.getpid()}-{number}" for number in range(1, self.hosts + 1)]
        try:
            self._make()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _make(self) -> None:
        for namespace in self.namespaces:
            netns.create(namespace)
            self._stack.callback(netns.remove, namespace)
            self._stack.callback(process.stop_all_in, namespace)
        for left in range(1, self.hosts):
            self._join(left, left + 1)
        for namespace in self.namespaces:
            netns.wait_for_carrier(namespace, CARRIER_S)

    def _join(self, left: int, right: int) -> None:
        ends = ((left, right, "right"), (right, left, "left"))
        netns.add_veth(*((self.namespaces[host - 1], name) for host, _, name in ends), mtu=MTU)
        for host, other, name in ends:
            if not self.offloads:
                self.run(host, "ethtool", "-K", name, *(word for key in OFFLOADS for word in (key, "off")))
            self.run(host, "ip", "address", "add", f"{underlay(host)}/32", "dev", name)
            self.run(host, "ip", "route", "add", f"{underlay(other)}/32", "dev", name, "src", underlay(host))

    def run(self, host: int, *command: str, timeout_s: float = 60.0) -> str:
        """Run a command on a host to its end; answers what it wrote. Raises `LabError`."""
        return process.run(self.namespaces[host - 1], command, timeout_s)

    def start_tunnel(self, host: int, command: Sequence[str]) -> process.Process:
        """Start a process of the measured system, to which its CPU time is counted."""
        started = process.start(f"host{host}", self.namespaces[host - 1], command, self.log(host))
        self.tunnels.append(started)
        return started

    def check_alive(self) -> None:
        """Raise `LabError` where a process of the measured system has ended."""
        for tunnel in self.tunnels:
            if not process.alive(tunnel):
                raise LabError(f"its process on {tunnel.name} has ended")

    def on_leaving(self, file: Path) -> None:
        """Remove a file that a system leaves outside of its directory."""
        self._stack.callback(file.unlink, missing_ok=True)

    def log(self, host: int) -> Path:
        return self.directory / f"host{host}.log"

    def log_tail(self, lines: int = 6) -> str:
        """The last lines that the processes on each host said."""
        tails = [
            f"host {host}: {line}"
            for host in range(1, self.hosts + 1)
            if self.log(host).exists()
            for line in self.log(host).read_text(errors="replace").splitlines()[-lines:]
        ]
        return "\n".join(tails)

    def cpu_s(self) -> float:
        """CPU seconds that the system's processes have taken so far, on all hosts."""
        return sum(cpu_s(tunnel.pid) for tunnel in self.tunnels)


def underlay(host: int) -> str:
    return f"192.0.2.{host}"


def cpu_s(pid: int) -> float:
    """User and system time of all threads of a process, in seconds (proc(5), /proc/PID/stat)."""
    # The second field, the name in parentheses, may contain anything.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


def remove_left_behind() -> None:
    """Remove the namespaces of runs that were killed and could not do it themselves."""
    folder = Path("/var/run/netns")
    for entry in folder.iterdir() if folder.exists() else ():
        owner = entry.name.removeprefix(PREFIX).partition("-")[0]
        if entry.name.startswith(PREFIX) and owner.isdecimal() and not Path(f"/proc/{owner}").exists():
            process.stop_all_in(entry.name)
            netns.remove(entry.name)
