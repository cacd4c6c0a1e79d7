"""``python -m sim.stability``: whether routes rest. The shipped controller and the load its own choices make.

Sites on two coasts, relays between them, a flow from each site of the left to each of the right, all of one
class. A relay delays what passes it the more, the fuller it is, and loses what is above its capacity; nodes
report what links are like and what they carry; where the controller moves flows, load moves too. So a planner
that chases the best relay makes it the worst, and can be seen to.

Simulated here: links, queues of relays, telemetry. Shipped: everything in `controller.core`. Not simulated:
agents, which would leave a path outside its bound by themselves before the controller has heard of it.
Virtual time; everything follows from the seed.
"""

import argparse
import json
import sys
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from controller.core.controller import Controller
from controller.core.messages import Command, Enrolled, Instant, Persist, Received, Tick
from controller.policy.rules import Place
from controller.topology import reports
from controller.topology.links import F32
from controller.topology.reports import Report
from overlayd.model.ids import NodeId
from overlayd.model.node import NodeRecord, SignedRecord
from overlayd.model.service import DEFAULT_CLASSES
from overlayd.protocol.controller import NetworkConfig

SECOND_NS = 1_000_000_000
TELEMETRY_S = 15
WINDOW_S = 600
FLOW_BPS = 1e6
DIRECT_MS, LEG_MS, NEAR_MS = 90.0, 20.0, 10.0
QUEUE_MS = 4.0
"""Of a relay that is half full; at nine tenths it is nine times that."""
LONGEST_QUEUE_MS = 150.0
SAMPLES = 150


