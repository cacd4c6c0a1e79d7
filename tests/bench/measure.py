"""Measuring a system that is up: TCP by iperf3, UDP by `udp_load`, round trips by ping, CPU time.

I/O; called by `run`. Every figure is what the receiving program saw. All systems are given the same times.
"""

import json
import re
import subprocess
import time
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import IO, Any

from sim.lab import netns
from sim.lab.errors import LabError
from tests.bench.figures import METRICS, Figures
from tests.bench.ground import Ground

UP_S = 25.0
"""How long a system may take to its first packet."""
ECHOES = 600
ECHO_INTERVAL_S = 0.002
TCP_WARM_UP_S = 1
TCP_S = 3
TCP_PORT = 5201
CPU_RATE_BPS = 500_000_000
CPU_S = 4
UDP_PORT = 5202
FLOOD_WARM_UP_MS = 300
FLOOD_MS = 1_000
CLIMB = 1.25
CLIMBS = 4
STEP_MS = 500
STEPS = 5
SMALL = 64
LARGE_PACKET = 1380
"""Bytes of a large IPv4 packet: what our interface carries whole by default, as do all others here."""
LARGE = LARGE_PACKET - 28
NO_LOSS_RATIO = 0.001
"""What one late turn of the scheduler costs on a machine that is shared counts as no loss."""


