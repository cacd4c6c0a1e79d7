"""What the agent can be asked: its state as the answers of the local API.

Pure; reads the machine, changes nothing.
"""

from dataclasses import dataclass

from overlayd.agent.lanes import summed
from overlayd.agent.machine import Agent
from overlayd.agent.selector import Figures, Verdict
from overlayd.model.ids import NodeId, Path
from overlayd.model.route import Route
from overlayd.model.words import candidate_in_words, primary_in_words
from overlayd.protocol import engine, local
from overlayd.protocol.trace import Incoming, Outgoing, Question

_NS_PER_S = 1e9
EXPIRES_SOON_S = 2 * 86400
SILENT_S = 6.5
"""An engine with tables says something at least every five seconds."""


class NotFound(LookupError):
    """There is no such node or class; the message names those there are."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What only the process knows: controller's address, certificate's life, wall clock (Unix seconds), why
    its state cannot be written.
    """

    url: str | None
    certificate_not_before: float | None
    certificate_not_after: float | None
    unix: float
    trouble: str | None = None


class View:
    """Answers for one moment ``now`` (monotonic nanoseconds)."""

    def __init__(self, agent: Agent, now: int, outside: Outside) -> None:
        self._agent = agent
        self._now = now
        self._outside = outside

    @property
    def me(self) -> NodeId:
        """This node."""
        return self._agent.me.record.id

    def status(self) -> local.Status:
        """Return how this node stands; what is not measured is never called well."""
        agent = self._agent
        peers = tuple(self._peer(node) for node in sorted(agent.mesh.peers))
        engine = self._engine()
        controller = local.ControllerStatus(
            connected=agent.connected,
            url=self._outside.url,
            since_s=(self._now - agent.connection_changed_at) / _NS_PER_S,
            generation=agent.mesh.generation,
            problem=agent.connection_problem,
        )
        if agent.revoked is not None:
            state = "revoked"
        elif agent.mesh.network is None:
            state = "waiting"
        else:
            state = "online" if agent.connected else "offline"
        return local.Status(
            version=agent.me.version,
            node=agent.me.record.name,
            state=state,
            engine=engine,
            controller=controller,
            peers=peers,
            degraded=tuple(self._degraded(engine, controller, peers)),
            addresses=agent.me.record.addresses,
            certificate_not_after=self._outside.certificate_not_after,
        )

    def links(self) -> local.LinkList:
        """Return all links, by peer and preference."""
        tables, estimator = self._agent.tables, self._agent.estimator
        reports = estimator.links()
        rows: list[local.LinkRow] = []
        for number, link in tables.links.items():
            report = reports.get(number)
            estimate = estimator.link(number, self._now)
            fresh = report is not None and report.samples > 0
            rows.append(
                local.LinkRow(
                    link=number,
                    peer=self.name(NodeId(link.peer)),
                    uplink=tables.keys[number].uplink,
                    remote=link.remote or (report.remote if report else None),
                    up=estimator.is_up(number),
                    in_use=tables.best_link(NodeId(link.peer)) == number,
                    preference=link.preference,
                    rtt_ms=estimate.rtt_short_ms if estimate else None,
                    jitter_ms=_ms(report.jitter_out_ns) if report and fresh else None,
                    loss_out_ratio=estimate.loss_long_ratio if estimate else None,
                    loss_in_ratio=report.loss_in_ratio if report and fresh else None,
                    delivered_bps=report.delivered_bps if report else 0,
                    mtu=report.mtu if report else link.mtu,
                )
            )
        return local.LinkList(tuple(sorted(rows, key=lambda row: (row.peer, row.preference, row.link))))

    def nodes(self) -> local.NodeList:
        """Return all members that this node knows, itself first."""
        me = self._agent.me
        known = [(me.record, self._agent.uplinks)]
        known += [(peer.record, peer.uplinks) for _, peer in sorted(self._agent.mesh.peers.items())]
        rows = [
            local.NodeRow(
                id=record.id,
                name=record.name,
                addresses=record.addresses,
                prefixes=record.prefixes,
                endpoints=tuple(uplink.endpoint for uplink in uplinks),
                reflexive=tuple(uplink.reflexive for uplink in uplinks),
                nat=tuple(uplink.nat for uplink in uplinks),
                relay=record.relay,
                self=record.id == me.record.id,
                not_after=record.not_after,
            )
            for record, uplinks in known
        ]
        return local.NodeList(tuple(rows))

    def routes(self) -> local.RouteList:
        """Return the installed routes."""
        rows = [
            local.RouteRow(
                destination=self.name(destination),
                service=self._agent.classes[class_id].name,
                paths=tuple(
                    self.names(path) for path in self._agent.tables.orders.get((destination, class_id), ())
                ),
                in_use=self._named(self.in_use(destination, class_id)),
                decider=route.decider,
                reason=route.reason or primary_in_words(route),
            )
            for (destination, class_id), route in sorted(self._agent.tables.routes.items())
        ]
        return local.RouteList(tuple(rows))

    def explain(self, destination: NodeId, class_id: int) -> local.Explanation:
        """Return which paths were weighed, what became of them and how they stand now.

        Raises :class:`NotFound`.
        """
        key = (destination, class_id)
        tables = self._agent.tables
        route = tables.routes.get(key)
        if route is None:
            raise NotFound(f"there is no route to {self.name(destination)}")
        order = tables.orders.get(key, ())
        weighed = {candidate.path for candidate in route.candidates}
        rows = [self._candidate(route, candidate.path, order) for candidate in route.candidates]
        rows += [self._candidate(route, path, order) for path in route.paths if path not in weighed]
        rows.sort(key=lambda row: (row.rank is None, row.rank or 0, len(row.path), row.path))
        move = tables.moves.get(key)
        moved = move and f"{self.path_name(move.before)} → {self.path_name(move.after)}: {move.reason}"
        return local.Explanation(
            source=self._agent.me.record.name,
            destination=self.name(destination),
            service=self._agent.classes[class_id].name,
            decider=route.decider,
            reason=route.reason or primary_in_words(route),
            decided_at=route.decided_at,
            candidates=tuple(rows),
            moved=moved,
        )

    def trace_answer(self, question: Question) -> tuple[Outgoing | None, Incoming | None]:
        """Return what this node's ends of two hops see: towards the next node, and from the previous one."""
        estimator, tables = self._agent.estimator, self._agent.tables
        outgoing = incoming = None
        if question.next in self._agent.mesh.peers:
            link = tables.best_link(question.next)
            estimate = estimator.link(link, self._now) if link is not None else None
            repair = estimator.repair(link, question.class_id, self._now) if link is not None else None
            outgoing = Outgoing(
                up=link is not None,
                rtt_ms=estimate.rtt_short_ms if estimate else None,
                loss_ratio=estimate.loss_long_ratio if estimate else None,
                repair_ratio=repair.repair_ratio if repair else None,
                retransmitted_ratio=repair.retransmitted_ratio if repair else None,
            )
        if question.previous in self._agent.mesh.peers:
            link = tables.best_link(question.previous)
            repair = estimator.repair(link, question.class_id, self._now) if link is not None else None
            incoming = Incoming(
                recovered_ratio=repair.recovered_ratio if repair else None,
                lost_ratio=repair.lost_ratio if repair else None,
                burst_length=repair.burst_length if repair else None,
                added_p50_ms=repair.added_p50_ms if repair else None,
                added_p99_ms=repair.added_p99_ms if repair else None,
            )
        return outgoing, incoming

    def in_use(self, destination: NodeId, class_id: int) -> Path | None:
        """Return the path that packets take: as the engine says, else the first that is not dead."""
        active = self._agent.estimator.active_path(destination, class_id, self._now)
        if active is not None:
            return active
        order = self._agent.tables.orders.get((destination, class_id), ())
        living = (
            path for path in order if (figures := self._figures(class_id, path)) is None or figures.alive
        )
        return next(living, None)

    def is_peer(self, address: str) -> bool:
        """Tell whether ``address`` is the overlay address of a peer."""
        return any(address in peer.record.addresses for peer in self._agent.mesh.peers.values())

    def find(self, text: str) -> NodeId:
        """Return the peer that ``text`` (name, number or overlay address) means. Raises :class:`NotFound`."""
        for node, peer in self._agent.mesh.peers.items():
            if text in (peer.record.name, str(node), *peer.record.addresses):
                return node
        if self._agent.revoked is not None:
            problem = f"this node is no member any more ({self._agent.revoked})"
            raise NotFound(f"{problem}; `overlayctl join TOKEN` joins anew")
        names = ", ".join(sorted(peer.record.name for peer in self._agent.mesh.peers.values()))
        raise NotFound(f"there is no peer {text!r}; there are: {names or 'none yet'}")

    def find_class(self, text: str | None) -> int:
        """Return the class that ``text`` (name or number; None: the first) means.

        Raises :class:`NotFound`.
        """
        names = [service.name for service in self._agent.classes]
        if text is None and names:
            return 0
        if text in names:
            return names.index(text)
        if text and text.isdecimal() and int(text) < len(names):
            return int(text)
        raise NotFound(f"there is no class {text!r}; there are: {', '.join(names) or 'none yet'}")

    def name(self, node: NodeId) -> str:
        """Return the name of any node, this one included."""
        me = self._agent.me.record
        return me.name if node == me.id else self._agent.mesh.name(node)

    def class_name(self, class_id: int) -> str:
        """Return the name of a class of service."""
        return self._agent.classes[class_id].name

    def address(self, node: NodeId) -> str:
        """Return an overlay address of a peer. Raises :class:`NotFound`."""
        peer = self._agent.mesh.peers.get(node)
        if peer is None or not peer.record.addresses:
            raise NotFound("has no overlay address")
        return peer.record.addresses[0]

    def names(self, path: Path) -> tuple[str, ...]:
        """Return the names along ``path``."""
        return tuple(self.name(node) for node in path)

    def path_name(self, path: Path) -> str:
        """Return ``path`` in words."""
        return self._agent.mesh.path_name(path)

    def measured(self, destination: NodeId, class_id: int, path: Path) -> tuple[float | None, float | None]:
        """Return RTT now and loss after repair over the last minute, for display."""
        estimator = self._agent.estimator
        estimate = estimator.path(destination, class_id, path, self._now)
        if estimate is not None:
            return estimate.rtt_short_ms, estimate.loss_long_ratio
        figures = self._figures(class_id, path)
        return (figures.rtt_ms, None) if figures else (None, None)

    @property
    def agent(self) -> Agent:
        """The machine that is viewed."""
        return self._agent

    @property
    def now(self) -> int:
        """The moment, monotonic nanoseconds."""
        return self._now

    @property
    def unix(self) -> float:
        """The moment by the wall clock."""
        return self._outside.unix

    def _figures(self, class_id: int, path: Path) -> Figures | None:
        return self._agent.tables.figures(class_id, path, self._now)

    def _named(self, path: Path | None) -> tuple[str, ...] | None:
        return None if path is None else self.names(path)

    def _verdict(self, key: tuple[NodeId, int], path: Path) -> Verdict | None:
        bound = self._agent.classes[key[1]].bound
        return self._agent.tables.verdict(key, bound, path, self._now)

    def _engine(self) -> local.EngineStatus:
        agent = self._agent
        if agent.engine is None:
            return local.EngineStatus(connected=False, problem="no engine answers on its socket")
        refusal = agent.refusal
        problem = refusal and f"snapshot {refusal.generation} refused at {refusal.field}: {refusal.problem}"
        if self._engine_is_silent():
            problem = f"it has said nothing for {(self._now - agent.heard_at) / _NS_PER_S:.0f} s"
        counted = agent.counters or summed(())
        return local.EngineStatus(
            connected=True,
            version=agent.engine.version,
            interface=agent.engine.interface,
            generation=agent.applied or 0,
            problem=problem,
            drops={reason: count for reason, count in counted.drops.items() if count},
            stranded=counted.stranded,
            congestion_marks=counted.congestion_marks,
            advised=counted.advised,
            shards=tuple(
                local.ShardStatus(shard.packets_in, shard.packets_out)
                for shard in agent.lanes.of_shards().values()
            ),
            probing=_probing(counted.probing),
        )

    def _engine_is_silent(self) -> bool:
        """Whether it stands still, for all that is known: what it measured last is not how things are."""
        return bool(self._agent.applied) and self._now - self._agent.heard_at > SILENT_S * _NS_PER_S

    def _peer(self, node: NodeId) -> local.PeerStatus:
        record = self._agent.mesh.peers[node].record
        estimator = self._agent.estimator
        links = [number for number, link in self._agent.tables.links.items() if link.peer == node]
        path = self.in_use(node, 0)
        figures = self._figures(0, path) if path else None
        verdict = self._verdict((node, 0), path) if path else None
        rtt, loss = self.measured(node, 0, path) if path else (None, None)
        return local.PeerStatus(
            node=record.name,
            addresses=record.addresses,
            data_plane=self._data_plane(path, figures),
            path=self.names(path) if path else (),
            rtt_ms=rtt,
            loss_ratio=loss,
            links_up=sum(estimator.is_up(link) for link in links),
            links=len(links),
            problem=verdict.reason if verdict and verdict.bad else None,
        )

    def _data_plane(self, path: Path | None, figures: Figures | None) -> local.DataPlane:
        if path is None or self._agent.engine is None or self._engine_is_silent():
            return "dead"
        if figures is not None:
            return "alive" if figures.alive else "dead"
        if self._agent.tables.best_link(path[0]) is not None:
            return "unmeasured"
        links = (number for number, link in self._agent.tables.links.items() if link.peer == path[0])
        told = self._agent.estimator.links()
        return "dead" if all(link in told for link in links) else "unknown"

    def _degraded(
        self,
        engine: local.EngineStatus,
        controller: local.ControllerStatus,
        peers: tuple[local.PeerStatus, ...],
    ) -> list[str]:
        problems: list[str] = []
        if self._agent.revoked is not None:
            problems.append(f"this node was revoked: {self._agent.revoked}")
        if engine.problem:
            problems.append(f"engine: {engine.problem}")
        if not controller.connected:
            problems.append(f"controller: {controller.problem or 'not connected yet'}")
        for peer in peers:
            if peer.data_plane == "dead":
                problems.append(f"{peer.node}: no path is alive")
            elif peer.data_plane == "unknown":
                problems.append(f"{peer.node}: the engine has not told of it yet")
            elif peer.problem:
                problems.append(f"{peer.node}: {peer.problem}")
        begin, end = self._outside.certificate_not_before, self._outside.certificate_not_after
        if begin is not None and self._outside.unix < begin:
            days = (begin - self._outside.unix) / 86400
            problems.append(
                f"this host's clock is wrong: the certificate begins {days:.1f} days from now by it"
            )
        if end is not None and end - self._outside.unix < EXPIRES_SOON_S:
            hours = (end - self._outside.unix) / 3600
            problems.append(
                f"the certificate ends in {hours:.0f} h" if hours > 0 else "the certificate has expired"
            )
        return [*problems, *disk_problems(self._outside.trouble)]

    def _candidate(self, route: Route, path: Path, order: tuple[Path, ...]) -> local.CandidateRow:
        key = (route.destination, route.class_id)
        decided = next((candidate for candidate in route.candidates if candidate.path == path), None)
        rtt, loss = self.measured(*key, path)
        verdict = self._verdict(key, path)
        hold = self._agent.tables.hold(key, path)
        said: list[str] = []
        if verdict is not None and verdict.bad:
            said.append(verdict.reason)
        if hold is not None:
            said.append(f"held down: {hold.reason}")
        if path in route.paths and path not in order:
            said.append("cannot be installed")
        return local.CandidateRow(
            path=self.names(path),
            verdict=decided.verdict if decided else "backup",
            in_use=path == self.in_use(*key),
            rank=order.index(path) if path in order else None,
            reason=(decided.reason or candidate_in_words(route, decided)) if decided else "",
            cost=decided.cost if decided else None,
            forecast_rtt_ms=decided.forecast_rtt_ms if decided else None,
            measured_rtt_ms=rtt if rtt is not None or decided is None else decided.measured_rtt_ms,
            forecast_loss_ratio=decided.forecast_loss_ratio if decided else None,
            measured_loss_ratio=loss if loss is not None or decided is None else decided.measured_loss_ratio,
            now="; ".join(said) or None,
            hold_left_s=None if hold is None else hold.left_ns / _NS_PER_S,
        )


def disk_problems(trouble: str | None) -> tuple[str, ...]:
    """Return what is to be told of a state directory that cannot be written because of ``trouble``."""
    return () if trouble is None else (f"state cannot be written: {trouble}",)


def _probing(told: engine.Probing | None) -> local.ProbingStatus | None:
    if told is None:
        return None
    return local.ProbingStatus(told.rate, told.budget, told.in_use_ns / 1e6, told.idle_ns / 1e6)


def _ms(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / 1e6