@dataclass
class Coasts:
    """``sites`` on each coast, and relays that can send ``capacity_bps`` each, of which the controller is
    told if ``told``. ``noise_ms`` is how much the mean RTT of a frame varies. ``extra_ms`` and ``loss``
    [from, to] are what happens to links, both directions alike.
    """

    seed: int
    sites: int = 32
    relays: int = 2
    capacity_bps: float = 800e6
    told: bool = True
    noise_ms: float = 1.0
    now_s: int = 1000
    changes: list[tuple[int, int, int]] = field(default_factory=list[tuple[int, int, int]])
    """When a flow changed its path (s), and which: site on the left, site on the right."""

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)
        self.nodes = 2 * self.sites + self.relays
        self.first_relay = 2 * self.sites
        network = NetworkConfig(1, "aes256-gcm", "00" * 32, "coasts", DEFAULT_CLASSES[:1], float(TELEMETRY_S))
        self.controller = Controller(network)
        self.extra_ms: F32 = np.zeros((self.nodes, self.nodes), np.float32)
        self.loss: F32 = np.zeros((self.nodes, self.nodes), np.float32)
        self._base = self._distances()
        self._paths: dict[tuple[int, int], tuple[int, ...]] = {
            (a, b): (b,) for a in range(self.sites) for b in range(self.sites, 2 * self.sites)
        }
        self._load = self._loads()
        for index in range(self.nodes):
            self._handle(Enrolled(*self._member(index)))

    def run(self, seconds: int, each: Callable[[], None] = lambda: None) -> None:
        """Let time pass; ``each`` is called every second."""
        for _ in range(seconds):
            self.now_s += 1
            for index in range(self.now_s % TELEMETRY_S, self.nodes, TELEMETRY_S):
                self.report(index)
            while (due := self.controller.poll_timeout()) is not None and due <= self.now_s * SECOND_NS:
                self._handle(Tick())
            each()

    def report(self, index: int, urgent: bool = False) -> None:
        """Have a node tell of its links."""
        others = np.delete(np.arange(self.nodes), index)
        rtt = self._rtt()[index, others]
        rtt += np.abs(self._rng.normal(0.0, self.noise_ms, len(others))).astype(np.float32)
        figures = np.full((reports.FIGURES, len(others)), np.nan, np.float32)
        for figure in (reports.RTT_MIN, reports.RTT_MEAN, reports.RTT_Q50, reports.RTT_Q90):
            figures[figure] = rtt
        figures[reports.JITTER] = self.noise_ms
        loss = self._losses()
        figures[reports.LOSS_OUT], figures[reports.LOSS_IN] = loss[index, others], loss[others, index]
        figures[reports.LOAD] = self._load[index, others]
        count = np.full(len(others), SAMPLES, np.int64)
        said = Report(urgent, float(TELEMETRY_S), others + 1, np.ones(len(others), np.bool_), count, figures)
        self._handle(Received(NodeId(index + 1), said))

    def utilisation(self) -> list[float]:
        """Return how full each relay is."""
        return (self._load.sum(axis=1)[self.first_relay :] / self.capacity_bps).tolist()

    def through(self) -> list[int]:
        """Return how many flows pass each relay."""
        passed = Counter[int](node for path in self._paths.values() for node in path[:-1])
        return [passed[self.first_relay + number] for number in range(self.relays)]

    def most_changes(self, since_s: int, source: int | None = None) -> int:
        """Return how often a flow changed its path within ten minutes at most, after ``since_s``: any,
        or one from ``source``.
        """
        most, recent = 0, dict[tuple[int, int], deque[int]]()
        for at, a, b in self.changes:
            if at < since_s or source not in (None, a):
                continue
            times = recent.setdefault((a, b), deque())
            times.append(at)
            while times[0] <= at - WINDOW_S:
                times.popleft()
            most = max(most, len(times))
        return most

    def _member(self, index: int) -> tuple[Any, ...]:
        address = f"100.64.{index >> 8}.{index & 255}"
        relay = index >= self.first_relay
        key = f"{index + 1:064x}"
        record = NodeRecord(NodeId(index + 1), f"n{index}", key, (address,), (f"{address}/32",), relay, 2**31)
        place = Place(capacity_bps=self.capacity_bps if relay and self.told else None)
        return record, SignedRecord(msgspec.json.encode(record), b""), (), 0.0, place

    def _distances(self) -> F32:
        coast = np.arange(self.nodes) // self.sites
        base = np.where(coast[:, None] == coast[None, :], NEAR_MS, DIRECT_MS).astype(np.float32)
        base[self.first_relay :, :] = base[:, self.first_relay :] = LEG_MS
        # Sites are not all at one place: no two flows weigh quite the same.
        place = self._rng.uniform(0.0, 6.0, self.nodes).astype(np.float32)
        place[self.first_relay :] = 0.0
        return (base + place[:, None] + place[None, :]).astype(np.float32)

    def _loads(self) -> F32:
        load = np.zeros((self.nodes, self.nodes), np.float32)
        for (source, _), path in self._paths.items():
            for a, b in zip((source, *path), path, strict=False):
                load[a, b] += FLOW_BPS
        return load

    def _full(self) -> F32:
        full = np.zeros(self.nodes, np.float32)
        full[self.first_relay :] = self.utilisation()
        return full

    def _rtt(self) -> F32:
        full = self._full()
        queue = np.where(full < 1.0, QUEUE_MS * full / np.maximum(1.0 - full, 0.01), LONGEST_QUEUE_MS)
        queue = np.minimum(queue, LONGEST_QUEUE_MS).astype(np.float32)
        return (self._base + self.extra_ms + queue[:, None] + queue[None, :]).astype(np.float32)

    def _losses(self) -> F32:
        dropped = np.maximum(1.0 - 1.0 / np.maximum(self._full(), 1.0), 0.0).astype(np.float32)
        return (1.0 - (1.0 - self.loss) * (1.0 - dropped[:, None])).astype(np.float32)

    def _handle(self, event: Any) -> None:
        now = Instant(self.now_s * SECOND_NS, float(self.now_s))
        self._follow(self.controller.handle(event, now))

    def _follow(self, commands: list[Command]) -> None:
        kept = (command.changes for command in commands if isinstance(command, Persist))
        events = [event for changes in kept if changes is not None for event in changes.events()]
        for event in events:
            flow = event.source - 1, event.destination - 1
            if flow in self._paths and event.after is not None:
                self._paths[flow] = tuple(node - 1 for node in event.after)
                if event.before is not None:
                    self.changes.append((self.now_s, *flow))
        if events:
            self._load = self._loads()


