"""Which links are to be measured, from decision to decision: chosen in turns, told with the routes. Pure.

What is chosen counts in the next decision: links that are to go carry nothing in it any more, and agents are
told of links and routes at once. Who is new is given relays at random until something is known of it. Called
by `controller` alone.
"""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from controller.planner.probing import Probing, Sight, choose, core_of
from controller.planner.table import RouteTable
from controller.prediction.forecast import Forecast
from controller.topology.links import Bool, Topology
from overlayd.model.ids import NodeId

ROUND_NS = 600_000_000_000
"""Every edge is chosen for once in this time, so many at a decision as that takes."""
MOST_AT_ONCE = 128
"""No more edges at a decision: it is a millisecond for each in a mesh of thousands."""
TALK_NS = 600_000_000_000
"""So long after a pair of nodes was last in use it is still probed."""
MOST_TALKS = 64
"""Of a node, those in use last."""
FULL_AGAIN = 0.9
"""A mesh that shrinks is full again at this share of the limit."""


class Watching:
    """``links`` [node, node], both directions alike: what is to be measured; None: everything."""

    def __init__(self, probing: Probing) -> None:
        self.links: Bool | None = None
        self._probing = probing
        self._chosen: Bool = np.zeros((0, 0), np.bool_)
        self._talks: dict[NodeId, dict[NodeId, int]] = {}
        self._next_edge = 0
        self._turned_ns: int | None = None
        self._told: dict[NodeId, tuple[NodeId, ...]] = {}
        self._changed = False

    def used(self, node: NodeId, destinations: Iterable[NodeId], now_ns: int) -> None:
        """Take note of the destinations that ``node`` lately sent to."""
        talks = self._talks.setdefault(node, {})
        for destination in destinations:
            talks[destination] = now_ns

    def grow(self, topology: Topology, table: RouteTable, now_ns: int) -> None:
        """Nodes were added to the topology, or became relays or ceased to be."""
        before, n = len(self._chosen), len(topology)
        chosen = np.zeros((n, n), np.bool_)
        chosen[:before, :before] = self._chosen
        self._chosen = chosen
        core = self._core(topology)
        if core is not None:
            bare = ~core & ~(self._chosen & core).any(axis=1)
            self._choose(topology, table, np.flatnonzero(bare), core, now_ns)
        self._lay(topology, core, now_ns)

    def shrink(self, index: int, node: NodeId) -> None:
        """The node that had ``index`` was removed from the topology."""
        self._chosen = np.delete(np.delete(self._chosen, index, 0), index, 1)
        if self.links is not None:
            self.links = np.delete(np.delete(self.links, index, 0), index, 1)
        self._talks.pop(node, None)
        self._told.pop(node, None)
        for talks in self._talks.values():
            talks.pop(node, None)
        self._changed = True

    def choose_anew(self, topology: Topology, table: RouteTable, now_ns: int) -> None:
        """Routes of the previous run are back: what they pass is useful."""
        if (core := self._core(topology)) is not None:
            self._choose(topology, table, np.flatnonzero(~core), core, now_ns)
            self._lay(topology, core, now_ns)

    def turn(self, topology: Topology, table: RouteTable, now_ns: int) -> None:
        """Before a decision: choose for those edges whose turn it is."""
        core = self._core(topology)
        if core is not None:
            edges = np.flatnonzero(~core)
            elapsed_ns = 0 if self._turned_ns is None else now_ns - self._turned_ns
            due = min(-(-len(edges) * elapsed_ns // ROUND_NS), MOST_AT_ONCE, len(edges))
            mine = np.roll(edges, -int(np.searchsorted(edges, self._next_edge)))[:due]
            if len(mine):
                self._choose(topology, table, np.sort(mine), core, now_ns)
                self._next_edge = int(mine[-1]) + 1
            self._turned_ns = now_ns
        self._lay(topology, core, now_ns)

    def seen(self, forecast: Forecast) -> Forecast:
        """Return the forecast of the links that are to be measured; of others nothing is known."""
        if self.links is None:
            return forecast
        known, confirmed = forecast.known & self.links, forecast.confirmed & self.links
        return replace(forecast, known=known, confirmed=confirmed)

    def news(self, topology: Topology) -> dict[NodeId, tuple[NodeId, ...]]:
        """Return whom nodes are to probe, where that is not as it was told last; nobody named: everyone."""
        if not self._changed:
            return {}
        self._changed = False
        told: dict[NodeId, tuple[NodeId, ...]] = {}
        if self.links is not None:
            ids = np.array([vertex.id for vertex in topology.vertices])
            told = {
                vertex.id: tuple(ids[row].tolist())
                for vertex, row in zip(topology.vertices, self.links, strict=True)
            }
        before, self._told = self._told, told
        return {node: told.get(node, ()) for node in before | told if before.get(node) != told.get(node)}

    def _core(self, topology: Topology) -> Bool | None:
        """Return who all probe each other; None: everyone."""
        limit = self._probing.full_mesh * (1.0 if self.links is None else FULL_AGAIN)
        if len(topology) <= limit:
            return None
        core = core_of(topology.vertices, self._probing)
        return core if core.any() else None

    def _choose(
        self, topology: Topology, table: RouteTable, edges: NDArray[np.intp], core: Bool, now_ns: int
    ) -> None:
        latest = topology.latest
        sight = Sight(
            np.fmax(latest.rtt_ms, latest.rtt_ms.T),
            topology.reporting(now_ns),
            table.relays,
        )
        if not len(edges):
            return
        relays = choose(sight, core, self._chosen, edges, self._probing, now_ns // ROUND_NS)
        self._chosen[edges] = self._chosen[:, edges] = False
        self._chosen[edges[:, None], relays] = True
        self._chosen |= self._chosen.T

    def _lay(self, topology: Topology, core: Bool | None, now_ns: int) -> None:
        """Put together what is to be measured: the core, its edges, and pairs that talk."""
        links = None
        if core is not None:
            links = core[:, None] & core[None, :] | self._chosen
            pairs = [
                (topology.index[node], topology.index[other])
                for node in self._talks.keys() & topology.index.keys()
                for other in self._lately(node, now_ns)
                if other in topology.index
            ]
            if pairs:
                rows, columns = np.array(pairs).T
                links[rows, columns] = links[columns, rows] = True
            np.fill_diagonal(links, False)
        same = links is self.links or (
            links is not None and self.links is not None and np.array_equal(links, self.links)
        )
        if not same:
            self.links, self._changed = links, True

    def _lately(self, node: NodeId, now_ns: int) -> list[NodeId]:
        """Return whom the node sent to lately, and forget the others."""
        talks = self._talks[node]
        newest = sorted(talks.items(), key=lambda talk: -talk[1])[:MOST_TALKS]
        self._talks[node] = {other: at for other, at in newest if now_ns - at < TALK_NS}
        return list(self._talks[node])
