"""What each part of a round takes, without sockets: ``python -m tests.scale.rounds --nodes 1000``.

Reports go straight into the controller's machine in virtual time; printed are seconds of wall time, and what
the process holds. A profile for who works on it; figures for the record come from ``python -m tests.scale``.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable
from typing import TypeVar

import msgspec
import numpy as np

from controller.core.controller import Controller
from controller.core.messages import Connected, Enrolled, Instant, Persist, Received, Send
from controller.core.record import pack_decision, pack_difference
from controller.store.store import change_rows, route_rows
from controller.topology import reports
from controller.topology.reports import Report
from overlayd.model.ids import Generation, NodeId
from overlayd.model.node import NodeRecord, SignedRecord
from overlayd.model.service import DEFAULT_CLASSES
from overlayd.protocol.controller import Hello, NetworkConfig
from tests.scale.plane import Plane

INTERVAL_NS = 15_000_000_000
T = TypeVar("T")


class Stopwatch:
    """Prints how long each call took."""

    def __call__(self, what: str, call: Callable[[], T], parts: int = 1) -> T:
        started = time.perf_counter()
        answer = call()
        seconds = time.perf_counter() - started
        held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        each = f" ({1000 * seconds / parts:.2f} ms each)" if parts > 1 else ""
        print(f"{what:34} {seconds:8.3f} s{each}   peak {held:.2f} GiB", flush=True)
        return answer


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.scale.rounds", description=__doc__)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    n, watch = arguments.nodes, Stopwatch()
    network = NetworkConfig(1, "aes256-gcm", "00" * 32, "scale", DEFAULT_CLASSES)
    core, plane, now_ns = Controller(network), Plane.of(n), 1000 * INTERVAL_NS
    for index in range(n):
        address = f"100.64.{index >> 8}.{index & 255}"
        prefixes = (f"{address}/32",)
        record = NodeRecord(
            NodeId(index + 1), f"n{index}", f"{index:064x}", (address,), prefixes, index % 4 == 0, 2**31
        )
        core.handle(
            Enrolled(record, SignedRecord(msgspec.json.encode(record), b"")), Instant(now_ns, now_ns / 1e9)
        )
    hello = Hello(1, "scale", (), (), Generation(0))
    watch("hellos", lambda: _all(core, [Connected(NodeId(i + 1), hello) for i in range(n)], now_ns), n)
    whole: bytes | None = None
    for number in range(arguments.rounds):
        if number:
            plane.slow[n // 2 + number] = 80.0
        frames = [Received(NodeId(i + 1), _report(plane, i)) for i in range(n)]
        now_ns += INTERVAL_NS
        watch("reports", lambda e=frames, at=now_ns: _all(core, e, at), n)
        now_ns += 60_000_000_000 if number else 1_000_000_000
        if number:
            watch("reports", lambda e=frames, at=now_ns: _all(core, e, at), n)
        now = Instant(now_ns + 2_000_000_000, now_ns / 1e9)
        decision = watch("begin", lambda at=now: core.begin(at))
        assert decision is not None
        decided = watch("run", decision.run)
        commands = watch("complete", lambda d=decided, at=now: core.complete(d, at))
        sends = [command for command in commands if isinstance(command, Send)]
        sent = watch("encode", lambda s=sends: sum(len(msgspec.msgpack.encode(c.compact)) for c in s), n)
        print(
            f"    told {decided.tells}, moved {int(decided.moved.sum())}, {len(sends)} messages, {sent} bytes"
        )
        persist = next(command for command in commands if isinstance(command, Persist))
        rows = watch("rows to keep", lambda p=persist: sum(len(b) for _, b in route_rows(p.routes)), n)
        kept = watch("changes to keep", lambda c=decided.changes: sum(len(b) for _, b in change_rows(c)), n)
        print(f"    routes {rows / 1e6:.1f} MB, changes {kept / 1e6:.2f} MB")
        if whole is None or number == 1:  # there is little in the first one
            whole = watch("decision to keep, whole", lambda d=decision: pack_decision(d))
            print(f"    {len(whole) / 1e6:.1f} MB")
        else:
            packed = watch("decision to keep, difference", lambda d=decision, w=whole: pack_difference(d, w))
            print(f"    {len(packed or b'') / 1e6:.1f} MB")
        watch("explain", lambda: [core.explain(NodeId(1), NodeId(i), 0) for i in range(2, 102)], 100)
    return 0


def _all(core: Controller, events: list[Connected] | list[Received], now_ns: int) -> None:
    for event in events:
        core.handle(event, Instant(now_ns, now_ns / 1e9))


def _report(plane: Plane, index: int) -> Report:
    n = len(plane.rtt_ms)
    peers = np.delete(np.arange(1, n + 1), index)
    rtt = np.delete(plane.sample(index), index).astype(np.float32)
    figures = np.full((reports.FIGURES, n - 1), np.nan, np.float32)
    figures[[reports.RTT_MEAN, reports.RTT_Q50]] = rtt
    figures[reports.RTT_MIN], figures[reports.RTT_Q90] = 0.98 * rtt, 1.02 * rtt
    figures[reports.JITTER], figures[[reports.LOSS_OUT, reports.LOSS_IN, reports.RESIDUAL_IN]] = 0.4, 0.0
    up, samples = np.ones(n - 1, np.bool_), np.full(n - 1, 150)
    return Report(False, 15.0, peers, up, samples, figures)


if __name__ == "__main__":
    sys.exit(main())
