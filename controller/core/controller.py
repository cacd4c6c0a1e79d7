"""The controller as a state machine: ``handle(event, now) -> commands``. Pure.

Nodes join and leave, agents connect and report, time passes; out come meshes to send and facts to persist.
After every event :meth:`Controller.poll_timeout` tells when a ``Tick`` is due. Decisions about routes are
made every ``interval``, and within ``minimum_interval`` of news. They run inside ``handle(Tick)``, or, where
the caller does not want to wait, between :meth:`Controller.begin` and :meth:`Controller.complete`.

Small changes of membership are gathered for a moment before they are sent, so that fifty nodes that start
together do not make fifty rounds of fifty messages.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from controller.core.book import RouteBook
from controller.core.changes import Changes
from controller.core.decision import Decided, Decision
from controller.core.learning import Learning
from controller.core.messages import (
    Command,
    Connected,
    Disconnected,
    Enrolled,
    Event,
    Instant,
    Persist,
    Pinned,
    Received,
    Removed,
    Restored,
    Revocations,
    RouteEvent,
    Ruled,
    Tick,
)
from controller.core.publication import Publication
from controller.core.rows import RouteRows
from controller.core.ruling import Ruling
from controller.core.sightings import Sightings as Seen
from controller.core.watching import Watching
from controller.planner.explain import REJECTED, Explainer
from controller.planner.kept import Kept
from controller.planner.probing import Probing
from controller.policy.rules import Policy
from controller.prediction.forecast import Forecast
from controller.prediction.predictor import Predictor
from controller.topology.frames import LinkFrame
from controller.topology.links import Topology, Vertex
from controller.topology.reports import Report
from overlayd.model.ids import Generation, NodeId
from overlayd.model.node import Uplink
from overlayd.model.route import Route
from overlayd.model.service import Objective, ServiceClass
from overlayd.protocol.controller import NetworkConfig, PathSample, PeerInfo, Switched, Telemetry
from overlayd.protocol.reflexive import Sightings
from overlayd.protocol.routes import BadColumns, RouteColumns

NO_GENERATION = Generation(0)
PROBING = Probing()
SECOND_NS = 1_000_000_000
GATHER_NS = SECOND_NS // 10
URGENT_NS = SECOND_NS // 5
"""News waits this long for more of the same: both ends of a link report a degradation within moments."""
WINDOW_S = 300.0


ROUND_NS = 30 * SECOND_NS
"""Where more would move than one round may, the next one comes so soon: loads are told by then."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How often routes are computed, by which policies (by class; a plain one where there is none), and how
    many nodes probe each other.
    """

    interval_ns: int = 60 * SECOND_NS
    minimum_interval_ns: int = SECOND_NS
    policies: tuple[Policy, ...] = ()
    probing: Probing = PROBING


@dataclass(frozen=True, slots=True)
class PathReport:
    """The newest end-to-end figures that a node gave of a path it uses."""

    at: Instant
    sample: PathSample


class Controller:
    def __init__(
        self,
        network: NetworkConfig,
        last_generation: Generation = NO_GENERATION,
        settings: Settings | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.services = network.classes
        self.book = RouteBook(len(self.services))
        self.publication = Publication(network, last_generation, self.book)
        interval_s = network.telemetry_interval
        bins = min(max(math.ceil(WINDOW_S / interval_s), 8), 60)
        self.topology = Topology(bin_ns=int(interval_s * SECOND_NS), bins=bins)
        self.kept = Kept()
        """Searches of earlier decisions, for whoever runs the next one."""
        self.refused_samples = 0
        self.unreadable: dict[NodeId, str] = {}
        """Whose routes of the previous run could not be read, and why; they are chosen anew."""
        self._predictor = Predictor(self.topology)
        self._learning = Learning(self.topology)
        self._arriving: dict[NodeId, Vertex] = {}
        self._seen = Seen()
        self._policies = self.settings.policies
        self._ruling = Ruling(self.services, self._policies)
        self._watching = Watching(self.settings.probing)
        self._membership = 0
        self._decided: Decided | None = None
        self._deciding = False
        self._paths: dict[NodeId, dict[tuple[NodeId, int, tuple[NodeId, ...]], PathReport]] = {}
        self._publish_at: int | None = None
        self._decide_at: int | None = None
        self._last_decision: int | None = None

    def handle(self, event: Event, now: Instant) -> list[Command]:
        """Take in one event; return what is to be done, in order."""
        match event:
            case Received(node, message):
                return self._receive(node, message, now)
            case Connected(node, hello, host):
                info = self.publication.peer(node)
                if info is None:
                    return []
                self._seen.came_from(node, host, now.monotonic_ns)
                uplinks = self._seen.seen(node, hello.uplinks)
                self.publication.set_peer(node, PeerInfo(info.record, uplinks))
                vertex = self._arriving.get(node) or self.topology.vertices[self.topology.index[node]]
                self._arriving[node] = self._ruling.with_uplinks(vertex, hello.uplinks)
                if self._watching.links is not None and node not in self.topology.index:
                    self._settle(now)
                    self._tell_neighbours()
                self._gather(now)
                self.publication.commit()
                greeting = self.publication.greet(node, hello.generation)
                return [Persist(self.publication.generation), greeting]
            case Disconnected(node):
                self.publication.part(node)
                self._seen.part(node)
            case Enrolled(record, signed, uplinks):
                self.publication.set_peer(record.id, PeerInfo(signed, self._seen.seen(record.id, uplinks)))
                self._arriving[record.id] = self._ruling.vertex(event)
            case Pinned(pins):
                if self._ruling.pin(pins, now.monotonic_ns):
                    self._hasten(now)
            case Ruled(services, policies):
                self._rule(services, policies, now)
            case Restored(routes):
                self._restore(routes, now)
            case Removed(node):
                self._remove(node, now)
            case Revocations(newest):
                for node, signed in newest:
                    self.publication.revoke(node, signed)
            case Tick():
                return self._tick(now)
        self._gather(now)
        return []

    def poll_timeout(self) -> int | None:
        """Return when (monotonic ns) a :class:`Tick` is due; None: not before the next event."""
        deciding = None if self._deciding else self._decide_at
        due = [at for at in (self._publish_at, deciding, self._seen.due) if at is not None]
        return min(due, default=None)

    # Decisions

    def begin(self, now: Instant) -> Decision | None:
        """Return the decision that is due, to be run anywhere and handed to :meth:`complete`; None if
        none is.
        """
        if self._deciding or self._decide_at is None or now.monotonic_ns < self._decide_at:
            return None
        self._deciding = True
        self._last_decision = now.monotonic_ns
        self._decide_at = now.monotonic_ns + self.settings.interval_ns
        self.book.free_opened()
        self._settle(now)
        self._watching.turn(self.topology, self.book.table, now.monotonic_ns)
        return self.question(now)

    def question(self, now: Instant) -> Decision:
        """Return what a decision now would be about, for whoever wants to know without deciding."""
        self._settle(now)
        return Decision(
            self._membership,
            tuple(self.topology.vertices),
            self.services,
            self.forecast(now),
            self.book.table,
            now,
            self._ruling.rules(self.topology),
        )

    def complete(self, decided: Decided, now: Instant) -> list[Command]:
        """Put a decision into force. One about a set of nodes that has changed meanwhile is made again."""
        self._deciding = False
        if decided.plan.waiting and self._decide_at is not None:
            self._decide_at = min(self._decide_at, now.monotonic_ns + ROUND_NS)
        if decided.question.membership != self._membership:
            self._hasten(now)
            return []
        self._decided = decided
        self._note_promises(decided)
        told = self._tell_neighbours()
        if not decided.tells:
            self.book.put(decided, self.publication.next)
            return self._publish() if told else []
        self.publication.touch()
        others = self.book.put(decided, self.publication.next)
        kept = (rows for source in others if (rows := self.book.rows(source)) is not None)
        return self._publish(tuple(kept), decided.changes)

    def abandon(self) -> None:
        """The decision that was begun came to nothing; the next one is made when it is due."""
        self._deciding = False

    def forecast(self, now: Instant) -> Forecast:
        """Return what is expected of all links now."""
        self._settle(now)
        now_ns = now.monotonic_ns
        forecast = self._learning.refine(self._predictor.forecast(now_ns), now_ns)
        forecast = self._watching.seen(forecast)
        return self._ruling.informed(forecast, self.topology, now_ns)

    def frame(self, now: Instant) -> LinkFrame:
        """Return what is known of all links now; whoever has just arrived is among their ends."""
        self._settle(now)
        return self.topology.frame(now.monotonic_ns)

    def explain(
        self, source: NodeId, destination: NodeId, class_id: int, rejected: int = REJECTED
    ) -> Route | None:
        """Return the route in force, why its primary was chosen, and what the newest decision weighed; None
        if there is no route.
        """
        rows = self.book.route(source, destination, class_id)
        if rows is None:
            return None
        reason, decided_at = rows.reasons.get(0), float(rows.decided_at[0])
        if rows.plan is None or self._decided is None:  # the set of nodes has changed since
            (route,) = rows.routes()
            return route
        explainer = Explainer(rows.plan, self.topology.vertices, self._decided.question.services)
        index = self.topology.index
        route = explainer.route(class_id, index[source], index[destination], decided_at, rejected)
        return route if route is None or reason is None else replace(route, reason=reason)

    @property
    def decided(self) -> Decided | None:
        """The newest decision, to be read only; None before the first."""
        return self._decided

    @property
    def decided_at(self) -> float | None:
        """When the newest decision was made (Unix seconds); None before the first."""
        return None if self._decided is None else self._decided.question.now.unix_s

    def path_report(
        self, source: NodeId, destination: NodeId, class_id: int, path: Sequence[NodeId]
    ) -> PathReport | None:
        """Return what ``source`` last measured end to end along a path."""
        return self._paths.get(source, {}).get((destination, class_id, tuple(path)))

    def _note_promises(self, decided: Decided) -> None:
        """Have the quickest paths compared with what they come to."""
        for service, found in zip(decided.question.services, decided.plan.classes, strict=True):
            if service.objective is Objective.LATENCY:
                self._learning.promise(found.ideal.relays)
                return

    def _tick(self, now: Instant) -> list[Command]:
        commands: list[Command] = []
        if (decision := self.begin(now)) is not None:
            commands += self.complete(decision.run(self.kept), now)
        self._settle_sightings(now)
        if self._publish_at is not None and now.monotonic_ns >= self._publish_at:
            commands += self._publish()
        return commands

    def _receive(
        self, node: NodeId, message: Telemetry | Report | Switched | Sightings, now: Instant
    ) -> list[Command]:
        if isinstance(message, Sightings):
            refused = self._seen.note(node, message.seen, self._uplinks, now.monotonic_ns)
            self.refused_samples += refused
            self._settle_sightings(now)
            return []
        if not isinstance(message, Switched):
            self._observe(node, message, now)
            return []
        self._hasten(now)
        return [Persist(self.publication.generation, events=(_switch(node, message, now),))]

    def _observe(self, node: NodeId, telemetry: Telemetry | Report, now: Instant) -> None:
        self._settle(now)
        seen = self.topology.observe(node, telemetry, now.monotonic_ns)
        if seen is None:
            return
        self.refused_samples += seen.refused
        self.book.open(seen.reporter, seen.first_evidence)
        news = self._predictor.observe(seen, now.monotonic_ns)
        if news or seen.first_evidence:
            self._hasten(now)
        elif self._decide_at is None:
            self._decide_at = now.monotonic_ns + self.settings.interval_ns
        reports = self._paths.setdefault(node, {})
        if telemetry.paths:
            reports.clear()
        for sample in telemetry.paths:
            reports[sample.destination, sample.class_id, sample.path] = PathReport(now, sample)
        self._watching.used(node, {sample.destination for sample in telemetry.paths}, now.monotonic_ns)

    def _uplinks(self, node: NodeId) -> tuple[Uplink, ...]:
        info = self.publication.peer(node)
        return info.uplinks if info else ()

    def _settle_sightings(self, now: Instant) -> None:
        """Have all know where nodes are seen that are elsewhere now."""
        for node in self._seen.settle(now.monotonic_ns):
            if (info := self.publication.peer(node)) is not None:
                uplinks = self._seen.seen(node, info.uplinks)
                self.publication.set_peer(node, PeerInfo(info.record, uplinks))
        self._gather(now)

    def _hasten(self, now: Instant) -> None:
        """Decide soon: news has come."""
        soon = now.monotonic_ns + URGENT_NS
        if self._last_decision is not None:
            soon = max(soon, self._last_decision + self.settings.minimum_interval_ns)
        self._decide_at = soon if self._decide_at is None else min(self._decide_at, soon)

    def _rule(self, services: tuple[ServiceClass, ...], policies: tuple[Policy, ...], now: Instant) -> None:
        """Choose paths like this in the next decision; have agents keep to the classes' bounds at once."""
        if (services, policies) == (self.services, self._policies):
            return
        if services != self.services:
            self.publication.set_network(replace(self.publication.network, classes=services))
        self.services, self._policies = services, policies
        self._ruling.choose(services, policies)
        self._hasten(now)

    # Membership

    def _settle(self, now: Instant) -> None:
        """Make room for the nodes that arrived: for all at once, as each time the matrices are copied."""
        known = self.topology.vertices
        index = self.topology.index
        arriving = [v for v in self._arriving.values() if v.id not in index or known[index[v.id]] != v]
        self._arriving.clear()
        if not arriving:
            return
        before = len(known)
        self.book.bar([index[v.id] for v in arriving if v.id in index and not v.relay])
        self.topology.add(arriving)
        self._membership += 1
        if len(self.topology) != before:
            self._predictor.grow()
            self._learning.grow()
            self.book.grow([vertex.id for vertex in self.topology.vertices])
        self._watching.grow(self.topology, self.book.table, now.monotonic_ns)

    def _remove(self, node: NodeId, now: Instant) -> None:
        self.publication.remove_peer(node)
        self._seen.forget(node)
        self._paths.pop(node, None)
        self._arriving.pop(node, None)
        index = self.topology.remove(node)
        if index is None:
            return
        self._membership += 1
        self._predictor.shrink(index)
        self._learning.shrink(index)
        self.book.shrink(index)
        self._watching.shrink(index, node)
        self._hasten(now)

    def _restore(self, routes: Iterable[tuple[NodeId, RouteColumns]], now: Instant) -> None:
        """Begin with the routes of the previous run, so that nothing moves before there is evidence."""
        self._settle(now)
        for source, columns in routes:
            try:
                self.book.restore(source, columns, self.publication.next)
            except BadColumns as error:
                self.unreadable[source] = str(error)
        self.book.bar([i for i, vertex in enumerate(self.topology.vertices) if not vertex.relay])
        self._watching.choose_anew(self.topology, self.book.table, now.monotonic_ns)
        self._tell_neighbours()
        self.publication.touch()

    # Publication

    def _tell_neighbours(self) -> bool:
        """Have nodes probe whom they are to; return whether that is news to any."""
        news = self._watching.news(self.topology)
        for node, neighbours in news.items():
            self.publication.set_neighbours(node, neighbours)
        return bool(news)

    def _gather(self, now: Instant) -> None:
        if self.publication.dirty and self._publish_at is None:
            self._publish_at = now.monotonic_ns + GATHER_NS

    def _publish(self, routes: tuple[RouteRows, ...] = (), changes: Changes | None = None) -> list[Command]:
        self._publish_at = None
        commands: list[Command] = [Persist(self.publication.commit(), routes, changes)]
        for node in self.publication.greeted:
            if (send := self.publication.change_for(node)) is not None:
                commands.append(send)
        return commands


def _switch(node: NodeId, switched: Switched, now: Instant) -> RouteEvent:
    return RouteEvent(
        at=now.unix_s,
        source=node,
        destination=switched.destination,
        class_id=switched.class_id,
        decider=switched.by,
        before=switched.before,
        after=switched.after,
        reason=switched.reason,
    )
