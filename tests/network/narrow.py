"""Two engines on both sides of an emulated bottleneck, and what they do when more is offered than it carries.

The ground of the overload test and of `make bench-overload`. I/O, needs root.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from overlayd.protocol import engine
from sim.lab import netns, process, wire
from sim.lab.impair import Settings
from tests.network.engines import WAIT_S, Agent, Host, snapshot

MTU = 1500
PACKET = 1380
"""The largest packet that the interface carries whole by default."""
PAYLOAD = PACKET - 28
TCP_PAYLOAD = PACKET - 52
"""Of UDP and of TCP with time stamps in it."""
TICKS_PER_S = 200
QUIET_S = 2.0
"""Small packets alone, which tell the delay of the path, before anything is offered."""


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """``queue_ms`` is how long a full queue makes packets wait."""

    rate_bps: int = 200_000_000
    delay_ms: int = 20
    queue_ms: int = 250
    loss_ratio: float = 0.0

    def settings(self) -> Settings:
        return Settings(
            delay_ns=self.delay_ms * 1_000_000,
            rate_bps=self.rate_bps,
            queue_bytes=self.rate_bps * self.queue_ms // 8000,
            loss_ratio=self.loss_ratio,
        )


@dataclass(slots=True)
class Outcome:
    """What was measured between ``settled_after_s`` and the end; delays are beyond the path's own."""

    offered_mbps: float | None
    goodput_mbps: float
    """Of payload, as the receiving program counts it."""
    packets_mbps: float
    """The same with the headers of the inner packets."""
    small_sent: int
    small_received: int
    useful_ratio: float
    """Of what the bottleneck carried: what the receiving program took, with the inner packets' headers."""
    p50_ms: float
    p99_ms: float
    path_ms: float
    settled_after_s: float | None
    """From when on no second had a p99 of 10 ms or more; None: never."""
    drops: dict[str, int]
    pace_mbps: float | None
    rss_before_mb: float
    rss_peak_mb: float


