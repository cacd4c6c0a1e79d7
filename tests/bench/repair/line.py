"""A line of hosts in virtual time: shipped engines, a stream from the first to the last, and an account of
what it cost on the wires.

Not here: which cells there are (`cells`), what they have to meet (`bounds`). A run follows from its seed.
Pure but for the simulated world.
"""

import json
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from overlayd._engine import SimulatedWorld, public_key
from overlayd.protocol import engine

SECOND_NS = 1_000_000_000
MS_NS = 1_000_000
PAYLOAD_BYTES = 1000
QUEUE_MS = 200
_STEP_NS = 10 * SECOND_NS
_SETTLE_NS = 5 * SECOND_NS
"""So long the stream has gone when counting begins: estimates are there."""


@dataclass(frozen=True, slots=True)
class Loss:
    """How a wire loses packets, each direction by itself: ``ratio`` of them, in outages of ``outage_ms`` on
    average, or each by itself.
    """

    ratio: float = 0.0
    outage_ms: float = 0.0

    def document(self) -> dict[str, Any]:
        """As the link model wants it."""
        if not self.ratio:
            return {"kind": "none"}
        if not self.outage_ms:
            return {"kind": "independent", "ratio": self.ratio}
        bad_ns = self.outage_ms * MS_NS
        return {
            "kind": "gilbert_elliott",
            "mean_good_ns": round(bad_ns * (1 - self.ratio) / self.ratio),
            "mean_bad_ns": round(bad_ns),
            "loss_good": 0.0,
            "loss_bad": 1.0,
        }


