"""The demo's hands on its lab: hosts, links, programs, and the processes that get killed. I/O, needs root.

Called by `story`. What the mesh says of itself comes through `Mesh.explain` and `Mesh.everybody_alive`, and
is used for names and reasons; figures come from end points and from the counters of the link emulator.
"""

import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from overlayd.protocol.local import Explanation, Status
from sim.demo.measure import Sample, Way
from sim.demo.records import Record
from sim.lab import daemons, netns, process, runner, state, wire
from sim.lab.check import address_of
from sim.lab.errors import LabError
from sim.lab.probe import Measurement, measure
from sim.lab.process import Process, Tell
from sim.lab.state import LabState

TOPOLOGY = Path(__file__).parents[2] / "containerlab/labs/five-sites/topo.clab.yml"
CONTROLLER = "cloud"
NAME = "demo-"
# No download profits, or suffers, from what the kernel remembers of an earlier one.
_SYSCTLS = {"net.ipv4.tcp_no_metrics_save": "1"}
# 16 ms of a link's rate: else a download outside the mesh would fill the direct link's queue until that path
# is longer than one over a relay, and the mesh, rightly, would leave it before the story begins.
_QUEUE = {"queue": "200kb"}
_PORT_S = 10.0
_NAMESPACES = Path("/run/netns")
_FILES = "overlayd-"


class EndPoint:
    """A program at an end of the demo's traffic, and what it has written so far."""

    def __init__(self, running: Process, log: Path) -> None:
        self.running = running
        self.log = log
        self.record = Record()
        self._output = log.open(encoding="utf-8", errors="replace")
        self._partial = ""

    def update(self) -> Record:
        """Read what is new."""
        text = self._partial + self._output.read()
        *lines, self._partial = text.split("\n")
        self.record.read(lines)
        return self.record

    @property
    def alive(self) -> bool:
        return process.alive(self.running)

    def stop(self) -> Record:
        """Ask it to end, wait until it has, read the rest."""
        process.stop([self.running])
        record = self.update()
        self._output.close()
        return record


