"""The mesh as this node holds it: verified peers, the network's settings, routes with their reasons.

Also here: how a change is laid over it, and what is persisted (:class:`Saved`). Records and revocations
are checked by the function handed in (`overlayd.protocol.signed`): a peer that was not signed, or was
revoked, gets no further than this module. Called by the machine. Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from overlayd.model.ids import Generation, LinkId, NodeId, Path
from overlayd.model.node import NodeRecord, Revocation, SignedRecord, SignedRevocation, Uplink
from overlayd.model.route import Route
from overlayd.protocol.controller import Mesh, NetworkConfig, PeerInfo
from overlayd.protocol.signed import Authentic, BadRecord, read_record, read_revocation

NO_GENERATION = Generation(0)


class BaseMismatch(ValueError):
    """A change came for a generation that is not held.

    Nothing of it was used; a complete mesh has to be asked for.
    """


@dataclass(frozen=True, slots=True)
class Peer:
    record: NodeRecord
    signed: SignedRecord
    uplinks: tuple[Uplink, ...]


@dataclass(frozen=True, slots=True)
class Revoked:
    revocation: Revocation
    signed: SignedRevocation


@dataclass(frozen=True, slots=True)
class MeshView:
    """One generation, complete. ``network`` is None only before the first one arrived.

    ``own`` is this node as its peers are told of it. ``revocations`` holds the newest of each node; none is
    ever forgotten while this node is a member. ``neighbours`` are the peers to keep links with; None: all.
    """

    generation: Generation = NO_GENERATION
    network: NetworkConfig | None = None
    peers: Mapping[NodeId, Peer] = field(default_factory=dict[NodeId, Peer])
    routes: Mapping[tuple[NodeId, int], Route] = field(default_factory=dict[tuple[NodeId, int], Route])
    revocations: Mapping[NodeId, Revoked] = field(default_factory=dict[NodeId, Revoked])
    own: Peer | None = None
    neighbours: frozenset[NodeId] | None = None

    @property
    def newest_revocation(self) -> Revoked | None:
        """The one with the highest epoch."""
        return max(self.revocations.values(), key=lambda known: known.revocation.epoch, default=None)

    @property
    def epoch(self) -> int:
        """Of the newest revocation; 0: none is known."""
        newest = self.newest_revocation
        return newest.revocation.epoch if newest else 0

    def apply(self, change: Mesh, me: NodeId, authentic: Authentic) -> "Applied":
        """Return the next generation. A peer whose record is refused stays as it was; who is revoked goes.

        Raises :class:`BaseMismatch`.
        """
        complete = change.base == NO_GENERATION
        if not complete and change.base != self.generation:
            raise BaseMismatch(f"change from generation {change.base}, but {self.generation} is held")
        network = change.network or (None if complete else self.network)
        if network is None:
            raise BaseMismatch(f"generation {change.generation} says nothing of the network")
        peers = (
            {}
            if complete
            else {node: peer for node, peer in self.peers.items() if node not in change.removed}
        )
        routes = {} if complete else dict(self.routes)
        own: Peer | None = None
        problems: list[str] = []
        revocations = self._revoked(change.revocations, authentic, problems)
        ends = _ends(revocations.values())
        for info in change.peers:
            try:
                record = read_record(info.record, authentic)
                _refuse_void(record, ends)
            except BadRecord as error:
                problems.append(str(error))
                continue
            before = self.own if record.id == me else self.peers.get(record.id)
            peer = Peer(record, info.record, _as_seen(info.uplinks, before))
            if record.id == me:
                own = peer
            else:
                peers[record.id] = peer
        for key in change.routes_removed:
            routes.pop(key, None)
        for route in change.routes:
            routes[route.destination, route.class_id] = route
        if change.revocations:
            peers = {node: peer for node, peer in peers.items() if not _voided(peer.record, ends)}
        neighbours = self.neighbours
        if complete or change.neighbours is not None:
            neighbours = frozenset(change.neighbours or ()) or None
        view = MeshView(change.generation, network, peers, routes, revocations, own or self.own, neighbours)
        return Applied(view, own, tuple(problems))

    def _revoked(
        self, news: Iterable[SignedRevocation], authentic: Authentic, problems: list[str]
    ) -> dict[NodeId, Revoked]:
        revocations = dict(self.revocations)
        for signed in news:
            try:
                revocation = read_revocation(signed, authentic)
            except BadRecord as error:
                problems.append(str(error))
                continue
            known = revocations.get(revocation.node)
            if known is None or known.revocation.epoch < revocation.epoch:
                revocations[revocation.node] = Revoked(revocation, signed)
        return revocations

    def message(self) -> Mesh | None:
        """Return the complete message that this view could have come from; None without a network."""
        if self.network is None:
            return None
        everyone = (*self.peers.values(), *([self.own] if self.own else []))
        peers = sorted(everyone, key=lambda peer: peer.record.id)
        return Mesh(
            generation=self.generation,
            base=NO_GENERATION,
            network=self.network,
            peers=tuple(PeerInfo(peer.signed, peer.uplinks) for peer in peers),
            removed=(),
            routes=tuple(route for _, route in sorted(self.routes.items())),
            revocations=tuple(known.signed for _, known in sorted(self.revocations.items())),
            neighbours=None if self.neighbours is None else tuple(sorted(self.neighbours)),
        )

    def name(self, node: NodeId) -> str:
        """Return the name of ``node``, or its number if it is not known."""
        peer = self.peers.get(node)
        return peer.record.name if peer else str(node)

    def path_name(self, path: Path) -> str:
        """Return ``path`` for a person: ``via rome`` with relays, ``direct`` without."""
        relays = [self.name(relay) for relay in path[:-1]]
        return f"via {', '.join(relays)}" if relays else "direct"


def _as_seen(uplinks: tuple[Uplink, ...], before: Peer | None) -> tuple[Uplink, ...]:
    """A controller that has just started does not know yet where others see a node: what was said before it
    stays.
    """
    known = {(one.name, one.endpoint): one for one in before.uplinks if one.reflexive} if before else {}
    if not known:
        return uplinks
    return tuple(
        uplink
        if uplink.reflexive or (seen := known.get((uplink.name, uplink.endpoint))) is None
        else msgspec.structs.replace(uplink, reflexive=seen.reflexive, symmetric=seen.symmetric)
        for uplink in uplinks
    )


def _ends(revocations: Iterable[Revoked]) -> dict[NodeId | str, Revocation]:
    """The newest revocation of each id and of each key."""
    ends: dict[NodeId | str, Revocation] = {}
    for known in sorted(revocations, key=lambda known: known.revocation.epoch):
        ends[known.revocation.node] = ends[known.revocation.public_key] = known.revocation
    return ends


def _voided(record: NodeRecord, ends: Mapping[NodeId | str, Revocation]) -> Revocation | None:
    named = (ends.get(record.id), ends.get(record.public_key))
    return next((revocation for revocation in named if revocation and revocation.voids(record)), None)


def _refuse_void(record: NodeRecord, ends: Mapping[NodeId | str, Revocation]) -> None:
    if (revocation := _voided(record, ends)) is not None:
        raise BadRecord(
            f"the record of {record.name} is of epoch {record.epoch}, and was revoked in epoch "
            f"{revocation.epoch}: {revocation.reason}"
        )


@dataclass(frozen=True, slots=True)
class Applied:
    """A change laid over a view.

    ``own`` is this node if its record came along, ``problems`` a sentence for each refused record.
    """

    view: MeshView
    own: Peer | None
    problems: tuple[str, ...]


class LinkKey(msgspec.Struct, frozen=True, gc=False, array_like=True, order=True):
    """What makes a link the same link: ``uplink`` is the local uplink's name, ``remote`` ``""`` where the
    peer calls us.
    """

    peer: NodeId
    uplink: str
    remote: str
    lane: int


class Neighbour(msgspec.Struct, frozen=True, array_like=True):
    """A node found on the local network."""

    node: NodeId
    endpoint: str
    uplink: str


class HeldPath(msgspec.Struct, frozen=True, array_like=True):
    """A path that was left and has not served its hold-down of ``hold_ns``."""

    destination: NodeId
    class_id: int
    path: Path
    hold_ns: int
    reason: str


class Saved(msgspec.Struct, frozen=True):
    """All that an agent needs to go on without its controller after a restart.

    ``links`` keeps link ids stable, so that the engine keeps their sessions; ``neighbours`` keeps links
    to the local network until they have had time to announce themselves again; ``held`` keeps traffic
    off paths that were left. ``revoked`` is why this node is no longer a member, or None.
    """

    mesh: Mesh | None = None
    links: tuple[tuple[LinkKey, LinkId], ...] = ()
    neighbours: tuple[Neighbour, ...] = ()
    held: tuple[HeldPath, ...] = ()
    revoked: str | None = None