@dataclass
class Narrow:
    """Two hosts with engines; enter makes them, and leaving takes all away."""

    directory: Path
    bottleneck: Bottleneck
    settings: tuple[str, ...] = ()
    hosts: tuple[Host, Host] = field(init=False)
    _stack: ExitStack = field(init=False, default_factory=ExitStack)
    _engines: list[process.Process] = field(init=False, default_factory=list[process.Process])
    _control: Path = field(init=False)
    _drops: dict[str, int] = field(init=False, default_factory=dict[str, int])
    _pace: int | None = field(init=False, default=None)

    def __enter__(self) -> "Narrow":
        self.hosts = (
            Host(1, self.directory, settings=self.settings),
            Host(2, self.directory, settings=self.settings),
        )
        try:
            self._make()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _make(self) -> None:
        self._control = join(self._stack, self.hosts, self.bottleneck.settings(), self.directory)
        self._engines = [host.start() for host in self.hosts]
        agents = [self._stack.enter_context(Agent(host.socket)) for host in self.hosts]
        for agent, (host, other) in zip(agents, (self.hosts, self.hosts[::-1]), strict=True):
            assert agent.apply(snapshot(host, [other])) == engine.Applied(1)
        agents[0].wait_up()
        threading.Thread(target=self._listen, args=(agents[0],), daemon=True).start()

    def _listen(self, agent: Agent) -> None:
        """Keep what the sending engine counts."""
        with suppress(EOFError, OSError):
            while True:
                match agent.next():
                    case engine.Counters(counters=counters):
                        self._drops = dict(counters.drops)
                    case engine.Links(links=(link, *_)):
                        self._pace = link.budget_bps
                    case _:
                        pass

    def offer(self, load: Sequence[str], seconds: float, warm_up_s: float) -> Outcome:
        """Load the way from the first host to the second (words of `load`), beside small packets."""
        source, target = self.hosts[0], self.hosts[1].addresses[0]
        before = dict(self._drops)
        rss_before = rss_mb(self._engines)
        with ExitStack() as stack:
            sink = start(stack, self.hosts[1], "sink", target)
            watch = start(stack, self.hosts[1], "watch", target)
            for receiver in (sink, watch):
                assert receiver.stdout and receiver.stdout.readline() == "ready\n"
            ticks = int(TICKS_PER_S * (QUIET_S + seconds))
            start(stack, source, "tick", target, str(TICKS_PER_S), str(QUIET_S + seconds))
            time.sleep(QUIET_S)
            crossed_before = self._crossed_bytes()
            began = time.time()
            sender = start(stack, source, *load)
            rss_peak = rss_before
            while time.time() < began + seconds:
                time.sleep(0.1)
                rss_peak = max(rss_peak, rss_mb(self._engines))
            sent = sender.communicate(timeout=WAIT_S)[0]
            time.sleep(6)  # counters come each five seconds
            counted, came = end(sink)["bytes"], end(watch)["came"]
        crossed = self._crossed_bytes() - crossed_before
        path = sorted(delay for at, delay in came if at / 1e9 < began)
        own = path[len(path) // 2]
        from_s, until_s = began + warm_up_s, began + seconds
        late = [((at / 1e9 - began), (delay - own) / 1e6) for at, delay in came]
        within = sorted(delay for at, delay in late if warm_up_s <= at < seconds)
        payload = sum(count for place, count in counted if from_s <= place / 10 < until_s)
        goodput = payload * 8 / (until_s - from_s) / 1e6
        # Only the flood says how much it sent: TCP offers what is taken.
        headers = PACKET / (PAYLOAD if sent.strip() else TCP_PAYLOAD)
        offered = json.loads(sent)["sent"] * PACKET * 8 / seconds / 1e6 if sent.strip() else None
        return Outcome(
            offered_mbps=offered,
            goodput_mbps=goodput,
            packets_mbps=goodput * headers,
            small_sent=ticks - int(TICKS_PER_S * (QUIET_S + warm_up_s)),
            small_received=len(within),
            useful_ratio=sum(count for _, count in counted) * headers / crossed,
            p50_ms=_quantile(within, 0.5),
            p99_ms=_quantile(within, 0.99),
            path_ms=own / 1e6,
            settled_after_s=_settled(late, int(seconds)),
            drops={
                reason: count - before.get(reason, 0)
                for reason, count in self._drops.items()
                if count > before.get(reason, 0)
            },
            pace_mbps=self._pace / 1e6 if self._pace else None,
            rss_before_mb=rss_before,
            rss_peak_mb=rss_peak,
        )

    def _crossed_bytes(self) -> int:
        return wire.counters(self._control)["there"]["delivered_bytes"]


def join(
    stack: ExitStack, hosts: tuple[Host, Host], settings: Settings, directory: Path, seed: int = 7
) -> Path:
    """Make two hosts with an emulated wire between them, alike both ways; the emulator's control socket.

    ``stack`` removes them.
    """
    middle = f"ovd-eng{os.getpid()}-wire{hosts[0].number}"
    for namespace in (middle, *(host.namespace for host in hosts)):
        netns.create(namespace)
        stack.callback(netns.remove, namespace)
        stack.callback(process.stop_all_in, namespace)
    with netns.inside(middle):
        netns.set_sysctls({"net.ipv6.conf.all.disable_ipv6": "1"})
    for host, end in zip(hosts, ("left", "right"), strict=True):
        host.write_files()
        netns.add_veth((host.namespace, "wan"), (middle, end), MTU)
        host.run("ip", "address", "add", f"{host.underlay}/24", "dev", "wan")
        netns.wait_for_carrier(host.namespace, WAIT_S)
    config, control = directory / "emulator.json", directory / "emulator.sock"
    ways = [("there", "left", "right", settings), ("back", "right", "left", settings)]
    config.write_text(wire.configuration(seed, ways))
    command = [sys.executable, "-m", "sim.emulator", "--config", str(config), "--control", str(control)]
    process.start("emulator", middle, command, directory / "emulator.log")
    assert wire.wait_ready(control, WAIT_S), (directory / "emulator.log").read_text()
    return control


def flood(target: str, rate_bps: int, seconds: float) -> tuple[str, ...]:
    """The words for one flow of UDP."""
    return ("flood", target, str(rate_bps), str(seconds), str(PAYLOAD))


def push(target: str, seconds: float) -> tuple[str, ...]:
    """The words for one flow of TCP."""
    return ("push", target, str(seconds))


def rss_mb(engines: Sequence[process.Process]) -> float:
    """The memory of the larger of both engines."""
    pages = [int(Path(f"/proc/{engine.pid}/statm").read_text().split()[1]) for engine in engines]
    return max(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _settled(late: Sequence[tuple[float, float]], seconds: int) -> float | None:
    settled = 0.0
    for second in range(seconds):
        within = sorted(delay for at, delay in late if second <= at < second + 1)
        if not within or _quantile(within, 0.99) >= 10:
            settled = second + 1.0
    return settled if settled < seconds else None


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("inf")


def start(stack: ExitStack, host: Host, *words: str) -> "subprocess.Popen[str]":
    """A program of ``tests.network.load`` on a host, until the stack is closed."""
    command = [sys.executable, "-m", "tests.network.load", *words]
    with netns.inside(host.namespace):
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    stack.callback(_stop, child)
    return child


def _stop(child: "subprocess.Popen[str]") -> None:
    child.kill()
    child.wait()
    if child.stdout is not None:
        child.stdout.close()


def end(child: "subprocess.Popen[str]") -> dict[str, Any]:
    """Ask it to end; what it counted."""
    child.terminate()
    return json.loads(child.communicate(timeout=WAIT_S)[0])