@dataclass(frozen=True, slots=True)
class Hop:
    """``rate_bps`` is that of a bottleneck, whose queue makes packets wait `QUEUE_MS` at most; None: none."""

    rtt_ms: float
    loss: Loss
    rate_bps: int | None = None

    def document(self) -> str:
        """Either direction, as the link model wants it."""
        settings: dict[str, Any] = {
            "delay_ns": round(self.rtt_ms * MS_NS / 2),
            "loss": self.loss.document(),
        }
        if self.rate_bps is not None:
            settings |= {"rate_bps": self.rate_bps, "queue_bytes": self.rate_bps * QUEUE_MS // 8000}
        return json.dumps(settings)


@dataclass(frozen=True, slots=True)
class Traffic:
    """A burst each ``interval_ms`` of ``burst`` to ``burst_max`` packets."""

    interval_ms: float
    burst: int = 1
    burst_max: int = 0


@dataclass(frozen=True, slots=True)
class Account:
    """Of the packets sent in a stretch of time. ``late`` ones were delivered. Delays are beyond the path's
    own.
    """

    sent: int
    delivered: int
    late: int
    altered: int
    duplicated: int
    added_ms_p50: float
    added_ms_p99: float
    wire_bytes: int

    @property
    def lost(self) -> int:
        return self.sent - self.delivered + self.late


class Line:
    """``hops`` one after the other; traffic in the one class ``service``."""

    def __init__(self, seed: int, hops: tuple[Hop, ...], service: engine.Class) -> None:
        there = tuple(range(1, len(hops) + 1))
        self._build(seed, {(index, index + 1): hop for index, hop in enumerate(hops)}, (there,), service)

    def _build(
        self,
        seed: int,
        wires: dict[tuple[int, int], Hop],
        paths: tuple[tuple[int, ...], ...],
        service: engine.Class,
    ) -> None:
        """Make hosts, the wires between them, and a route from host 0 to the last over ``paths``."""
        self._world = SimulatedWorld(seed)
        self._wires = tuple(wires)
        self._hosts = max(max(pair) for pair in wires) + 1
        self._way = wires, paths[0]
        for host in range(self._hosts):
            self._world.add_node(_key(host), [_endpoint(host)])
        for pair, hop in wires.items():
            self.set_wire(pair, hop)
        for host in range(self._hosts):
            neighbours = [other for pair in wires if host in pair for other in pair if other != host]
            snapshot = _snapshot(host, self._hosts, neighbours, paths, service)
            self._world.apply(host, msgspec.json.encode(snapshot).decode())

    def set_hop(self, index: int, hop: Hop) -> None:
        """Change a hop, both ways."""
        self.set_wire((index, index + 1), hop)

    def set_wire(self, pair: tuple[int, int], hop: Hop) -> None:
        """Change what lies between two hosts, both ways."""
        a, b = pair
        self._world.set_wire(_endpoint(a), _endpoint(b), hop.document())
        self._world.set_wire(_endpoint(b), _endpoint(a), hop.document())

    def _way_ns(self) -> int:
        """One-way delay of the first path."""
        wires, path = self._way
        steps = zip((0, *path), path, strict=False)
        return round(sum(wires[pair].rtt_ms for pair in steps) * MS_NS / 2)

    def start(
        self, traffic: Traffic, deadline_ms: float, seconds: float, beside: Traffic | None = None
    ) -> "Flow":
        """Begin a stream that ends ``seconds`` after estimates have settled, and one ``beside`` it."""
        start_ns = self._world.now_ns() + SECOND_NS
        way_ns = self._way_ns()
        stop_ns = start_ns + _SETTLE_NS + round(seconds * SECOND_NS)
        stream = {
            "from": 0,
            "to": self._hosts - 1,
            "source": _addresses(0)[0],
            "destination": _addresses(self._hosts - 1)[0],
            "interval_ns": round(traffic.interval_ms * MS_NS),
            "burst": traffic.burst,
            "burst_max": traffic.burst_max,
            "payload_bytes": PAYLOAD_BYTES,
            "start_ns": start_ns,
            "stop_ns": stop_ns,
            "late_after_ns": way_ns + round(deadline_ms * MS_NS),
        }
        number = self._world.add_stream(json.dumps(stream))
        if beside is not None:
            other = {"interval_ns": round(beside.interval_ms * MS_NS), "burst": beside.burst, "burst_max": 0}
            # Of other addresses: another flow, in another of the places that a queue has for flows.
            other |= {"source": _addresses(0)[1], "destination": _addresses(self._hosts - 1)[1]}
            self._world.add_stream(json.dumps(stream | other))
        self.run_until(start_ns + _SETTLE_NS)
        return Flow(self, number, way_ns, stop_ns)

    def now_ns(self) -> int:
        return self._world.now_ns()

    def run_until(self, until_ns: int) -> None:
        """Let time pass."""
        while (now_ns := self._world.now_ns()) < until_ns:
            self._world.begin_step(min(now_ns + _STEP_NS, until_ns))
            self._world.end_step()

    def wire_bytes(self) -> int:
        """Bytes of IP packets offered to all wires so far, both ways."""
        return sum(
            json.loads(self._world.wire_counters(_endpoint(a), _endpoint(b)))["offered_bytes"]
            for pair in self._wires
            for a, b in (pair, pair[::-1])
        )

    def report(self, number: int, from_ns: int, until_ns: int) -> dict[str, int]:
        """The receiver's account of a stream."""
        return json.loads(self._world.stream_report(number, from_ns, until_ns))


@dataclass(slots=True)
class Flow:
    """A stream under way."""

    line: Line
    number: int
    way_ns: int
    stop_ns: int

    def account(self, until_ns: int | None = None) -> Account:
        """Let time pass up to then, or to the stream's end, and tell of the packets sent meanwhile."""
        from_ns, bytes_before = self.line.now_ns(), self.line.wire_bytes()
        until_ns = self.stop_ns if until_ns is None else until_ns
        self.line.run_until(until_ns)
        wire_bytes = self.line.wire_bytes() - bytes_before
        self.line.run_until(until_ns + 2 * SECOND_NS)
        return self.told(from_ns, until_ns, wire_bytes)

    def told(self, from_ns: int, until_ns: int, wire_bytes: int) -> Account:
        """What has become of the packets sent in a stretch of time so far."""
        told = self.line.report(self.number, from_ns, until_ns)
        added = {name: (told[f"delay_{name}_ns"] - self.way_ns) / MS_NS for name in ("p50", "p99")}
        return Account(
            told["sent"],
            told["delivered"],
            told["late"],
            told["altered"],
            told["duplicated"],
            added["p50"],
            added["p99"],
            wire_bytes,
        )

    def reordered(self) -> int:
        """Packets of the whole stream that came after one that was sent later."""
        return self.line.report(self.number, 0, self.stop_ns)["reordered"]


def without_repair(service: engine.Class) -> engine.Class:
    """The same class, repair off."""
    return msgspec.structs.replace(service, retransmit=False, repair=())


def replace_loss(hop: Hop, loss: Loss) -> Hop:
    return replace(hop, loss=loss)


class Diamond(Line):
    """Two hosts with a relay on either of two ways; each way is two equal hops."""

    FIRST = ((0, 1), (1, 3))

    def __init__(self, seed: int, first: Hop, second: Hop, service: engine.Class) -> None:
        wires = {(0, 1): first, (1, 3): first, (0, 2): second, (2, 3): second}
        self._build(seed, wires, ((1, 3), (2, 3)), service)


def _snapshot(
    host: int,
    hosts: int,
    neighbours: list[int],
    paths: tuple[tuple[int, ...], ...],
    service: engine.Class,
) -> engine.Snapshot:
    last = hosts - 1
    there = tuple(tuple(node + 1 for node in path) for path in paths)
    back = tuple((*(node + 1 for node in reversed(path[:-1])), 1) for path in paths)
    routes = {0: engine.Route(last + 1, 0, there), last: engine.Route(1, 0, back)}
    return engine.Snapshot(
        schema=engine.SCHEMA,
        generation=1,
        route_generation=1,
        network=engine.Network(1, "aes256-gcm", f"{7:064x}"),
        node=engine.Local(host + 1, f"host{host}", _addresses(host), _prefixes(host), True),
        peers=tuple(
            engine.Peer(other + 1, f"host{other}", public_key(_key(other)).hex(), _prefixes(other), True)
            for other in range(hosts)
            if other != host
        ),
        links=tuple(
            engine.Link(other + 1, other + 1, 0, _endpoint(other), 0, 1500, None, 0) for other in neighbours
        ),
        classes=(service,),
        classifiers=(),
        routes=(routes[host],) if host in routes else (),
    )


def _key(host: int) -> bytes:
    return bytes([host + 1]) * 32


def _endpoint(host: int) -> str:
    return f"192.0.2.{host + 1}:4500"


def _addresses(host: int) -> tuple[str, str]:
    return f"10.9.0.{host + 1}", f"10.9.7.{host + 1}"


def _prefixes(host: int) -> tuple[str, ...]:
    return tuple(f"{address}/32" for address in _addresses(host))
