"""A controller in virtual time with nodes that report what a table of link qualities says."""

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from controller.core.controller import Controller, Settings
from controller.core.messages import (
    Command,
    Connected,
    Enrolled,
    Event,
    Instant,
    Persist,
    Received,
    RouteEvent,
    Send,
    Tick,
)
from controller.planner.probing import Probing
from controller.policy.rules import ANYWHERE, Place, Policy
from overlayd.model.ids import Generation, NodeId
from overlayd.model.node import NodeRecord, SignedRecord
from overlayd.model.route import Route
from overlayd.model.service import DEFAULT_CLASSES
from overlayd.protocol.controller import Hello, LinkSample, NetworkConfig, Telemetry

NETWORK = NetworkConfig(1, "aes256-gcm", "00" * 32, "test", DEFAULT_CLASSES)
SECOND_NS = 1_000_000_000
INTERACTIVE, REALTIME, BULK, RELIABLE = range(4)


class Link:
    """Quality of both directions; ``up`` False: no sample, and said to be down. ``mbit`` is what it carries,
    ``load`` what either end sends on it (Mbit/s).
    """

    def __init__(
        self, rtt_ms: float, loss: float = 0.0, up: bool = True, mbit: float = 0.0, load: float = 0.0
    ) -> None:
        self.rtt_ms, self.loss, self.up, self.mbit, self.load = rtt_ms, loss, up, mbit, load


class World:
    def __init__(
        self,
        names: str,
        relays: str | None = None,
        last_generation: int = 0,
        network: NetworkConfig = NETWORK,
        policies: tuple[Policy, ...] = (),
        places: Mapping[str, Place] | None = None,
        prices: Mapping[str, float] | None = None,
        probing: Probing | None = None,
    ) -> None:
        settings = Settings(policies=policies, probing=probing or Probing())
        self.controller = Controller(network, Generation(last_generation), settings)
        self.now_ns = 1000 * SECOND_NS
        self.ids = {name: NodeId(number) for number, name in enumerate(names, 1)}
        self.links: dict[frozenset[str], Link] = {}
        self.silent: set[str] = set()
        self.sent: list[Send] = []
        self.persisted: list[Persist] = []
        for name, node in self.ids.items():
            place, price = (places or {}).get(name, ANYWHERE), (prices or {}).get(name, 0.0)
            self.handle(enrolled(node, name, relays is None or name in relays, place, price))

    @property
    def now(self) -> Instant:
        return Instant(self.now_ns, 1.7e9 + self.now_ns / SECOND_NS)

    def handle(self, event: Event) -> list[Command]:
        commands = self.controller.handle(event, self.now)
        self.sent += [c for c in commands if isinstance(c, Send)]
        self.persisted += [c for c in commands if isinstance(c, Persist)]
        return commands

    def connect(self, *names: str, holds: int = 0) -> None:
        for name in names:
            self.handle(Connected(self.ids[name], Hello(1, "test", (), (), Generation(holds))))

    def enrol(self, name: str, relay: bool = True) -> None:
        """A node that has its id in ``ids`` becomes a member."""
        self.handle(enrolled(self.ids[name], name, relay))

    def mesh(self, **rtts_ms: float) -> None:
        """Set links: ``ab=10`` is the link between a and b."""
        for pair, rtt_ms in rtts_ms.items():
            self.links[frozenset(pair)] = Link(rtt_ms)

    def link(self, pair: str) -> Link:
        return self.links[frozenset(pair)]

    def report(self, name: str, *peers: str, urgent: bool = False, samples: int = 150) -> None:
        """Have ``name`` report its links to ``peers`` (default: all)."""
        frame: list[LinkSample] = []
        for peer in peers or tuple(p for p in self.ids if p != name):
            link = self.links.get(frozenset((name, peer)))
            if link is not None:
                frame.append(sampled(self.ids[peer], link, samples))
        self.handle(Received(self.ids[name], Telemetry(urgent, 1.0 if urgent else 15.0, tuple(frame))))

    def run(self, seconds: float, reporting: str | None = None) -> None:
        """Let time pass; living nodes report every 15 s, each at its own moment, and ticks come when due."""
        end = self.now_ns + int(seconds * SECOND_NS)
        while True:
            due = self.controller.poll_timeout()
            step = min((self.now_ns // SECOND_NS + 1) * SECOND_NS, end)
            if due is not None and due <= step:
                self.now_ns = max(self.now_ns, due)
                self.handle(Tick())
                continue
            if self.now_ns >= end:
                return
            self.now_ns = step
            for name, node in self.ids.items():
                if (self.now_ns // SECOND_NS + node) % 15 == 0 and name not in self.silent:
                    self.report(name)

    def route(self, pair: str, class_id: int = INTERACTIVE) -> Route | None:
        return self.controller.explain(self.ids[pair[0]], self.ids[pair[1]], class_id)

    def path(self, pair: str, class_id: int = INTERACTIVE) -> str | None:
        """Return the primary as names: ``"ckb"`` for c → k → b."""
        route = self.route(pair, class_id)
        return None if route is None else pair[0] + self.names(route.paths[0])

    def paths(self, pair: str, class_id: int = INTERACTIVE) -> list[str]:
        route = self.route(pair, class_id)
        return [] if route is None else [pair[0] + self.names(path) for path in route.paths]

    def names(self, path: tuple[NodeId, ...]) -> str:
        names = {node: name for name, node in self.ids.items()}
        return "".join(names[node] for node in path)

    def changes(self, pair: str, class_id: int = INTERACTIVE) -> list[RouteEvent]:
        """Return the decisions that changed a primary."""
        ends = (self.ids[pair[0]], self.ids[pair[1]], class_id)
        events = [
            e
            for kept in self.persisted
            for e in (*kept.events, *(kept.changes.events() if kept.changes else ()))
        ]
        return [e for e in events if (e.source, e.destination, e.class_id) == ends and e.before is not None]

    def meshes(self, name: str) -> list[Send]:
        return [send for send in self.sent if send.node == self.ids[name]]


def enrolled(
    node: NodeId, name: str, relay: bool = True, place: Place = ANYWHERE, price: float = 0.0
) -> Enrolled:
    address = f"100.64.0.{node}"
    record = NodeRecord(node, name, f"{node:064x}", (address,), (f"{address}/32",), relay, 2**31)
    return Enrolled(record, SignedRecord(msgspec.json.encode(record), b"signature"), (), price, place)


def sampled(peer: NodeId, link: Link, samples: int) -> LinkSample:
    if not link.up:
        return LinkSample(peer, False, 0, None, None, None, None, None, 0)
    rtt, loss = link.rtt_ms, link.loss
    plain = LinkSample(peer, True, samples, rtt, rtt, 0.3, loss, loss, 0)
    if not link.mbit:
        return plain
    return replace(plain, capacity_bps=int(1e6 * link.mbit), load_bps=int(1e6 * link.load))
