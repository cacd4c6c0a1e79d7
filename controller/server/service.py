"""The controller process: membership and channels outside, the state machine inside, the store below.
I/O.

Everything runs on one event loop; each event is handled whole before the next (``dispatch``). What
another process wrote to the store (the command line makes tokens, removes nodes) is noticed within a
second.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager

import msgspec

from controller import registry
from controller.config import Config
from controller.configured import classes_of, place_of, policies_of, probing_of
from controller.core.controller import Controller, Settings
from controller.core.decision import Decision
from controller.core.messages import (
    Command,
    Connected,
    Disconnected,
    Enrolled,
    Event,
    Instant,
    Pinned,
    Received,
    Removed,
    Restored,
    Revocations,
    Ruled,
    Tick,
)
from controller.enrolment.authority import node_of
from controller.enrolment.errors import NotAMember, Unavailable
from controller.policy.rules import Pin
from controller.server import membership
from controller.server.archive import Archive
from controller.server.channel import Session
from controller.server.meters import Meters
from controller.server.news import News
from controller.server.outgoing import Outgoing
from controller.server.systemd import notify
from controller.state import DATABASE, State
from controller.store.database import StoreError
from controller.store.store import Member, Store
from controller.topology.reports import Report
from overlayd.model.ids import Generation, NodeId
from overlayd.model.node import NodeRecord, SignedRevocation
from overlayd.protocol.controller import (
    Hello,
    Joined,
    JoinRequest,
    NetworkConfig,
    Renewed,
    RenewRequest,
    Revoked,
    Switched,
    Telemetry,
)
from overlayd.protocol.reflexive import Sightings
from overlayd.protocol.signed import BadRecord

LOG = logging.getLogger(__name__)

WATCH_S = 1.0
HOUSEKEEPING_S = 60.0


class Service:
    """Implements `channel.Host`. :meth:`run` lives until cancelled.

    Raises `database.StoreError` where the store cannot be written.
    """

    def __init__(self, state: State) -> None:
        self.state = state
        store = state.store
        last = store.generation()
        try:
            with store.transaction():
                store.save_generation(Generation(last + 1))
        except sqlite3.Error as error:
            # Two lives with the same generations would leave agents with routes that they take for these.
            raise StoreError(f"{state.directory / DATABASE} cannot be written: {error}") from error
        decisions = state.config.decisions
        policies = policies_of(state.config)
        settings = Settings(
            _ns(decisions.interval), _ns(decisions.minimum_interval), policies, probing_of(state.config)
        )
        self.core = Controller(network_config(state), last, settings)
        self.members: dict[NodeId, Member] = {}
        self.sessions: dict[NodeId, Session] = {}
        self.meters = Meters()
        self.news = News()
        self._writer = Store.open(state.directory / DATABASE)
        self.archive = Archive(
            state.directory / DATABASE, state.config.store, state.config.decisions.telemetry_interval
        )
        self._outgoing = Outgoing(self._writer, self.sessions.get)
        self._wake = asyncio.Event()
        self._data_version = store.data_version()
        self._epoch = 0
        self._reload()
        self._tell_revocations()
        self._restore()
        self._take_pins()

    def _restore(self) -> None:
        """Go on with the routes of the previous run; those that cannot be read must not keep the controller
        from starting.
        """
        self.dispatch(Restored(tuple(self.state.store.routes())))
        for node, problem in self.core.unreadable.items():
            LOG.error("the routes of node %d cannot be read (%s); they are chosen anew", node, problem)

    # What runs

    async def run(self) -> None:
        """Keep time: ticks that are due, other processes' writes, housekeeping."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._outgoing.run())
            tasks.create_task(self._keep_time(tasks))
            tasks.create_task(self._watch())
            tasks.create_task(self._keep_house())
            tasks.create_task(self._keep_history())

    def dispatch(self, event: Event) -> None:
        """Hand an event to the core and have done what it wants done."""
        self._carry_out(self.core.handle(event, now()))

    async def _keep_time(self, deciding: asyncio.TaskGroup) -> None:
        while True:
            due = self.core.poll_timeout()
            wait = None if due is None else max(0.0, (due - time.monotonic_ns()) / 1e9)
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), wait)
            except TimeoutError:
                moment = now()  # the same for both: a tick that found a decision due would make it here
                if (decision := self.core.begin(moment)) is not None:
                    deciding.create_task(self._decide(decision))
                self._carry_out(self.core.handle(Tick(), moment))

    async def _decide(self, decision: Decision) -> None:
        """Plan in another thread; agents are served meanwhile."""
        try:
            with self.meters.deciding():
                decided = await asyncio.to_thread(decision.run, self.core.kept)
        except Exception:
            LOG.exception("no routes could be planned; those in force stay")
            self.core.abandon()
            return
        self._carry_out(self.core.complete(decided, now()))
        if decided.tells:
            LOG.info("published %d routes", decided.tells)
        with _tolerating_store():
            await asyncio.to_thread(self.archive.keep_decision, decision)

    def _carry_out(self, commands: list[Command]) -> None:
        self.meters.note(commands)
        self.news.carried_out(commands)
        self._outgoing.put(commands)
        self._wake.set()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            notify("WATCHDOG=1")
            self._catch_up()
            self.news.compare_links(self.core.topology, time.monotonic_ns(), self.names)

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            store, moment = self.state.store, now()
            self._save(self.members[node].node for node in self.sessions)
            with _tolerating_store(), store.transaction():
                store.prune(moment.unix_s - self.state.config.store.retention_days * 86400)
            with _tolerating_store():
                await asyncio.to_thread(self.archive.prune, moment.unix_s)

    async def _keep_history(self) -> None:
        interval_s = self.state.config.decisions.telemetry_interval
        while True:
            await asyncio.sleep(interval_s)
            moment = now()
            frame = self.core.topology.frame(moment.monotonic_ns)
            with _tolerating_store():
                await asyncio.to_thread(self.archive.record, moment.unix_s, frame)

    def close(self) -> None:
        """Write what is still to be written and let go of the store."""
        at = time.time()
        nodes = (self.members[node].node for node in self.sessions)
        self._save(registry.disconnected(node, "the controller stopped", at) for node in nodes)
        self._writer.close()
        self.archive.close()
        self.state.store.close()

    # Channel

    @property
    def network_name(self) -> str:
        return self.state.network.name

    @property
    def trust_pem(self) -> str:
        return self.state.issuer.authority.trust_pem

    def identify(self, leaf_der: bytes) -> NodeId:
        """Return who a verified certificate belongs to; raises ``NotAMember`` for another network's."""
        return node_of(leaf_der, self.network_name)

    def is_member(self, node: NodeId) -> bool:
        self._catch_up()
        return node in self.members

    def join(self, request: JoinRequest) -> Joined:
        with _needing_store():
            member, joined = membership.join(self.state, request)
        LOG.info("node %s joined as %d", member.node.metadata.name, member.node.spec.id)
        self._admit(member)
        self.news.node(member.node.metadata.name, "joined")
        return joined

    def opened(self, session: Session, hello: Hello) -> None:
        node = session.node
        if hello.revocation is not None:
            self._recall(hello.revocation)
        if node not in self.members:
            raise NotAMember(f"node {node} was removed while it connected")
        if (older := self.sessions.get(node)) is not None:
            older.close(4000, "the same node connected again")
        self.sessions[node] = session
        with _tolerating_store():
            self._admit(membership.announce_prefixes(self.state, self.members[node], hello.prefixes))
        known = self.members[node].node
        self._save([registry.connected(known, hello.uplinks, hello.version, time.time())])
        self.dispatch(Connected(node, hello, session.host))
        LOG.info("agent of %s connected (%s)", known.metadata.name, hello.version)
        self.news.node(known.metadata.name, f"its agent connected ({hello.version})")

    def received(self, session: Session, message: Telemetry | Report | Switched | Sightings) -> None:
        if self.sessions.get(session.node) is not session:
            return
        member = self.members[session.node]
        self.members[session.node] = Member(registry.seen(member.node, time.time()), member.record)
        self.dispatch(Received(session.node, message))
        self.news.links_reported()

    def renew(self, session: Session, request: RenewRequest) -> Renewed:
        with _needing_store():
            member, made = membership.renew_member(self.state, session.node, request.csr)
        self._admit(member)
        return Renewed(made.certificate, made.record)

    def left(self, session: Session) -> None:
        with _needing_store():
            membership.remove(self.state, session.node, "it left")
        self._dismiss(session.node, "this node left the network")

    def closed(self, session: Session, problem: str) -> None:
        if self.sessions.get(session.node) is not session:
            return
        del self.sessions[session.node]
        if (member := self.members.get(session.node)) is not None:
            LOG.info("agent of %s disconnected: %s", member.node.metadata.name, problem)
            self._save([registry.disconnected(member.node, problem, time.time())])
            self.news.node(member.node.metadata.name, f"its agent disconnected: {problem}")
        self.dispatch(Disconnected(session.node))

    # Pins

    def pin(self, pin: Pin) -> None:
        """Have a path in force as long as it carries anything."""
        with _needing_store(), self.state.store.transaction():
            self.state.store.save_pin(pin, time.time())
        self._take_pins()

    def unpin(self, source: NodeId, destination: NodeId, class_id: int | None) -> int:
        """Let go of what is pinned; return how many pins that were."""
        with _needing_store(), self.state.store.transaction():
            gone = self.state.store.delete_pins(source, destination, class_id)
        self._take_pins()
        return gone

    def _take_pins(self) -> None:
        self.dispatch(Pinned(tuple(pin for pin, _ in self.state.store.pins())))

    # Policies

    def rule(self, config: Config) -> None:
        """Have paths chosen as the classes and policies of ``config`` say: the operator's own, in which the
        caller has put what is asked elsewhere. It is for this run; who knows more says it again in the next.
        """
        self.dispatch(Ruled(classes_of(config), policies_of(config)))

    # Members

    @property
    def names(self) -> dict[NodeId, str]:
        """The names of all members."""
        return {node: member.node.metadata.name for node, member in self.members.items()}

    def remove(self, node: NodeId, reason: str) -> None:
        """Revoke a node at once."""
        with _needing_store():
            membership.remove(self.state, node, reason)
        self._dismiss(node, f"this node was removed from the network: {reason}")

    def described(self, node: NodeId) -> registry.Node:
        """Return a member, its uplinks as the others are told of them."""
        known, published = self.members[node].node, self.core.publication.peer(node)
        return known if published is None else registry.reached(known, published.uplinks)

    def _catch_up(self) -> None:
        version = self.state.store.data_version()
        if version != self._data_version:
            self._data_version = version
            self._reload()

    def _reload(self) -> None:
        """Take over what another process changed about the members."""
        stored = {member.node.spec.id: member for member in self.state.store.members()}
        for node in [n for n in self.members if n not in stored]:
            self._dismiss(node, "this node was removed from the network")
        for node, member in stored.items():
            known = self.members.get(node)
            if known is None or known.record != member.record:
                self._admit(member)

    def _admit(self, member: Member) -> None:
        node = member.node
        self.members[node.spec.id] = member
        self.news.nodes_changed()
        known = self.core.publication.peer(node.spec.id)
        if known is None or known.record != member.record:
            record = msgspec.json.decode(member.record.record, type=NodeRecord)
            place = place_of(self.state.config, record.name)
            self.dispatch(Enrolled(record, member.record, node.status.uplinks, node.spec.price_per_gb, place))

    def _dismiss(self, node: NodeId, problem: str) -> None:
        if (gone := self.members.pop(node, None)) is not None:
            self.news.node(gone.node.metadata.name, problem)
        if (session := self.sessions.pop(node, None)) is not None:
            session.send(Revoked(problem))
            session.close(4403, "revoked")
        self.dispatch(Disconnected(node))
        self.dispatch(Removed(node))
        self._take_pins()
        self._tell_revocations()

    def _tell_revocations(self) -> None:
        made = self.state.store.revocations(self._epoch)
        if made:
            self._epoch = self.state.store.revocation_epoch()
            self.dispatch(Revocations(tuple(made)))

    def _recall(self, signed: SignedRevocation) -> None:
        gone = None
        try:
            with _tolerating_store():
                gone = membership.recall(self.state, signed)
        except BadRecord as error:
            LOG.warning("an agent showed a revocation that is none: %s", error)
        if gone is not None:
            LOG.warning("node %d was revoked after the copy was made that this store is from", gone)
            self._dismiss(gone, "this node was removed from the network")
        self._tell_revocations()

    def _save(self, nodes: Iterable[registry.Node]) -> None:
        """Take over changed nodes, and write them if that is possible."""
        changed = list(nodes)
        with _tolerating_store(), self.state.store.transaction():
            changed = [self.state.store.save_node(node) for node in changed]
        for node in changed:
            self.members[node.spec.id] = Member(node, self.members[node.spec.id].record)
        self.news.nodes_changed()


@contextmanager
def _tolerating_store() -> Generator[None]:
    """A full disk or a locked file must not keep agents from their routes."""
    try:
        yield
    except sqlite3.Error as error:
        LOG.error("could not write to the store (%s); going on without", error)


@contextmanager
def _needing_store() -> Generator[None]:
    """Who joins, renews or leaves has to be written down; say so if it cannot be."""
    try:
        yield
    except sqlite3.Error as error:
        raise Unavailable(
            f"the controller cannot write to its database ({error}); try again later"
        ) from error


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)


def now() -> Instant:
    """Read both clocks."""
    return Instant(time.monotonic_ns(), time.time())


def network_config(state: State) -> NetworkConfig:
    """Return what all agents are told of the network."""
    network = state.network
    return NetworkConfig(
        id=network.id,
        suite=network.suite,
        psk=network.psk,
        name=network.name,
        classes=classes_of(state.config),
        telemetry_interval=state.config.decisions.telemetry_interval,
        probe_budget=state.config.probing.budget,
    )
