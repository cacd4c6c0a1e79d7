"""Two hosts with an emulated hop between them, what carries TCP across it, and what the receiver got of it.

The ground of `tcp`: namespaces, the project's live link emulator, and unmodified TCP of the kernel. Bytes are
those that the receiving program read, wire bytes those that the emulator was offered. I/O, needs root.
"""

import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import msgspec

from overlayd.agent.protector import protect
from overlayd.model.service import DEFAULT_CLASSES
from overlayd.protocol import engine
from sim.lab import wire
from sim.lab.errors import LabError
from sim.lab.impair import Settings
from tests.network.engines import Agent, Host, snapshot
from tests.network.load import TICK_BYTES
from tests.network.narrow import end, join, start

TICKS_PER_S = 100
IP_UDP_BYTES, IP_BYTES = 28, 20
Carrier = Literal["overlayd", "plain"]


@dataclass(frozen=True, slots=True)
class Flow:
    """One TCP connection from the first host to the second, all the time."""

    carrier: Carrier
    control: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """Between the warm-up and the end. ``queue_ms``: what small packets beside the flows waited beyond the
    path's own delay (median, 99th percentile).
    """

    goodput_mbps: tuple[float, ...]
    """Of each flow."""
    wire_mbps: float
    """Forward, of all flows: payload of UDP where a tunnel carries them, of IP where none does."""
    queue_ms: tuple[float, float]
    added_ratio: float
    """Frames sent again and repair symbols of ours, per frame."""


@dataclass
class Hop:
    """Enter makes the hosts and the wire between them; leaving takes all away."""

    directory: Path
    settings: Settings
    hosts: tuple[Host, Host] = field(init=False)
    _control: Path = field(init=False)
    _stack: ExitStack = field(init=False, default_factory=ExitStack)
    _repair: list[engine.RepairReport] = field(init=False, default_factory=list[engine.RepairReport])

    def __enter__(self) -> Self:
        self.hosts = (Host(1, self.directory), Host(2, self.directory))
        try:
            self._control = join(self._stack, self.hosts, self.settings, self.directory)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def carry(self, carrier: Carrier) -> str:
        """Bring up what carries flows; the address to send to on the first host. Raises `LabError`."""
        if carrier == "plain":
            return self.hosts[1].underlay
        self._start_engines()
        return self.hosts[1].addresses[0]

    def _start_engines(self) -> None:
        bulk = next(service for service in DEFAULT_CLASSES if service.name == "bulk")
        for host in self.hosts:
            host.start()
        agents = [self._stack.enter_context(Agent(host.socket)) for host in self.hosts]
        for agent, (host, other) in zip(agents, (self.hosts, self.hosts[::-1]), strict=True):
            tables = msgspec.structs.replace(snapshot(host, [other]), classes=(protect(bulk),))
            if not isinstance(answer := agent.apply(tables), engine.Applied):
                raise LabError(f"{host.namespace}: {answer}")
        agents[0].wait_up()
        threading.Thread(target=self._listen, args=(agents[0],), daemon=True).start()

    def _listen(self, agent: Agent) -> None:
        """Keep what the sending engine counts."""
        with suppress(EOFError, OSError):
            while True:
                match agent.next():
                    case engine.Links(links=(link, *_)):
                        self._repair = list(link.repair)
                    case _:
                        pass

    def measure(self, flows: Sequence[tuple[Flow, str]], seconds: float, warm_up_s: float) -> Outcome:
        """Let flows run side by side, each to its address, and count from ``warm_up_s`` on."""
        near, far = self.hosts
        with ExitStack() as stack:
            addresses = [target for _, target in flows]
            # One for all flows to an address.
            sinks = {address: start(stack, far, "sink", address) for address in set(addresses)}
            watch = start(stack, far, "watch", far.underlay)
            for receiver in (*sinks.values(), watch):
                assert receiver.stdout
                receiver.stdout.readline()  # ready
            start(stack, near, "tick", far.underlay, f"{TICKS_PER_S}", f"{seconds + 1}")
            time.sleep(1.0)
            began = time.time()
            for flow, target in flows:
                start(stack, near, "push", target, f"{seconds}", flow.control)
            time.sleep(warm_up_s)
            before, repair = self._offered(), self._added()
            from_s = time.time()
            time.sleep(began + seconds - from_s)
            after, until_s = self._offered(), time.time()
            added = tuple(late - early for late, early in zip(self._added(), repair, strict=True))
            came = [(at / 1e9, delay / 1e6) for at, delay in end(watch)["came"]]
            counted = {address: end(sink)["bytes"] for address, sink in sinks.items()}
        own = min(delay for _, delay in came)
        waited = sorted(delay - own for at, delay in came if from_s <= at < until_s)
        header = IP_BYTES if all(flow.carrier == "plain" for flow, _ in flows) else IP_UDP_BYTES
        packets, size = (late - early for late, early in zip(after, before, strict=True))
        ticks = int(TICKS_PER_S * (until_s - from_s))
        packets, size = packets - ticks, size - ticks * (TICK_BYTES + IP_UDP_BYTES)
        return Outcome(
            tuple(_mbps(counted[address], from_s, until_s) for address in addresses),
            (size - header * packets) * 8 / (until_s - from_s) / 1e6,
            (waited[len(waited) // 2], waited[int(len(waited) * 0.99)]),
            added[1] / added[0] if added[0] else 0.0,
        )

    def _offered(self) -> tuple[int, int]:
        """Packets and bytes offered to the way there so far."""
        told = wire.counters(self._control)["there"]
        return told["offered"], told["offered_bytes"]

    def _added(self) -> tuple[int, int]:
        """Frames sent so far, and what was sent beyond them; told once a second."""
        sent = sum(report.sent for report in self._repair)
        return sent, sum(report.retransmitted + report.repair_sent for report in self._repair)


def _mbps(counted: Sequence[tuple[int, int]], from_s: float, until_s: float) -> float:
    """Of bytes by tenths of a second, those of whole ones."""
    first, last = int(from_s * 10) + 1, int(until_s * 10)
    return sum(count for place, count in counted if first <= place < last) * 80 / (last - first) / 1e6
