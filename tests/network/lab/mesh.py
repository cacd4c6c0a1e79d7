"""A running lab as tests see it: its nodes, what they say, and packets between them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from sim.lab import daemons, netns, process, runner, state
from sim.lab.check import address_of
from sim.lab.errors import LabError
from sim.lab.probe import Measurement, measure
from sim.lab.sketch import Sketch

MS = 1_000_000
SETTLE_S = 180.0
"""How long anything may take on a busy machine before it counts as not happening."""


class Mesh:
    """A lab that is up."""

    def __init__(self, sketch: Sketch, built: state.LabState) -> None:
        self.sketch = sketch
        self.name = built.name
        self.namespaces = built.namespaces
        self.place = state.folder(built.name)
        self.built = built

    # What nodes say

    def ask(self, node: str, verb: str, **arguments: Any) -> dict[str, Any]:
        """One question to an agent, answered in its own words."""
        return daemons.ask(daemons.agent_socket(self.place, node), verb, arguments)

    def ctl(self, node: str, *words: str, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run ``overlayctl`` on a node, towards its agent."""
        with netns.inside(self.namespaces[node]):
            return subprocess.run(
                [program("overlayctl"), *words],
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
                env={**os.environ, "OVERLAYD_SOCKET": str(daemons.agent_socket(self.place, node))},
            )

    def document(self, node: str, *words: str) -> dict[str, Any]:
        """What ``overlayctl … -o json`` answers."""
        done = self.ctl(node, *words, "-o", "json")
        assert done.returncode == 0, done
        return json.loads(done.stdout)

    def controller(self, *words: str) -> str:
        """Run ``overlayd-controller`` on the controller's state; answers what it wrote."""
        node = self.sketch.controller
        state_dir = str(self.place.node(node) / "controller")
        return process.run(
            self.namespaces[node], [program("overlayd-controller"), *words, "--state", state_dir]
        ).strip()

    def log(self, name: str) -> str:
        return self.place.log(name).read_text(errors="replace")

    def overlay(self, node: str, family: int = 4) -> str:
        """A node's overlay address."""
        return address_of(self.built, node, "overlay" if family == 4 else "overlay6")

    def path(self, source: str, target: str) -> tuple[str, ...]:
        """The nodes that unmarked traffic passes now, as its ingress says."""
        return daemons.path(self.place, source, target)

    def online(self, node: str) -> bool:
        """Whether an agent answers, with its engine and its controller."""
        with suppress(LabError, OSError):
            said = self.ask(node, "status")
            return said["state"] == "online" and said["engine"]["connected"]
        return False

    def answers(self, node: str) -> bool:
        """Whether an agent answers and has its engine."""
        with suppress(LabError, OSError):
            return bool(self.ask(node, "status")["engine"]["connected"])
        return False

    # Packets

    def probe(
        self,
        source: str,
        target: str,
        address: str | None = None,
        *,
        count: int = 20,
        size: int = 64,
        act: Callable[[], None] | None = None,
        patience_s: float = 1.0,
    ) -> Measurement:
        """Probes of ``size`` bytes, 5 ms apart, over the overlay; ``act`` is done after a third of them."""
        return measure(
            self.namespaces[source],
            self.namespaces[target],
            address or self.overlay(target),
            count=count,
            interval_ns=5 * MS,
            size=size,
            at=(count // 3, act) if act else None,
            patience_s=patience_s,
        )

    def loses_nothing(
        self, source: str, target: str, *, count: int, act: Callable[[], None] | None = None
    ) -> bool:
        """Whether each probe is answered, however late: `act` cost no packet."""
        return self.probe(source, target, count=count, act=act, patience_s=SETTLE_S).loss_ratio == 0

    def settle(self, source: str, target: str, address: str | None = None, *, size: int = 64) -> Measurement:
        """Probe until a whole run of probes is answered."""
        met: Measurement | None = None
        deadline = time.monotonic() + SETTLE_S
        while time.monotonic() < deadline:
            try:
                met = self.probe(source, target, address, size=size)
            except (LabError, OSError):
                time.sleep(0.1)  # no overlay address yet, or no route
                continue
            if met.loss_ratio == 0:
                return met
        pytest.fail(f"{source} does not reach {target}: {met}")

    def settle_all(self) -> None:
        """Wait until every agent calls every peer alive."""
        nodes = list(self.sketch.edges)
        wait_until(
            lambda: all(self._alive(node) == len(nodes) - 1 for node in nodes),
            lambda: "\n".join(self.ctl(node, "status").stdout + self.log(node) for node in nodes),
        )

    def ping(self, source: str, address: str, size: int, count: int = 10) -> int:
        """How many echoes of ``size`` bytes, IP header and all, came back unfragmented."""
        headers = 48 if ":" in address else 28
        flags = f"-q -M do -i 0.02 -W 2 -c {count} -s {size - headers}"
        said = process.run(self.namespaces[source], ["sh", "-c", f"ping {flags} {address} 2>&1 || true"])
        found = re.search(r"(\d+) received", said)
        return int(found[1]) if found else 0

    # Processes

    def pid(self, node: str, role: str) -> int:
        """The process on a node that runs a role of ``overlayd``."""
        found = self.pids(node, role)
        assert len(found) == 1, (node, role, found)
        return found[0]

    def pids(self, node: str, role: str) -> list[int]:
        found: list[int] = []
        for pid in netns.processes(self.namespaces[node]):
            with suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if b"overlayd.cli.daemon" in words and role.encode() in words:
                    found.append(pid)
        return found

    def start_controller(self) -> process.Process:
        """Start the controller again."""
        node = self.sketch.controller
        state_dir = str(self.place.node(node) / "controller")
        command = [program("overlayd-controller"), "serve", "--state", state_dir]
        return process.start("controller", self.namespaces[node], command, self.place.log("controller"))

    def _alive(self, node: str) -> int:
        try:
            peers = self.ask(node, "status")["peers"]
        except (LabError, OSError):
            return 0
        return sum(peer["data_plane"] == "alive" for peer in peers)


def program(name: str) -> str:
    """A command of this distribution."""
    return str(Path(sys.executable).with_name(name))


@contextmanager
def running(folder: Path, name: str, sketch: Sketch) -> Iterator[Mesh]:
    """Bring a lab up, and take it down whatever happens."""
    if os.geteuid() != 0:
        pytest.fail("makes network namespaces: run as root")
    folder.mkdir(exist_ok=True)
    built = runner.up(sketch.write(folder, f"t{os.getpid()}-{name}"))
    try:
        yield Mesh(sketch, built)
    finally:
        runner.down(built.name)


def kill(mesh: Mesh, node: str, role: str, number: signal.Signals = signal.SIGKILL) -> int:
    """End the process that runs a role on a node; back once another one runs. Answers the new pid."""
    before = mesh.pid(node, role)
    os.kill(before, number)
    wait_until(lambda: mesh.pids(node, role) not in ([], [before]), f"{role} is not started again")
    return mesh.pid(node, role)


@contextmanager
def held_agent(mesh: Mesh, node: str) -> Iterator[None]:
    """Hold an agent still, so that it does not talk to its engine."""
    pid = mesh.pid(node, "agent")
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def wait_until(holds: Callable[[], object], why: str | Callable[[], object] = "") -> None:
    """Wait for what follows from what packets do, some seconds later."""
    deadline = time.monotonic() + SETTLE_S
    while not holds():
        assert time.monotonic() < deadline, why if isinstance(why, str) else why()
        time.sleep(0.1)


def candidate(explanation: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """What an explanation says of one path."""
    (found,) = (row for row in explanation["candidates"] if row["path"] == list(path))
    return found