def equal_relays(seed: int, told: bool = True) -> dict[str, Any]:
    """Two equal relays, one of which could not carry all flows: twenty minutes after the first ten."""
    coasts = Coasts(seed, relays=2, told=told)
    coasts.run(WINDOW_S)
    begin, fullest = coasts.now_s, 0.0

    def watch() -> None:
        nonlocal fullest
        fullest = max(fullest, *coasts.utilisation())

    coasts.run(2 * WINDOW_S, watch)
    return {
        "flows": coasts.sites**2,
        "capacity_known": told,
        "through": coasts.through(),
        "changes": sum(at >= begin for at, _, _ in coasts.changes),
        "most_changes_of_a_route_in_10_min": coasts.most_changes(begin),
        "most_changes_from_the_start": coasts.most_changes(0),
        "fullest": round(fullest, 3),
    }


def shedding(seed: int, loss: float, extra_ms: float, capacity_bps: float = 700e6) -> dict[str, Any]:
    """One of three relays turns bad: how its flows leave, and what that makes of the others."""
    coasts = Coasts(seed, relays=3, capacity_bps=capacity_bps)
    coasts.run(WINDOW_S)
    begin, bad = coasts.now_s, coasts.first_relay
    before = coasts.through()
    for matrix, value in ((coasts.loss, loss), (coasts.extra_ms, extra_ms)):
        matrix[bad, :] = matrix[:, bad] = value
    fullest, half_s, left_s = 0.0, 0, 0

    def watch() -> None:
        nonlocal fullest, half_s, left_s
        fullest = max(fullest, *coasts.utilisation()[1:])
        half_s += coasts.through()[0] > before[0] / 2
        left_s += coasts.through()[0] > 0

    coasts.run(WINDOW_S, watch)
    moved = [at for at, _, _ in coasts.changes if at >= begin]
    return {
        "flows": coasts.sites**2,
        "loss": loss,
        "extra_ms": extra_ms,
        "through_before": before,
        "through_after": coasts.through(),
        "rounds": len(set(moved)),
        "most_moves_in_a_round": max(Counter(moved).values(), default=0),
        "half_left_after_s": half_s,
        "all_left_after_s": left_s if left_s < WINDOW_S else None,
        "fullest_other": round(fullest, 3),
        "most_changes_of_a_route_in_10_min": coasts.most_changes(begin),
    }


def flapping(seed: int, loss: float, extra_ms: float) -> dict[str, Any]:
    """The link from a site to the relay that its flows take is bad for every other half minute."""
    coasts = Coasts(seed, relays=2)
    coasts.run(WINDOW_S)
    begin = coasts.now_s
    relay = coasts.first_relay
    for flap in range(2 * WINDOW_S // 30):
        bad = flap % 2 == 0
        for matrix, value in ((coasts.loss, loss), (coasts.extra_ms, extra_ms)):
            matrix[0, relay] = matrix[relay, 0] = value if bad else 0.0
        coasts.report(0, urgent=True)
        coasts.report(relay, urgent=True)
        coasts.run(30)
    return {
        "loss": loss,
        "extra_ms": extra_ms,
        "most_changes_of_a_route_in_10_min": coasts.most_changes(begin),
        "of_its_own_routes": coasts.most_changes(begin, 0),
        "changes": sum(at >= begin for at, _, _ in coasts.changes),
    }


def figures(seed: int) -> dict[str, Any]:
    """Return what all stories come to."""
    return {
        "seed": seed,
        "equal_relays": [equal_relays(seed, told) for told in (True, False)],
        "a_relay_turns_bad": [shedding(seed, 0.0, 60.0), shedding(seed, 0.08, 0.0)],
        "little_room": shedding(seed, 0.08, 0.0, capacity_bps=480e6),
        "a_link_flaps": [flapping(seed, 0.0, 60.0), flapping(seed, 0.1, 0.0)],
    }


def main() -> int:
    """Print the figures as JSON."""
    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m sim.stability", description=about)
    parser.add_argument("--seed", type=int, default=1)
    sys.stdout.write(json.dumps(figures(parser.parse_args().seed), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
