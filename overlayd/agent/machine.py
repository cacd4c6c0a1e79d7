"""The agent as a state machine: ``Agent.handle(event, now) -> commands``.

Pure; driven by ``overlayd.daemon.agent`` and by the simulator.

It holds the mesh, the links and the orders of paths, hands each event to those who judge it (estimator,
selector, prober, reporter) and compiles the next snapshot when its tables changed. ``now`` is nanoseconds
of a monotonic clock; no decision looks at the wall clock.
"""

from collections import Counter
from dataclasses import dataclass, replace
from typing import get_args

import msgspec

from overlayd.agent.compiler import compile_snapshot
from overlayd.agent.estimator import Estimator
from overlayd.agent.lanes import Lanes
from overlayd.agent.mesh import NO_GENERATION, BaseMismatch, MeshView, Neighbour, Saved
from overlayd.agent.messages import (
    Certified,
    Command,
    Configured,
    ControllerConnected,
    ControllerLost,
    EngineLost,
    Event,
    Left,
    Level,
    Log,
    NeighbourSeen,
    PushSnapshot,
    Reconnect,
    Recorded,
    Save,
    TellController,
    Tick,
)
from overlayd.agent.prober import LocalUplink, TooManyLinks
from overlayd.agent.reporter import Reporter
from overlayd.agent.sightings import Sightings
from overlayd.agent.tables import Tables
from overlayd.model.ids import LinkId, NodeId, Path
from overlayd.model.node import NodeRecord, Uplink
from overlayd.model.service import HostRule, ServiceClass
from overlayd.protocol import controller, engine, reflexive
from overlayd.protocol.signed import Authentic, BadRecord, read_record

NEIGHBOUR_LIFE_NS = 60_000_000_000
MAX_ENDPOINTS_PER_NEIGHBOUR = 4
LOCAL_ROUTES_AFTER_NS = 3_000_000_000
"""Local routes are made anew this long after a link changed: by then there are samples of what came up."""
_GOLDEN_RATIO = 0.6180339887498949
"""Its multiples spread ids evenly over the time between two frames, however many there are."""
_SAID_BY_ENGINE = get_args(engine.FromEngine)


