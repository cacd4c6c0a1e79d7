"""The mesh as this node holds it: verified peers, the network's settings, routes with their reasons.

Also here: how a change is laid over it, and what is persisted (:class:`Saved`). Records are verified by
the function handed in (`overlayd.agent.records`): an unverified peer gets no further than this module.
Called by the machine. Pure.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from overlayd.model.ids import Generation, LinkId, NodeId, Path
from overlayd.model.node import NodeRecord, SignedRecord, Uplink
from overlayd.model.route import Route
from overlayd.protocol.controller import Mesh, NetworkConfig, PeerInfo

NO_GENERATION = Generation(0)


class BadRecord(ValueError):
    """A record is not what the network's signer signed; it was not used."""


Verify: TypeAlias = Callable[[SignedRecord], NodeRecord]
"""Returns the record inside, or raises :class:`BadRecord`."""


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
class MeshView:
    """One generation, complete. ``network`` is None only before the first one arrived."""

    generation: Generation = NO_GENERATION
    network: NetworkConfig | None = None
    peers: Mapping[NodeId, Peer] = field(default_factory=dict[NodeId, Peer])
    routes: Mapping[tuple[NodeId, int], Route] = field(default_factory=dict[tuple[NodeId, int], Route])

    def apply(self, change: Mesh, me: NodeId, verify: Verify) -> "Applied":
        """Return the next generation. A peer whose record is refused stays as it was.

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
        for info in change.peers:
            try:
                record = verify(info.record)
            except BadRecord as error:
                problems.append(str(error))
                continue
            peer = Peer(record, info.record, info.uplinks)
            if record.id == me:
                own = peer
            else:
                peers[record.id] = peer
        for key in change.routes_removed:
            routes.pop(key, None)
        for route in change.routes:
            routes[route.destination, route.class_id] = route
        return Applied(MeshView(change.generation, network, peers, routes), own, tuple(problems))

    def message(self) -> Mesh | None:
        """Return the complete message that this view could have come from; None without a network."""
        if self.network is None:
            return None
        peers = sorted(self.peers.values(), key=lambda peer: peer.record.id)
        return Mesh(
            generation=self.generation,
            base=NO_GENERATION,
            network=self.network,
            peers=tuple(PeerInfo(peer.signed, peer.uplinks) for peer in peers),
            removed=(),
            routes=tuple(route for _, route in sorted(self.routes.items())),
        )

    def name(self, node: NodeId) -> str:
        """Return the name of ``node``, or its number if it is not known."""
        peer = self.peers.get(node)
        return peer.record.name if peer else str(node)

    def path_name(self, path: Path) -> str:
        """Return ``path`` for a person: ``via rome`` with relays, ``direct`` without."""
        relays = [self.name(relay) for relay in path[:-1]]
        return f"via {', '.join(relays)}" if relays else "direct"


@dataclass(frozen=True, slots=True)
class Applied:
    """A change laid over a view.

    ``own`` is this node if its record came along, ``problems`` a sentence for each refused record.
    """

    view: MeshView
    own: Peer | None
    problems: tuple[str, ...]


class LinkKey(msgspec.Struct, frozen=True, array_like=True, order=True):
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