class Bench:
    """Between the first and the last host of a ground, whose addresses are ``source`` and ``target``."""

    def __init__(
        self, ground: Ground, ends: tuple[str, str], find: Callable[[str], str], congestion: str
    ) -> None:
        self._ground = ground
        self._target = ends[1]
        self._find = find
        self._congestion = congestion

    def measure(self, metrics: Collection[str] = METRICS) -> Figures:
        """Measure these; the others are None. Raises `LabError` where packets do not pass."""
        self.wait_until_up()
        measured: dict[str, Callable[[], float]] = {
            "rtt_us": self._rtt_us,
            "tcp1_gbps": lambda: self._tcp_gbps(1),
            "tcp4_gbps": lambda: self._tcp_gbps(4),
            "udp64_kpps": lambda: self._peak(SMALL) / 1e3,
            "udp1400_gbps_no_loss": self._no_loss_gbps,
        }
        if self._ground.tunnels:
            measured["cpu_s_per_gb"] = self._cpu_s_per_gb
        found = {metric: take() for metric, take in measured.items() if metric in metrics}
        return {metric: found.get(metric) for metric in METRICS}

    def wait_until_up(self) -> None:
        deadline = time.monotonic() + UP_S
        while True:
            try:
                self._ground.run(1, "ping", "-c", "1", "-W", "1", self._target)
                return
            except LabError as error:
                self._ground.check_alive()
                if time.monotonic() > deadline:
                    raise LabError(f"no echo came back within {UP_S:g} s") from error
                time.sleep(0.1)

    def _rtt_us(self) -> float:
        """Median of the round trips."""
        said = self._ground.run(
            1, "ping", "-i", f"{ECHO_INTERVAL_S}", "-c", f"{ECHOES}", "-W", "1", self._target
        )
        times = [float(found) * 1e3 for found in re.findall(r"time=([0-9.]+) ms", said)]
        if len(times) < ECHOES * 0.95:
            raise LabError(f"{len(times)} of {ECHOES} echoes came back")
        return median(times)

    def _tcp_gbps(self, streams: int) -> float:
        flags = ("-P", f"{streams}", "-t", f"{TCP_S}", "-O", f"{TCP_WARM_UP_S}")
        received = [entry["sum"] for entry in self._iperf(*flags) if not entry["sum"]["omitted"]]
        seconds = sum(entry["seconds"] for entry in received)
        bits = sum(entry["bytes"] for entry in received) * 8
        if not bits:
            raise LabError(f"of {streams} TCP streams no byte arrived")
        return bits / seconds / 1e9

    def _cpu_s_per_gb(self) -> float:
        before = self._ground.cpu_s()
        received = self._iperf("-b", f"{CPU_RATE_BPS}", "-t", f"{CPU_S}")
        taken = self._ground.cpu_s() - before
        return taken / (sum(entry["sum"]["bytes"] for entry in received) / 1e9)

    def _iperf(self, *flags: str) -> list[dict[str, Any]]:
        """The intervals as the receiving side saw them."""
        program, port = self._find("iperf3"), ("-p", f"{TCP_PORT}")
        with self._at_far_end([program, "-s", "-1", "-J", *port]) as server:
            wait_for_listener(server.pid, TCP_PORT)
            self._ground.run(1, program, "-c", self._target, *port, "-C", self._congestion, *flags)
            said, _ = server.communicate(timeout=10)
        report = json.loads(said)
        if "error" in report:
            raise LabError(f"iperf3: {report['error']}")
        return report["intervals"]

    def flood(self, size: int, time_ms: int, rate: int = 0) -> float:
        """Datagrams received a second while as many are sent as can be, or so many."""
        sending_ms = FLOOD_WARM_UP_MS + time_ms + 200
        _, _, window = self._load(size, sending_ms, rate, FLOOD_WARM_UP_MS, time_ms)
        return window / (time_ms / 1e3)

    def _peak(self, size: int) -> float:
        """The most datagrams received a second, whatever was sent.

        A flood's sender takes from the cores that the tunnel needs, so more may arrive where less is sent.
        """
        best = self.flood(size, FLOOD_MS)
        for _ in range(CLIMBS):
            paced = self.flood(size, FLOOD_MS, int(best * CLIMB))
            if paced <= best:
                break
            best = paced
        return best

    def _no_loss_gbps(self) -> float:
        """The highest rate at which all arrived, by bisection around what a flood gets through.

        A rate has two tries: the machine is shared, and a stall of its own is no loss of the tunnel.
        """
        flood = self.flood(LARGE, STEP_MS)
        low, high, best = 0.0, 1.5 * flood, 0.0
        for _ in range(STEPS):
            rate = (low + high) / 2
            received = self._without_loss(int(rate)) or self._without_loss(int(rate))
            if received:
                # What arrived, not what was wished: the sender may be the slower one.
                low, best = rate, max(best, received / (STEP_MS / 1e3))
            else:
                high = rate
        if not best:
            raise LabError(f"at every rate down to {high:.0f} large datagrams a second some were lost")
        return best * LARGE_PACKET * 8 / 1e9

    def _without_loss(self, rate: int) -> int:
        """Large datagrams received at a rate; 0: some were lost."""
        sent, received, _ = self._load(LARGE, STEP_MS, rate, 0, STEP_MS)
        return received if received >= sent * (1 - NO_LOSS_RATIO) else 0

    def _load(self, size: int, time_ms: int, rate: int, skip_ms: int, window_ms: int) -> tuple[int, int, int]:
        """Datagrams sent, received, and received in the window."""
        program, port = self._find("udp_load"), UDP_PORT
        end = f"[{self._target}]:{port}" if ":" in self._target else f"{self._target}:{port}"
        with self._at_far_end([program, "receive", end, f"{skip_ms}", f"{window_ms}"]) as receiver:
            assert receiver.stdout is not None
            receiver.stdout.readline()  # ready
            sent = json.loads(self._ground.run(1, program, "send", end, f"{size}", f"{time_ms}", f"{rate}"))
            said = json.loads(receiver.communicate(timeout=20)[0] or '{"received": 0, "window": 0}')
        if not said["received"]:
            raise LabError(f"of {sent['sent']} datagrams of {size} bytes none arrived")
        return sent["sent"], said["received"], said["window"]

    @contextmanager
    def _at_far_end(self, command: list[str]) -> "Generator[subprocess.Popen[str]]":
        with netns.inside(self._ground.namespaces[-1]):
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        try:
            yield child
        finally:
            child.kill()
            child.wait()
            pipe: IO[str] | None = child.stdout
            if pipe is not None:
                pipe.close()


def wait_for_listener(pid: int, port: int) -> None:
    """Wait until somebody in the namespace of a process listens on a TCP port. Raises `LabError`."""
    wanted = re.compile(rf"^\s*\d+: [0-9A-F]+:{port:04X} [0-9A-F]+:0000 0A ", re.MULTILINE)
    deadline = time.monotonic() + 5
    while not any(wanted.search(Path(f"/proc/{pid}/net/{table}").read_text()) for table in ("tcp", "tcp6")):
        if time.monotonic() > deadline:
            raise LabError(f"nobody listens on TCP port {port}")
        time.sleep(0.01)
