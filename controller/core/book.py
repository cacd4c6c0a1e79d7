"""The routes in force: for each its paths, the generation in which it was last told anew, when its primary
was chosen, and, where one was left for it, why. Pure.

Four million routes of a thousand nodes are arrays here, by index of the topology, and never objects of their
own. Words are made when somebody asks (`Controller.explain`), except why a primary was left, once.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.core.decision import Decided
from controller.core.rows import KeptRoutes, RouteRows
from controller.planner.plan import Plan
from controller.planner.search import ABSENT
from controller.planner.table import RouteTable
from controller.topology.links import NEVER, Bool
from overlayd.model.ids import Generation, NodeId
from overlayd.protocol.routes import RouteColumns

_IDS = 0x10000


class RouteBook:
    """``plan`` made what is in force; None until the first, and after the set of nodes has changed."""

    def __init__(self, classes: int) -> None:
        self.table = RouteTable.empty(classes, 0)
        self.plan: Plan | None = None
        self._ids: list[NodeId] = []
        self._index: dict[NodeId, int] = {}
        self._since = np.zeros((classes, 0, 0), np.int64)
        self._newest = np.zeros(0, np.int64)
        self._decided_at = np.zeros((classes, 0, 0), np.float64)
        self._reasoned = np.zeros((classes, 0, 0), np.bool_)
        self._reasons: dict[tuple[NodeId, NodeId, int], str] = {}
        self._opened: list[tuple[int, int]] = []

    @property
    def number(self) -> int:
        """How many routes are in force."""
        return int(np.count_nonzero(self.table.relays[..., 0, 0] != ABSENT))

    def grow(self, ids: Sequence[NodeId]) -> None:
        """``ids`` are the nodes now; the first of them are those there were."""
        new, before, classes = len(ids), len(self._ids), len(self._since)
        self._name(ids)
        self.table = self.table.grown(new)
        self.plan = None
        for name in ("_since", "_decided_at", "_reasoned"):
            old: NDArray[Any] = getattr(self, name)
            array = np.zeros((classes, new, new), old.dtype)
            array[:, :before, :before] = old
            setattr(self, name, array)
        self._newest = np.append(self._newest, np.zeros(new - before, np.int64))

    def shrink(self, index: int) -> None:
        """The node that had ``index`` is gone: as an end, and every path through it."""
        gone = self._ids[index]
        self.free_opened()  # by the indices of before
        self._name([node for node in self._ids if node != gone])
        self.table = self.table.without(index)
        self.plan = None
        for name in ("_since", "_decided_at", "_reasoned"):
            setattr(self, name, np.delete(np.delete(getattr(self, name), index, 1), index, 2))
        self._newest = np.delete(self._newest, index)
        self._reasons = {key: text for key, text in self._reasons.items() if gone not in key[:2]}

    def bar(self, nodes: Sequence[int]) -> None:
        """Forget paths through ``nodes``, by index: they are no relays any more."""
        self.table.bar(nodes)

    def open(self, end: int, others: Sequence[int]) -> None:
        """The links between ``end`` and ``others``, by index, are measured for the first time: a path that
        was taken for want of them need not stay for its time.
        """
        self._opened.extend([(end, other) for other in others])

    def free_opened(self) -> None:
        """Before a decision: routes whose links opened since the last one may change at once. The table is
        another one then: somebody may still read the old one in a thread of theirs.
        """
        if self._opened:
            changed_ns, ends = self.table.changed_ns.copy(), np.array(self._opened)
            for a, b in (ends.T, ends.T[::-1]):
                changed_ns[:, a, b] = NEVER
            self.table = replace(self.table, changed_ns=changed_ns)
            self._opened.clear()

    def put(self, decided: Decided, generation: Generation) -> tuple[NodeId, ...]:
        """Put a decision about these nodes into force; what it tells is told in ``generation``. Return the
        sources of which paths are others now.
        """
        self.table, self.plan = decided.plan.table, decided.plan
        told = decided.told
        self._since[told] = generation
        concerned = told.any(axis=(0, 2))
        self._newest[concerned] = generation
        self._decided_at[decided.moved] = decided.question.now.unix_s
        self._forget_reasons(decided.moved)
        for (number, source, destination), text in decided.reasons.items():
            self._reasoned[number, source, destination] = True
            self._reasons[self._ids[source], self._ids[destination], number] = text
        others = decided.plan.changed.any(axis=(0, 2))
        return tuple([self._ids[source] for source in np.flatnonzero(others).tolist()])

    def restore(self, source: NodeId, columns: RouteColumns, generation: Generation) -> None:
        """Take the routes of a previous run, as far as their nodes are known. Raises `routes.BadColumns`;
        nothing has changed then.
        """
        if (row := self._index.get(source)) is None:
            return
        index_of = np.full(_IDS, -1, np.int64)
        index_of[self._ids] = np.arange(len(self._ids))
        kept = KeptRoutes.of(columns, index_of)
        ends = index_of[kept.destinations]
        good = np.flatnonzero(
            (ends >= 0) & (kept.classes < len(self._since)) & (kept.relays[:, 0, 0] != ABSENT)
        )
        at = kept.classes[good], row, ends[good]
        self.table.relays[at] = kept.relays[good]
        self.table.rtt_ms[at], self.table.loss[at] = kept.rtt_ms[good], kept.loss[good]
        self._since[at] = self._newest[row] = generation
        self._decided_at[at] = kept.decided_at[good]
        for place in set(good.tolist()) & kept.reasons.keys():
            number, destination = int(kept.classes[place]), int(ends[place])
            self._reasoned[number, row, destination] = True
            self._reasons[source, self._ids[destination], number] = kept.reasons[place]

    def newest(self, source: NodeId) -> Generation:
        """Return the generation in which something was last told of the routes from ``source``; 0: never."""
        row = self._index.get(source)
        return Generation(0 if row is None else int(self._newest[row]))

    def rows(self, source: NodeId, after: Generation = Generation(0)) -> RouteRows | None:  # noqa: B008
        """Return what was told of the routes from ``source`` later than ``after``; None if it is no node."""
        if (row := self._index.get(source)) is None:
            return None
        told = self._since[:, row] > after
        if not after:
            told &= self.table.relays[:, row, :, 0, 0] != ABSENT
        return self._rows(source, row, told)

    def route(self, source: NodeId, destination: NodeId, class_id: int) -> RouteRows | None:
        """Return one route; None if there is none."""
        ends = self._index.get(source), self._index.get(destination)
        if ends[0] is None or ends[1] is None or self.table.relays[class_id, *ends, 0, 0] == ABSENT:
            return None
        told = np.zeros(self._since[:, 0].shape, np.bool_)
        told[class_id, ends[1]] = True
        return self._rows(source, ends[0], told)

    def _rows(self, source: NodeId, row: int, told: Bool) -> RouteRows:
        classes, destinations = np.nonzero(told)
        reasons: dict[int, str] = {}
        for place in np.flatnonzero(self._reasoned[classes, row, destinations]).tolist():
            number, destination = int(classes[place]), int(destinations[place])
            reasons[place] = self._reasons[source, self._ids[destination], number]
        return RouteRows(
            source, row, self._named, classes, destinations,
            self.table.relays[classes, row, destinations],
            self._decided_at[classes, row, destinations], reasons, self.plan,
        )  # fmt: skip

    def _forget_reasons(self, moved: Bool) -> None:
        for number, source, destination in np.argwhere(moved & self._reasoned).tolist():
            self._reasoned[number, source, destination] = False
            del self._reasons[self._ids[source], self._ids[destination], number]

    def _name(self, ids: Sequence[NodeId]) -> None:
        self._ids = list(ids)
        self._named = np.array(ids, np.uint16)
        self._index = {node: index for index, node in enumerate(ids)}
