"""Checked transfers of all kinds, both ways at once, between two hosts of a ground. I/O, needs root.

Called by `run` and `tests/network/test_soak.py`.

`engine/io/examples/soak_load` sends and compares; what its receivers found is all that counts here.
"""

import json
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sim.lab import netns
from sim.lab.errors import LabError
from tests.bench.ground import Ground

SHARES = {
    "stream": 0.45,
    "urgent": 0.10,
    "segments": 0.05,
    "connections": 0.05,
    "trains": 0.20,
    "datagrams": 0.05,
    "fragments": 0.10,
}
"""Of the bytes each way. Each kind is told in `soak_load`."""
WAYS = {"there": (1, 2), "back": (2, 1)}
MARKED_FROM = 20_000_000
RESENT_MAX = 0.01
"""Datagrams that had to be sent again: queues overflow where TCP shares them, but a tunnel that carries only
now and then proves nothing.
"""


@dataclass(frozen=True, slots=True)
class Transfer:
    """``found`` is what the receiver compared and found as it was sent; ``marked`` in it is how many segments
    of TCP came with a mark of congestion, as the sender was told.
    """

    kind: str
    way: str
    found: dict[str, int]


def prepare(ground: Ground) -> None:
    """Let TCP use ECN, and each underlay mark one in a hundred packets and trains as congested."""
    rule = "ip ecn != not-ect numgen inc mod 100 0 ip ecn set ce"
    table = f"table inet soak {{ chain marks {{ type filter hook prerouting priority raw; {rule}; }}; }}"
    for host, namespace in enumerate(ground.namespaces, start=1):
        with netns.inside(namespace):
            netns.set_sysctls({"net.ipv4.tcp_ecn": "1"})
        ground.run(host, "nft", table)


def run(ground: Ground, program: Path, addresses: tuple[str, str], count: int, seed: int) -> list[Transfer]:
    """Transfer ``count`` bytes each way in all kinds at once. Raises `LabError` where one was not as sent."""
    jobs = [
        (kind, way, (kind, f"{seed + place}", f"{round(count * share)}"))
        for way in WAYS
        for place, (kind, share) in enumerate(SHARES.items())
    ]
    children: list[_Child] = []
    try:
        receivers: list[_Child] = []
        for kind, way, words in jobs:
            _, at = WAYS[way]
            command = [str(program), "receive", addresses[at - 1], *words]
            receivers.append(_Child(f"{kind} {way}, receiver", ground.namespaces[at - 1], command))
            children.append(receivers[-1])
        senders: list[_Child] = []
        for (kind, way, words), receiver in zip(jobs, receivers, strict=True):
            start, end = WAYS[way]
            address = addresses[end - 1]
            place = f"[{address}]" if ":" in address else address
            command = [str(program), "send", f"{place}:{receiver.port()}", *words]
            senders.append(_Child(f"{kind} {way}, sender", ground.namespaces[start - 1], command))
            children.append(senders[-1])
        # A thousandth of what the slowest tunnel of the benchmark does.
        _wait(children, timeout_s=60 + count / 1e6)
        return [
            Transfer(kind, way, json.loads(receiver.said()) | json.loads(sender.said()))
            for (kind, way, _), receiver, sender in zip(jobs, receivers, senders, strict=True)
        ]
    finally:
        for child in children:
            child.end()


def check(transfers: Iterable[Transfer], count: int) -> None:
    """Raise `LabError` where less was transferred than was to be, or not in the way that it was to be."""
    for transfer in transfers:
        found, wanted = transfer.found, round(count * SHARES[transfer.kind])
        resets = transfer.kind == "connections"
        enough = {
            # Of a connection that is reset, what was under way is lost with it.
            "bytes": found["bytes"] >= wanted * (0.5 if resets else 1.0),
            "connections": bool(found["connections"]) != bool(found["datagrams"]),
            "resets": (found["resets"] > 0) == resets,
            "urgent": (found["urgent"] > 0) == (transfer.kind == "urgent"),
            # Of tens of thousands of packets, some are marked.
            "marked": found["marked"] > 0 or transfer.kind != "stream" or wanted < MARKED_FROM,
            # Known only of connections on which something came.
            "ecn": found["ecn"] >= found["connections"] * 0.5,
            "resent": found["resent"] <= 10 + found["datagrams"] * RESENT_MAX,
        }
        if lacking := [name for name, fine in enough.items() if not fine]:
            raise LabError(f"{transfer.kind} {transfer.way}: {', '.join(lacking)} of {found}")


class _Child:
    """A program on a host."""

    def __init__(self, name: str, namespace: str, command: list[str]) -> None:
        self.name = name
        with netns.inside(namespace):
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )

    def port(self) -> str:
        """Where a receiver listens; it says so at once."""
        assert self.process.stdout is not None
        ready, _, port = self.process.stdout.readline().strip().partition(" ")
        if ready != "ready":
            raise LabError(f"{self.name}: {self._errors()}")
        return port

    def said(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.read()

    def failure(self) -> str:
        """Empty while it runs, and where it ended well."""
        return f"{self.name}: {self._errors()}" if self.process.poll() else ""

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()

    def _errors(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read().strip() or f"exit code {self.process.wait()}"


def _wait(children: list[_Child], timeout_s: float) -> None:
    """Until all have ended well."""
    deadline = time.monotonic() + timeout_s
    while any(child.process.poll() is None for child in children):
        if any(child.process.poll() for child in children):
            time.sleep(1.0)  # for the other end to say what it saw
            break
        if time.monotonic() > deadline:
            left = [child.name for child in children if child.process.poll() is None]
            raise LabError(f"no end after {timeout_s:.0f} s: {', '.join(left)}")
        time.sleep(0.05)
    if failures := [failure for child in children if (failure := child.failure())]:
        raise LabError("; ".join(failures))
