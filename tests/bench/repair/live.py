"""The same cells live: real engines, a real TUN, namespaces, and the project's link emulator between them;
beside them SRT, and the wire as it is. I/O, needs root; called by the command line.

Two things differ from virtual time. Delays are those of a shared machine, so a packet may be `SLACK_MS`
later than the deadline; and SRT holds every packet back for its latency, which is the deadline. The wire
overhead is beyond the stream's own packets; for ourselves, beyond the simulated run without repair.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from overlayd.protocol import engine
from sim.lab import netns, process, wire
from sim.lab.errors import LabError
from sim.lab.impair import Bursts, Settings
from tests.bench.repair.cells import PROFILES, STREAMS, VOICE_DEADLINE_MS, Cell, stream_bytes, upper95
from tests.bench.repair.line import MS_NS, PAYLOAD_BYTES, Hop, Line, Loss, without_repair
from tests.network.engines import WAIT_S, Agent, Host, snapshot
from tests.network.narrow import join

CELLS = (
    *(Cell(profile, 40, 100, "udp-1000pps", 0) for profile in PROFILES if profile != "30 % iid"),
    Cell("10 % iid", 100, VOICE_DEADLINE_MS, "voice", 0, "realtime"),
)
SETTLE_S = 5.0
SLACK_MS = 20.0
"""SRT delivers 7 to 12 ms after its latency."""
CONNECT_S = 2.0
SRT = "srt-live-transmit"
SRT_PORT, IN_PORT, OUT_PORT = 6000, 5000, 5001
DATAGRAM = PAYLOAD_BYTES + 28
"""Bytes of the stream's own packet on the bare wire."""

Find = Callable[[str], str]
Target = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Ends:
    """Both hosts of a system, and what it may be told by."""

    hosts: tuple[Host, Host]
    cell: Cell
    stack: ExitStack
    find: Find

    def start(self, host: Host, *command: str) -> None:
        process.start(command[0], host.namespace, command, host.log)


def measure(
    cell: Cell, seconds: float, seed: int, find: Find, systems: Sequence[str]
) -> list[dict[str, Any]]:
    """A row for each system, all of them at the same time on wires of their own."""
    with ThreadPoolExecutor(len(systems)) as pool:
        running = [
            pool.submit(_measure, name, 2 * place + 1, cell, seconds, seed, find)
            for place, name in enumerate(systems)
        ]
        return [future.result() for future in running]


def _measure(name: str, first: int, cell: Cell, seconds: float, seed: int, find: Find) -> dict[str, Any]:
    traffic = STREAMS[cell.stream]
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        hosts = Host(first, directory), Host(first + 1, directory)
        control = join(stack, hosts, _settings(cell), directory, seed)
        receiver = _start(stack, hosts[1], "receive", str(OUT_PORT))
        assert receiver.stdout and receiver.stdout.readline() == "ready\n"
        address, port = SYSTEMS[name](Ends(hosts, cell, stack, find))
        interval_us = round(traffic.interval_ms * 1000)
        count = round((SETTLE_S + seconds) * 1e6 / interval_us)
        sender = _start(stack, hosts[0], "send", address, str(port), str(interval_us), str(count))
        time.sleep(SETTLE_S)
        settled_ns, before = time.time_ns(), _wire_bytes(control)
        sender.wait(timeout=seconds + WAIT_S)
        wire_bytes = _wire_bytes(control) - before
        time.sleep(2.0)
        receiver.terminate()
        came = json.loads(receiver.communicate(timeout=WAIT_S)[0])
    settled = [(number, (at - sent_ns) / MS_NS) for number, sent_ns, at in came if sent_ns >= settled_ns]
    if not settled:
        raise LabError(f"{name}: nothing came")
    sent = count - settled[0][0]
    added = sorted(delay - cell.rtt_ms / 2 for _, delay in settled)
    in_time = sum(1 for delay in added if delay <= cell.deadline_ms + SLACK_MS)
    lost = sent - in_time
    own, each = _own_bytes(name, cell, seed)
    return {
        "profile": cell.profile,
        "rtt_ms": cell.rtt_ms,
        "deadline_ms": cell.deadline_ms,
        "stream": cell.stream,
        "system": name,
        "sent": sent,
        "residual_loss_pct": 100 * lost / sent,
        "residual_upper95_pct": 100 * upper95(lost, sent),
        "wire_overhead_pct": 100 * (wire_bytes / sent - own) / each,
        "added_ms_p50": _quantile(added, 0.5),
        "added_ms_p99": _quantile(added, 0.99),
    }


def _plain(ends: Ends) -> Target:
    return ends.hosts[1].underlay, OUT_PORT


def _overlayd(ends: Ends) -> Target:
    engines = [host.start() for host in ends.hosts]
    assert all(process.alive(each) for each in engines)
    agents = [ends.stack.enter_context(Agent(host.socket)) for host in ends.hosts]
    for agent, (host, other) in zip(agents, (ends.hosts, ends.hosts[::-1]), strict=True):
        tables = msgspec.structs.replace(snapshot(host, [other]), classes=(ends.cell.service(),))
        if not isinstance(answer := agent.apply(tables), engine.Applied):
            raise LabError(f"host{host.number}: {answer}")
    agents[0].wait_up()
    return ends.hosts[1].addresses[0], OUT_PORT


def _srt(ends: Ends) -> Target:
    program, latency = ends.find(SRT), f"latency={ends.cell.deadline_ms}"
    near, far = ends.hosts
    ends.start(
        far, program, "-q", f"srt://:{SRT_PORT}?mode=listener&{latency}", f"udp://127.0.0.1:{OUT_PORT}"
    )
    time.sleep(CONNECT_S / 4)
    ends.start(near, program, "-q", f"udp://:{IN_PORT}", f"srt://{far.underlay}:{SRT_PORT}?{latency}")
    time.sleep(CONNECT_S)
    return "127.0.0.1", IN_PORT


SYSTEMS: dict[str, Callable[[Ends], Target]] = {"overlayd": _overlayd, "srt": _srt, "plain": _plain}


def _own_bytes(name: str, cell: Cell, seed: int) -> tuple[float, float]:
    """Bytes on the wires for each packet without any repair, and of its own datagram alone."""
    if name != "overlayd":
        return DATAGRAM, DATAGRAM
    hops = (Hop(cell.rtt_ms, PROFILES[cell.profile]),)
    line = Line(seed, hops, without_repair(cell.service()))
    plain = line.start(STREAMS[cell.stream], cell.deadline_ms, 10.0).account()
    return plain.wire_bytes / plain.sent, stream_bytes(1)


def _settings(cell: Cell) -> Settings:
    loss: Loss = PROFILES[cell.profile]
    delay_ns = round(cell.rtt_ms * MS_NS / 2)
    if not loss.outage_ms:
        return Settings(delay_ns=delay_ns, loss_ratio=loss.ratio)
    document = loss.document()
    return Settings(delay_ns=delay_ns, bursts=Bursts(document["mean_good_ns"], document["mean_bad_ns"]))


def _wire_bytes(control: Path) -> int:
    return sum(way["offered_bytes"] for way in wire.counters(control).values())


def _start(stack: ExitStack, host: Host, *words: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.bench.repair.stream", *words]
    with netns.inside(host.namespace):
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)

    def stop() -> None:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()

    stack.callback(stop)
    return child


def _quantile(ordered: list[float], share: float) -> float:
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 3) if ordered else float("inf")
