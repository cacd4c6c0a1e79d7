"""Two disjoint ways between two hosts, the first of them dead for half a second every ten. Pure but for the
simulated world.

The engine leaves a dead path and comes back after a minute of health, so in one long run the second outage
would find nothing on it. Each row is therefore of many short runs: in each the first path is in use when the
first outage comes.
"""

from dataclasses import replace
from typing import Any

import msgspec

from overlayd.protocol import engine
from tests.bench.repair.cells import BASELINE_SECONDS, STREAMS, Cell, figures
from tests.bench.repair.line import MS_NS, SECOND_NS, Account, Diamond, Flow, Hop, Loss, without_repair

HOP_RTT_MS, DEADLINE_MS = 20, 100
STREAM = "udp-1000pps"
PROFILES = {"0 %": Loss(), "1 % iid": Loss(0.01)}
OUTAGES, EVERY_NS, OUTAGE_NS = 3, 10 * SECOND_NS, 500 * MS_NS
RETURN_NS = 70 * SECOND_NS
"""After so long the engine has come back to the first path."""
RETURNS = 3
"""Runs that wait for it."""


def two_paths(packets: int, seed: int) -> list[dict[str, Any]]:
    """Class `reliable` as it is, and the same without the second path, on calm and on lossy wires.

    The wire overhead is that of the time outside the outages.
    """
    service = Cell("0 %", 2 * HOP_RTT_MS, DEADLINE_MS, STREAM, 0, "reliable").service()
    runs = max(1, round(packets * SECOND_NS / (OUTAGES * EVERY_NS * 1000)))
    rows: list[dict[str, Any]] = []
    for profile, loss in PROFILES.items():
        hop = Hop(HOP_RTT_MS, loss)
        plain = _start(seed, hop, without_repair(service), BASELINE_SECONDS).account()
        for second_path in (True, False):
            wanted = msgspec.structs.replace(service, disjoint=second_path)
            # Where repair brings packets late, order tells nothing of the return.
            returns = 0 if loss.ratio else RETURNS
            found = [_run(seed + run, hop, wanted, wait=run < returns) for run in range(runs)]
            rows.append(
                {
                    "profile": profile,
                    "rtt_ms": 2 * HOP_RTT_MS,
                    "deadline_ms": DEADLINE_MS,
                    "second_path": second_path,
                    "outages": runs * OUTAGES,
                    **figures(_sum([account for account, _ in found]), plain, 2),
                    "reordered_on_return": sum(reordered for _, reordered in found) if returns else None,
                }
            )
    return rows


def _start(seed: int, hop: Hop, service: engine.Class, seconds: float) -> Flow:
    return Diamond(seed, hop, hop, service).start(STREAMS[STREAM], DEADLINE_MS, seconds)


def _run(seed: int, hop: Hop, service: engine.Class, wait: bool) -> tuple[Account, int]:
    """Some outages, and what they cost; then, if one waits for it, the return: packets that came out of
    order with it.
    """
    flow = _start(seed, hop, service, (OUTAGES * EVERY_NS + RETURN_NS) / SECOND_NS)
    line, from_ns = flow.line, flow.line.now_ns()
    calm_bytes = 0
    for outage in range(OUTAGES):
        dies_ns = from_ns + outage * EVERY_NS + EVERY_NS // 2
        calm_bytes += _bytes_until(flow, dies_ns)
        for pair in Diamond.FIRST:
            line.set_wire(pair, replace(hop, loss=Loss(1.0)))
        line.run_until(dies_ns + OUTAGE_NS)
        for pair in Diamond.FIRST:
            line.set_wire(pair, hop)
        calm_bytes += _bytes_until(flow, from_ns + (outage + 1) * EVERY_NS)
    until_ns = line.now_ns()
    line.run_until(until_ns + 2 * SECOND_NS)
    # As much as it would be had it been calm all the time.
    account = flow.told(from_ns, until_ns, calm_bytes * EVERY_NS // (EVERY_NS - OUTAGE_NS))
    before = flow.reordered()
    if wait:
        line.run_until(until_ns + RETURN_NS)
    return account, flow.reordered() - before


def _bytes_until(flow: Flow, until_ns: int) -> int:
    before = flow.line.wire_bytes()
    flow.line.run_until(until_ns)
    return flow.line.wire_bytes() - before


def _sum(accounts: list[Account]) -> Account:
    """Of all together; of delays that of the worst run."""

    def total(name: str) -> int:
        return sum(getattr(account, name) for account in accounts)

    return Account(
        total("sent"),
        total("delivered"),
        total("late"),
        total("altered"),
        total("duplicated"),
        max(account.added_ms_p50 for account in accounts),
        max(account.added_ms_p99 for account in accounts),
        total("wire_bytes"),
    )