class Mesh:
    """The five sites, up and running."""

    def __init__(self, name: str, topology: Path, tell: Tell) -> None:
        self.state: LabState = runner.up(topology, name=name, tell=tell)
        self.place = state.folder(name)
        self.edges = [node for node in self.state.namespaces if node != CONTROLLER]
        self._programs = 0

    def prepare(self) -> None:
        """Give hosts and links the settings of the demo."""
        for node in self.edges:
            with netns.inside(self.state.namespaces[node]):
                netns.set_sysctls(_SYSCTLS)
        for link in self.links():
            self.impair(link, _QUEUE)

    # The underlay

    def address(self, node: str, over: str) -> str:
        """``over``: ``underlay`` or ``overlay``. Raises :class:`LabError` where it has none yet."""
        return address_of(self.state, node, "overlay" if over == "overlay" else "underlay")

    def links(self) -> list[Way]:
        """The links between edges, each once."""
        pairs = [Way(link.impairments.a, link.impairments.b) for link in self.state.links]
        return [pair for pair in pairs if CONTROLLER not in pair]

    def measure(self, way: Way, over: str, *, count: int, interval_ns: int = 5_000_000) -> Measurement:
        """Send probes over a link (``underlay``) or through the mesh (``overlay``) and back."""
        source, target = (self.state.namespaces[node] for node in way)
        return measure(source, target, self.address(way.end, over), count=count, interval_ns=interval_ns)

    def impair(self, link: Way, words: Mapping[str, object]) -> None:
        """Change a link, both directions; see ``overlayctl lab impair``."""
        runner.impair(self.state.name, f"{link.start}:{link.end}", words)

    def sample(self) -> Sample:
        """What every way has been offered by now."""
        counters = wire.counters(self.place.control)
        offered: dict[Way, int] = {}
        for link in self.state.links:
            there = Way(link.impairments.a, link.impairments.b)
            for way, name in ((there, link.there), (Way(there.end, there.start), link.back)):
                offered[way] = counters[name]["offered_bytes"]
        return Sample(time.monotonic_ns(), offered)

    # What the mesh says

    def status(self, node: str) -> Status:
        return msgspec.convert(daemons.ask(daemons.agent_socket(self.place, node), "status", {}), Status)

    def explain(self, node: str, destination: str) -> Explanation:
        """Why unmarked traffic goes where it goes, as the node's agent knows it."""
        answer = daemons.ask(
            daemons.agent_socket(self.place, node), "explain", {"destination": destination, "service": None}
        )
        return msgspec.convert(answer, Explanation)

    def explanation(self, node: str, destination: str) -> str:
        """What ``overlayctl explain`` prints on that host."""
        command = [str(Path(sys.executable).with_name("overlayctl")), "explain", destination]
        socket_file = str(daemons.agent_socket(self.place, node))
        return process.run(self.state.namespaces[node], [*command, "--socket", socket_file])

    def alive_pairs(self) -> int:
        """How many ordered pairs of hosts have a data plane that is measured to be alive end to end."""
        alive = 0
        for node in self.edges:
            with suppress(LabError, OSError):
                alive += sum(peer.data_plane == "alive" for peer in self.status(node).peers)
        return alive

    # Programs and processes

    def start(self, node: str, *words: object) -> EndPoint:
        """Start a program of `sim.demo.endpoints` on a host."""
        self._programs += 1
        name = f"{words[0]}-{self._programs}"
        log = self.place.log(name)
        command = [sys.executable, "-m", "sim.demo.endpoints", *map(str, words)]
        return EndPoint(process.start(name, self.state.namespaces[node], command, log), log)

    def serve(self, node: str, folder: Path, port: int) -> None:
        """Start a web server on a host, at all of its addresses; back when it listens."""
        server = self.start(node, "serve", folder, port)
        deadline = time.monotonic() + _PORT_S
        while server.alive and time.monotonic() < deadline:
            with netns.inside(self.state.namespaces[node]), suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
                return
            time.sleep(0.05)
        raise LabError(f"the web server on {node} does not listen; see {server.log}")

    def kill_host(self, node: str) -> int:
        """SIGKILL to every process on a host, at once; answers when, in ns. Its links stay."""
        pids = sorted(
            netns.processes(self.state.namespaces[node])
        )  # the parent, who would start others, first
        at_ns = time.monotonic_ns()
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return at_ns

    def kill_agent(self, node: str) -> int:
        """SIGKILL to the agent of a host, and to nothing else; answers its pid. Raises :class:`LabError`."""
        pid = self.agent_pid(node)
        if pid is None:
            raise LabError(f"{node}: no agent is running")
        os.kill(pid, signal.SIGKILL)
        return pid

    def agent_pid(self, node: str) -> int | None:
        for pid in netns.processes(self.state.namespaces[node]):
            with suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if b"agent" in words:
                    return pid
        return None


def clear(name: str) -> None:
    """Take a lab away, and whatever of it has come into being while that was done."""
    runner.down(name)
    for file in _NAMESPACES.glob(f"{name}-*"):
        process.stop_all_in(file.name)
        netns.remove(file.name)
    shutil.rmtree(files_of(name), ignore_errors=True)


def files_of(name: str) -> Path:
    """Where the files that a demo serves are."""
    return Path(tempfile.gettempdir(), f"{_FILES}{name}")


def sweep() -> list[str]:
    """Clear what demos left behind that were killed before they could; answers their names."""
    spaces = ("-".join(file.name.split("-")[:2]) for file in _NAMESPACES.glob(f"{NAME}*"))
    files = (folder.name.removeprefix(_FILES) for folder in files_of(NAME).parent.glob(f"{_FILES}{NAME}*"))
    names = {name for name in (*state.labs(), *spaces, *files) if name.startswith(NAME)}
    left = sorted(name for name in names if not _runs(name.removeprefix(NAME)))
    for name in left:
        clear(name)
    return left


def _runs(pid: str) -> bool:
    """Whether the demo that a lab is named after may still be there."""
    return not pid.isdecimal() or Path(f"/proc/{pid}").exists()
