"""What the network is right now, and what each agent holds of it: answers "what does this agent lack?".
Pure.

Every item carries the generation it last changed in, and what went away leaves a tombstone, so that the
change since any generation an agent names can be told. Generations count commits; an agent that none of
a commit's changes concern is sent nothing and stays at its older generation.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from overlayd.model.ids import Generation, NodeId
from overlayd.model.node import SignedRevocation
from overlayd.model.route import Route
from overlayd.protocol.controller import Mesh, NetworkConfig, PeerInfo

MAX_TOMBSTONES = 20_000


@dataclass(frozen=True, slots=True)
class _Stamped:
    """``value`` None: it went away in generation ``since``."""

    value: PeerInfo | Route | None
    since: Generation


class Publication:
    """Begins above ``last``, the newest generation of the previous run: whoever holds an older one is
    sent everything.
    """

    def __init__(self, network: NetworkConfig, last: Generation) -> None:
        self.network = network
        self.generation = Generation(last + 1)
        self._oldest_base = self.generation
        self._dirty = False
        self._peers: dict[NodeId, _Stamped] = {}
        self._routes: dict[NodeId, dict[tuple[NodeId, int], _Stamped]] = {}
        self._revocations: dict[NodeId, tuple[SignedRevocation, Generation]] = {}
        self._held: dict[NodeId, Generation] = {}
        self._tombstones = 0

    def set_peer(self, node: NodeId, info: PeerInfo) -> None:
        """``node`` is a member, as ``info`` says; no change if it was known like this."""
        known = self._peers.get(node)
        if known is None or known.value != info:
            self._peers[node] = self._stamped(info)

    def remove_peer(self, node: NodeId) -> None:
        """``node`` is no member any more; its own routes are forgotten."""
        if node in self._peers:
            self._peers[node] = self._stamped(None)
        self._routes.pop(node, None)
        self._held.pop(node, None)

    def revoke(self, node: NodeId, signed: SignedRevocation) -> None:
        """``signed`` is the newest revocation of ``node``; a later member with its id is another one."""
        self._dirty = True
        self._revocations[node] = (signed, Generation(self.generation + 1))

    def peer(self, node: NodeId) -> PeerInfo | None:
        """Return what is published about ``node``."""
        known = self._peers.get(node)
        return known.value if known and isinstance(known.value, PeerInfo) else None

    def set_route(self, source: NodeId, route: Route) -> None:
        self._routes.setdefault(source, {})[route.destination, route.class_id] = self._stamped(route)

    def remove_route(self, source: NodeId, destination: NodeId, class_id: int) -> None:
        routes = self._routes.get(source, {})
        if (destination, class_id) in routes:
            routes[destination, class_id] = self._stamped(None)

    def route(self, source: NodeId, destination: NodeId, class_id: int) -> Route | None:
        """Return the route in force."""
        known = self._routes.get(source, {}).get((destination, class_id))
        return known.value if known and isinstance(known.value, Route) else None

    def routes(self, source: NodeId) -> Iterable[Route]:
        """Return the routes in force with this ingress."""
        return [s.value for s in self._routes.get(source, {}).values() if isinstance(s.value, Route)]

    @property
    def dirty(self) -> bool:
        """Whether something changed since the last commit."""
        return self._dirty

    def commit(self) -> Generation:
        """Make the changes since the last commit one new generation."""
        if self._dirty:
            self.generation = Generation(self.generation + 1)
            self._dirty = False
            if self._tombstones > MAX_TOMBSTONES:
                self._bury()
        return self.generation

    def greet(self, node: NodeId, holds: Generation) -> Mesh:
        """Return what an agent that holds generation ``holds`` needs; call after a commit.

        An agent that is ahead of us (our store was restored from an older copy) makes us skip ahead of it.
        """
        if holds > self.generation:
            self.generation = Generation(holds + 1)
            self._oldest_base = self.generation
        self._held[node] = self.generation
        return self._mesh(node, holds if self._oldest_base <= holds else Generation(0))

    def change_for(self, node: NodeId) -> Mesh | None:
        """Return what a greeted agent lacks, and take it as sent; None if nothing concerns it. Call
        after a commit.
        """
        held = self._held.get(node)
        if held is None or held == self.generation:
            return None
        mesh = self._mesh(node, held if self._oldest_base <= held else Generation(0))
        if mesh.base and mesh == Mesh(mesh.generation, mesh.base, None, (), (), ()):
            return None
        self._held[node] = self.generation
        return mesh

    def part(self, node: NodeId) -> None:
        """The agent's channel is gone; what it holds, its next greeting will say."""
        self._held.pop(node, None)

    @property
    def greeted(self) -> list[NodeId]:
        """The agents whose channels are open, by id."""
        return sorted(self._held)

    def _mesh(self, node: NodeId, base: Generation) -> Mesh:
        peers: list[PeerInfo] = []
        removed: list[NodeId] = []
        for other, stamped in self._peers.items():  # its own record too: what it may announce stands there
            if base and stamped.since <= base:
                continue
            if isinstance(stamped.value, PeerInfo):
                peers.append(stamped.value)
            elif base:
                removed.append(other)
        routes: list[Route] = []
        routes_removed: list[tuple[NodeId, int]] = []
        for key, stamped in self._routes.get(node, {}).items():
            if base and stamped.since <= base:
                continue
            if isinstance(stamped.value, Route):
                routes.append(stamped.value)
            elif base:
                routes_removed.append(key)
        return Mesh(
            generation=self.generation,
            base=base,
            network=self.network if not base else None,
            peers=tuple(peers),
            removed=tuple(removed),
            routes=tuple(routes),
            routes_removed=tuple(routes_removed),
            revocations=tuple(
                signed for signed, since in self._revocations.values() if not base or since > base
            ),
        )

    def _stamped(self, value: PeerInfo | Route | None) -> _Stamped:
        self._dirty = True
        self._tombstones += value is None
        return _Stamped(value, Generation(self.generation + 1))

    def _bury(self) -> None:
        """Forget what went away; whoever holds something older is sent everything."""
        self._oldest_base = self.generation
        self._tombstones = 0
        self._peers = {n: s for n, s in self._peers.items() if s.value is not None}
        for source, routes in self._routes.items():
            self._routes[source] = {k: s for k, s in routes.items() if s.value is not None}