@dataclass(frozen=True, slots=True)
class Self:
    """What this node is.

    ``uplinks`` in the order of the configuration, ``prefixes`` as it wants to announce them, ``rules`` for
    the packets that enter here.
    """

    record: NodeRecord
    uplinks: tuple[Uplink, ...]
    prefixes: tuple[str, ...]
    version: str
    rules: tuple[HostRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """The engine's last no, until it accepts a snapshot again."""

    generation: int
    field: str
    problem: str


class Agent:
    """One node's agent. The attributes are for reading; only :meth:`handle` changes anything.

    ``heard_at`` is when the engine last said anything. ``moves`` counts changes of the path in use that were
    made here, by decider and kind of reason.
    """

    def __init__(self, me: Self, authentic: Authentic, saved: Saved | None = None, now: int = 0) -> None:
        self.me = me
        self.mesh = MeshView()
        self.revoked: str | None = None
        self.engine: engine.Welcome | None = None
        self.heard_at = now
        self.applied: int | None = None
        self.refusal: Refusal | None = None
        self.counters: engine.CountersReport | None = None
        self.moves = Counter[tuple[str, str]]()
        self.connected = False
        self.connection_problem: str | None = None
        self.connection_changed_at = now
        self.estimator = Estimator()
        self.lanes = Lanes()
        self.tables = Tables(self.estimator, saved or Saved(), now)
        self._authentic = authentic
        self._seen: dict[Neighbour, int] = {}
        self._reporter = Reporter(phase=me.record.id * _GOLDEN_RATIO % 1.0)
        self._sightings = Sightings()
        self._pushed: engine.Snapshot | None = None
        self._saved = saved
        self._resync = False
        self._local_routes_due: int | None = None
        self._unknown_classes: set[str] = set()
        self._unix = 0.0
        self._out: list[Command] = []
        if saved is not None:
            self._restore(saved, now)

    @property
    def uplinks(self) -> tuple[Uplink, ...]:
        """This node's own, with what others see of them."""
        told = {(one.name, one.endpoint): one for one in self.mesh.own.uplinks} if self.mesh.own else {}
        return tuple(
            msgspec.structs.replace(uplink, reflexive=seen.reflexive, symmetric=seen.symmetric)
            if (seen := told.get((uplink.name, uplink.endpoint))) is not None
            else uplink
            for uplink in self.me.uplinks
        )

    @property
    def classes(self) -> tuple[ServiceClass, ...]:
        """The network's classes of service; none before the first mesh."""
        return self.mesh.network.classes if self.mesh.network else ()

    def handle(self, event: Event, now: int) -> list[Command]:
        """Take what happened and return what is to be done about it, in order."""
        if isinstance(event, _SAID_BY_ENGINE):
            self.heard_at = now
        match event:
            case engine.Welcome():
                self._welcome(event, now)
            case engine.Applied():
                self.applied, self.refusal = event.generation, None
            case engine.Refused():
                self.refusal = Refusal(event.generation, event.field, event.problem)
                self._log(
                    Level.ERROR,
                    "snapshot refused",
                    generation=event.generation,
                    field=event.field,
                    problem=event.problem,
                )
            case engine.LinkState():
                self._link_state(event, now)
            case engine.Links():
                self._note_links(event, now)
            case engine.Paths():
                paths = self.lanes.paths(event, now)
                self.estimator.note_paths(paths, now)
                self._reporter.note_paths(paths)
            case engine.Switch():
                self._switched(event, now)
            case engine.Counters():
                self.counters = self.lanes.counters(event)
            case engine.KeyLog():
                pass
            case EngineLost():
                self.engine = None
                self._log(Level.WARNING, "engine lost", problem=event.problem)
            case ControllerConnected() | ControllerLost():
                self._connection(event, now)
            case controller.Mesh():
                self._take_mesh(event, now)
            case controller.Renewed():
                self._renewed(event, now)
            case controller.Revoked():
                self._end(event.problem, Level.ERROR, "revoked", now)
            case Left():
                self._end("it left the network", Level.INFO, "left", now)
            case controller.Denied():
                self._log(Level.ERROR, "controller said no", code=event.code, problem=event.problem)
            case NeighbourSeen():
                self._neighbour_seen(event, now)
            case Configured():
                self._configured(event, now)
            case Tick():
                self._tick(event, now)
        if isinstance(event, engine.Links | engine.Paths):
            self._choose(now)
        self._report(now)
        out, self._out = self._out, []
        return out

    # Engine

    def _welcome(self, event: engine.Welcome, now: int) -> None:
        self.engine = event
        self.applied = event.generation or None
        self.refusal = None
        self._pushed = None
        self.estimator.forget()
        self.lanes.forget()
        self._announce_lanes(event.shards)
        self._log(
            Level.INFO, "engine found", version=event.version, generation=event.generation, boot=event.boot
        )
        self._rebuild(now)

    def _announce_lanes(self, shards: int) -> None:
        """Have peers know how many shards the engine has; a hello is said once a connection."""
        uplinks = tuple(msgspec.structs.replace(uplink, lanes=shards) for uplink in self.me.uplinks)
        if uplinks != self.me.uplinks:
            self.me = replace(self.me, uplinks=uplinks)
            if self.connected:
                self._out.append(Reconnect(f"the engine has another number of shards: {shards}"))

    def _note_links(self, event: engine.Links, now: int) -> None:
        told = self.lanes.links(event, now)
        reports = [report for report in told if LinkId(report.link) in self.tables.links]
        self.estimator.note_links(reports, now)
        callable_at = {uplink.name for uplink in self.me.uplinks if uplink.endpoint is not None}
        self._sightings.note(reports, self.tables.keys, self.mesh.peers, callable_at)
        best = self.tables.best_reports({NodeId(report.peer) for report in reports})
        named = {report.link for report in reports}
        self._reporter.note_links(
            {peer: report for peer, report in best.items() if report is None or report.link in named},
            lambda report: self.estimator.link(LinkId(report.link), now),
            now,
        )

    def _link_state(self, event: engine.LinkState, now: int) -> None:
        up = event.state == "up"
        if event.lane > 0:
            self._lane_state(event)
            return
        self.estimator.note_link_state(LinkId(event.link), up)
        self._log(Level.INFO, f"link {event.state}", link=event.link, peer=self.mesh.name(NodeId(event.peer)))
        if self._local_routes_due is None:
            self._local_routes_due = now + LOCAL_ROUTES_AFTER_NS

    def _lane_state(self, event: engine.LinkState) -> None:
        """Say so where one lane fails and the hop does not: a firewall that lets a single port pass, say."""
        if event.state == "up":
            level = Level.DEBUG
        else:
            level = Level.WARNING if self.estimator.is_up(LinkId(event.link)) else Level.DEBUG
        peer = self.mesh.name(NodeId(event.peer))
        self._log(level, f"lane {event.state}", link=event.link, lane=event.lane, peer=peer)

    def _switched(self, event: engine.Switch, now: int) -> None:
        if event.reason == "snapshot":
            return  # our own doing; told when it was decided
        if not self.lanes.is_news(event, now):
            return  # each shard leaves a dead path for itself
        destination = NodeId(event.destination)
        before, after = _path(event.from_), _path(event.to)
        self.moves["engine", event.reason] += 1
        reason = "the path died" if event.reason == "dead" else "the better path has been healthy again"
        self._tell(controller.Switched(destination, event.class_, before, after, "engine", reason))
        self._log_move(destination, event.class_, before, after, reason, "engine")

    # Controller

    def _connection(self, event: ControllerConnected | ControllerLost, now: int) -> None:
        self.connected = isinstance(event, ControllerConnected)
        self.connection_changed_at = now
        if isinstance(event, ControllerLost):
            if event.problem != self.connection_problem:
                self._log(Level.WARNING, "controller lost", problem=event.problem)
            self.connection_problem = event.problem
            return
        self.connection_problem = None
        self._log(Level.INFO, "controller connected", generation=self.mesh.generation)
        self._reporter.start()
        self._sightings.start()
        newest = self.mesh.newest_revocation
        self._tell(
            controller.Hello(
                protocol=controller.PROTOCOL,
                version=self.me.version,
                uplinks=self.me.uplinks,
                prefixes=self.me.prefixes,
                generation=NO_GENERATION if self._resync else self.mesh.generation,
                revocation=newest.signed if newest else None,
            )
        )

    def _take_mesh(self, change: controller.Mesh, now: int) -> None:
        if self.revoked is not None:
            return
        try:
            applied = self.mesh.apply(change, self.me.record.id, self._authentic)
        except BaseMismatch as error:
            self._resync = True
            self._out.append(Reconnect(str(error)))
            return
        self._resync = False
        self.mesh = applied.view
        if applied.own is not None and applied.own.record != self.me.record:
            self.me = replace(self.me, record=applied.own.record)
            self._out.append(Recorded(applied.own.signed))
        for problem in applied.problems:
            self._log(Level.ERROR, "record refused", problem=problem)
        self._log(
            Level.INFO,
            "mesh",
            generation=self.mesh.generation,
            peers=len(self.mesh.peers),
            routes=len(self.mesh.routes),
        )
        self._rebuild(now)

    def _renewed(self, event: controller.Renewed, now: int) -> None:
        try:
            record = read_record(event.record, self._authentic)
        except BadRecord as error:
            self._log(Level.ERROR, "renewal refused", problem=str(error))
            return
        if record.id != self.me.record.id:
            self._log(Level.ERROR, "renewal refused", problem=f"it is for node {record.id}")
            return
        self.me = replace(self.me, record=record)
        self._out.append(Certified(event.certificate, event.record))
        self._rebuild(now)

    def _end(self, problem: str, level: Level, event: str, now: int) -> None:
        if self.revoked is not None:
            return
        self.revoked = problem
        self.mesh = replace(self.mesh, peers={}, routes={})
        self._seen.clear()
        self._log(level, event, problem=problem)
        self._rebuild(now)

    # Local network, configuration and time

    def _configured(self, event: Configured, now: int) -> None:
        lanes = max((uplink.lanes for uplink in self.me.uplinks), default=1)
        uplinks = tuple(msgspec.structs.replace(uplink, lanes=lanes) for uplink in event.uplinks)
        same = (uplinks, event.prefixes) == (self.me.uplinks, self.me.prefixes)
        if same and event.rules == self.me.rules:
            return
        self.me = replace(self.me, uplinks=uplinks, prefixes=event.prefixes, rules=event.rules)
        self.tables.changed = True
        if self.connected and not same:
            self._out.append(Reconnect("the configuration of this node has changed"))
        self._rebuild(now)

    def _neighbour_seen(self, event: NeighbourSeen, now: int) -> None:
        if event.node not in self.mesh.peers:
            return
        neighbour = Neighbour(event.node, event.endpoint, event.uplink)
        if neighbour not in self._seen:
            if sum(other.node == event.node for other in self._seen) >= MAX_ENDPOINTS_PER_NEIGHBOUR:
                return
            self._log(Level.INFO, "neighbour found", peer=self.mesh.name(event.node), endpoint=event.endpoint)
            self._seen[neighbour] = now
            self._rebuild(now)
        self._seen[neighbour] = now

    def _tick(self, event: Tick, now: int) -> None:
        self._unix = event.unix
        living = {neighbour: at for neighbour, at in self._seen.items() if now - at < NEIGHBOUR_LIFE_NS}
        if len(living) != len(self._seen):
            self._seen = living
            self._rebuild(now)
        if self._local_routes_due is not None and now >= self._local_routes_due:
            self._local_routes_due = None
            if self.tables.has_local_routes:
                self._rebuild(now)

    # Tables

    def _restore(self, saved: Saved, now: int) -> None:
        self.revoked = saved.revoked
        self._seen = {neighbour: now for neighbour in saved.neighbours}
        if saved.mesh is None:
            return
        try:
            applied = self.mesh.apply(saved.mesh, self.me.record.id, self._authentic)
        except BaseMismatch as error:
            self._log(Level.ERROR, "stored mesh ignored", problem=str(error))
            return
        self.mesh = applied.view
        for problem in applied.problems:
            self._log(Level.ERROR, "stored record refused", problem=problem)

    def _rebuild(self, now: int) -> None:
        """Make links, routes and order anew, after the mesh, the uplinks or the neighbours changed."""
        try:
            self.tables.set_links(self.me.record.id, self._local_uplinks(), self.mesh, self._seen)
        except TooManyLinks as error:
            self._log(Level.ERROR, "links unchanged", problem=str(error))
        self._reporter.keep(self.tables.neighbours)
        self._sightings.keep(self.mesh.peers.keys())
        self.tables.set_routes(self.me.record.id, self.mesh, self._unix, now)
        self._save()
        self._choose(now)

    def _local_uplinks(self) -> tuple[LocalUplink, ...]:
        """The engine's sockets that the configuration knows, by name; what others see of them, if the engine
        knows what to do about it.
        """
        sockets = self.engine.uplinks if self.engine else ()
        uplinks = self.uplinks if self.engine and self.engine.reflexive else self.me.uplinks
        configured = {uplink.name: uplink for uplink in uplinks}
        return tuple(
            LocalUplink(index, socket.address, configured[socket.name])
            for index, socket in enumerate(sockets)
            if socket.name in configured
        )

    def _choose(self, now: int) -> None:
        """Let the selector put paths in order, tell of its moves, keep hold-downs, push what is new."""
        moves = self.tables.choose(self.classes, now)
        for (destination, class_id), move in moves.items():
            self._tell(
                controller.Switched(destination, class_id, move.before, move.after, "agent", move.reason)
            )
            self.moves["agent", move.kind] += 1
            self._log_move(destination, class_id, move.before, move.after, move.reason, "agent")
            self._reporter.alarm(move.before[0])
        if self.tables.held() != (self._saved.held if self._saved else ()):
            self._save()
        self._push()

    def _push(self) -> None:
        if self.engine is None or self.mesh.network is None:
            return
        if self._pushed is not None and not self.tables.changed:
            return
        self.tables.changed = False
        last = self._pushed.generation if self._pushed else self.engine.generation
        snapshot = compile_snapshot(
            last,
            self.me.record,
            self.mesh,
            self.mesh.network,
            self.tables.links.values(),
            self.tables.orders,
            self.me.rules,
            self._probe_budget(self.engine, self.mesh.network),
        )
        if snapshot == self._pushed:
            return
        names = {service.name for service in self.classes}
        for rule in self.me.rules:
            if rule.class_ not in names and rule.class_ not in self._unknown_classes:
                self._unknown_classes.add(rule.class_)
                self._log(Level.WARNING, "rule for a class that the network does not have", name=rule.class_)
        self._pushed = msgspec.structs.replace(snapshot, generation=last + 1)
        self._out.append(PushSnapshot(self._pushed))

    @staticmethod
    def _probe_budget(welcome: engine.Welcome, network: controller.NetworkConfig) -> int | None:
        """Each shard's part of what the network lets a node spend on probes, if the engine can keep to it."""
        return network.probe_budget // welcome.shards if welcome.probe_budget else None

    def _save(self) -> None:
        saved = Saved(
            mesh=self.mesh.message(),
            links=self.tables.known_links(),
            neighbours=tuple(sorted(self._seen, key=str)),
            held=self.tables.held(),
            revoked=self.revoked,
        )
        if saved != self._saved:
            self._saved = saved
            self._out.append(Save(saved))

    # Telling

    def _report(self, now: int) -> None:
        if not self.connected or self.mesh.network is None:
            return
        for frame in self._reporter.poll(self.mesh.network.telemetry_interval, now):
            self._tell(frame)
        if news := self._sightings.news():
            self._tell(reflexive.Sightings(news))

    def _tell(self, message: controller.FromAgent) -> None:
        if self.connected:
            self._out.append(TellController(message))

    def _log_move(
        self, destination: NodeId, class_id: int, before: Path, after: Path, reason: str, by: str
    ) -> None:
        self._log(
            Level.WARNING,
            "path changed",
            destination=self.mesh.name(destination),
            class_=self.classes[class_id].name if class_id < len(self.classes) else class_id,
            before=self.mesh.path_name(before),
            after=self.mesh.path_name(after),
            by=by,
            reason=reason,
        )

    def _log(self, level: Level, event: str, **fields: object) -> None:
        self._out.append(Log(level, event, fields))


def _path(nodes: tuple[int, ...]) -> Path:
    return tuple(NodeId(node) for node in nodes)
