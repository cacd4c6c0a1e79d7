"""What snapshots are made of: numbered links, and route and order of paths for each destination and class.

Pure; owned by the machine.
"""

from collections.abc import Iterable
from functools import partial

import msgspec

from overlayd.agent import compiler, fallback, prober
from overlayd.agent.estimator import Estimator
from overlayd.agent.measure import figures, rtts_ms
from overlayd.agent.mesh import HeldPath, LinkKey, MeshView, Neighbour, Saved
from overlayd.agent.selector import Figures, Hold, Judge, Move, Selector, Verdict
from overlayd.model.ids import LinkId, NodeId, Path
from overlayd.model.route import Route
from overlayd.model.service import Bound, ServiceClass
from overlayd.protocol import engine

Key = tuple[NodeId, int]
"""Destination and class."""


class Tables:
    """What the next snapshot is compiled from, except the mesh itself."""

    def __init__(self, estimator: Estimator, saved: Saved, now: int) -> None:
        self.links: dict[LinkId, engine.Link] = {}
        self.keys: dict[LinkId, LinkKey] = {}
        self.routes: dict[Key, Route] = {}
        self.orders: dict[Key, tuple[Path, ...]] = {}
        self.moves: dict[Key, Move] = {}
        self.changed = True
        """Whether a snapshot compiled before is out of date; whoever compiles the next one clears it."""
        self._estimator = estimator
        self._selector = Selector(saved.held, now)
        self._ids = prober.LinkIds(saved.links)
        self._preference: dict[LinkId, int] = {}
        self._neighbours: frozenset[NodeId] = frozenset()
        self._links_made_of: object = None
        self._installed: dict[Key, tuple[Route, Route | None]] = {}
        self._installed_for: object = None

    @property
    def has_local_routes(self) -> bool:
        """Whether any route is of this node's own making."""
        return any(route.decider == "agent" for route in self.routes.values())

    @property
    def neighbours(self) -> frozenset[NodeId]:
        """Nodes with a link, alive or not."""
        return self._neighbours

    def known_links(self) -> tuple[tuple[LinkKey, LinkId], ...]:
        """Return the numbers that have to survive a restart."""
        return self._ids.known()

    def held(self) -> tuple[HeldPath, ...]:
        """Return the hold-downs that have to survive a restart."""
        return self._selector.held()

    def set_links(
        self, me: NodeId, local: tuple[prober.LocalUplink, ...], mesh: MeshView, seen: Iterable[Neighbour]
    ) -> None:
        """Make the links anew.

        Raises :class:`~overlayd.agent.prober.TooManyLinks` and leaves all as it was.
        """
        made_of = (me, local, mesh.peers, tuple(seen), mesh.neighbours)
        if made_of == self._links_made_of:
            return
        links = prober.wanted(*made_of)
        ids = self._ids.assign(links)
        self._links_made_of = made_of
        self.keys = {ids[key]: key for key in links}
        self.links = {ids[key]: prober.numbered(link, ids[key]) for key, link in links.items()}
        self._preference = {number: link.preference for number, link in self.links.items()}
        self._neighbours = frozenset(key.peer for key in links)
        self._estimator.keep(self.links.keys())
        self.changed = True

    def set_routes(self, me: NodeId, mesh: MeshView, decided_at: float, now: int) -> None:
        """Take the controller's routes as far as they can be installed, and make our own for what is left."""
        if (mesh.peers, self._neighbours) != self._installed_for:
            self._installed_for = (mesh.peers, self._neighbours)
            self._installed.clear()
        own: fallback.LocalRoutes | None = None
        self.routes = {}
        for destination in sorted(mesh.peers):
            for class_id, _ in enumerate(mesh.network.classes if mesh.network else ()):
                key = (destination, class_id)
                route = self._installable(key, me, mesh)
                if route is None:
                    if own is None:
                        rtts = rtts_ms(self._estimator, self._preference, self._neighbours, now)
                        own = fallback.LocalRoutes(mesh, self._neighbours, rtts, decided_at)
                    route = own.route(destination, class_id)
                self.routes[key] = route
        self._selector.retain(self.routes)
        self.moves = {key: move for key, move in self.moves.items() if key in self.routes}
        self.orders = {key: route.paths for key, route in self.routes.items()}
        self.changed = True

    def choose(self, classes: tuple[ServiceClass, ...], now: int) -> dict[Key, Move]:
        """Put paths in order and return the moves that were made.

        Judged are routes that carry traffic, or of which a path has a past; the others keep their order.
        """
        moves: dict[Key, Move] = {}
        eventful = {*self._estimator.in_use(now), *self._selector.eventful()}
        for key in sorted(eventful & self.routes.keys()):
            destination, class_id = key
            in_use = self._estimator.active_path(destination, class_id, now)
            measure = partial(self.figures, class_id, now=now)
            choice = self._selector.choose(self.routes[key], classes[class_id].bound, measure, in_use, now)
            self.changed = self.changed or choice.order != self.orders[key]
            self.orders[key] = choice.order
            if choice.move is not None:
                moves[key] = choice.move
        self.moves |= moves
        return moves

    def figures(self, class_id: int, path: Path, now: int) -> Figures | None:
        """Return ``path`` as measured now; None without a fresh sample."""
        return figures(self._estimator, self._preference, class_id, path, now)

    def verdict(self, key: Key, bound: Bound, path: Path, now: int) -> Verdict | None:
        """Return how ``path`` stands against ``bound``; None without a fresh sample."""
        return Judge(self.routes[key], bound, partial(self.figures, key[1], now=now)).verdict(path)

    def hold(self, key: Key, path: Path) -> Hold | None:
        """Return the hold-down of ``path``, if there is one."""
        return self._selector.hold(*key, path)

    def best_link(self, peer: NodeId) -> LinkId | None:
        """Return the link to ``peer`` that the engine uses; None if all are down or there is none."""
        return self._estimator.best_link(peer, self._preference)

    def best_reports(self, peers: Iterable[NodeId]) -> dict[NodeId, engine.LinkReport | None]:
        """Return, for each of ``peers``, the newest report of the link in use; None if all are down."""
        return self._estimator.best_reports(peers, self._preference)

    def _installable(self, key: Key, me: NodeId, mesh: MeshView) -> Route | None:
        """Return the controller's route without what cannot be installed: checked anew only if it changed."""
        route = mesh.routes.get(key)
        if route is None:
            return None
        checked = self._installed.get(key)
        if checked is None or checked[0] is not route:
            able = partial(compiler.installable, me=me, mesh=mesh, neighbours=self._neighbours)
            paths = tuple(filter(able, route.paths))
            checked = (route, msgspec.structs.replace(route, paths=paths) if paths else None)
            self._installed[key] = checked
        return checked[1]
