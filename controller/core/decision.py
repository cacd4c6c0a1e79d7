"""One round of the planner as a job of its own: what it needs is taken along, so that it may run in another
thread while the machine goes on. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controller.core.changes import ABSENT_ID, Changes
from controller.core.instant import Instant
from controller.planner.explain import Explainer
from controller.planner.kept import Kept, Searches
from controller.planner.plan import Plan, plan
from controller.planner.search import ABSENT, NONE, Relays, differ
from controller.planner.table import RouteTable
from controller.policy.rules import NO_RULES, Rules
from controller.prediction.forecast import Forecast
from controller.topology.links import Bool, Vertex
from overlayd.model.ids import NodeId
from overlayd.model.route import Route
from overlayd.model.service import ServiceClass

GONE = "a relay of the path before is gone"
"""Why a back-up moved up, or a path was chosen anew, before anybody decided to leave the primary."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The question. ``membership`` numbers the set of nodes: an answer about another set is worth nothing."""

    membership: int
    vertices: Sequence[Vertex]
    services: Sequence[ServiceClass]
    forecast: Forecast
    table: RouteTable
    now: Instant
    rules: Rules = NO_RULES

    def run(self, kept: Kept | None = None) -> "Decided":
        """Plan, and put into words why primaries are left. Takes seconds for a thousand nodes. The outcome
        does not depend on the searches that are ``kept`` from earlier decisions.
        """
        with (kept or Kept()).borrowed() as searches:
            made = self._plan(searches)
        before, after = self.table.relays[:, :, :, 0], made.table.relays[:, :, :, 0]
        bereft: Bool = self.table.bereft & (after[..., 0] != ABSENT)
        moved: Bool = (made.changed & differ(before, after)) | bereft
        left = moved & np.stack([chosen.moved for chosen in made.classes])
        explainer = Explainer(made, self.vertices, self.services)
        reasons = {
            (number, source, destination): explainer.reason(number, source, destination)
            for number, source, destination in np.argwhere(left).tolist()
        }
        bereft &= ~left
        for number, source, destination in np.argwhere(bereft).tolist():
            why = explainer.reason(number, source, destination)
            reasons[number, source, destination] = f"{GONE}: {why}"
        told: Bool = made.changed | made.news
        changes = self._changes(made, moved, bereft, reasons)
        return Decided(self, made, told, moved, reasons, changes, int(np.count_nonzero(told)))

    def _changes(
        self, made: Plan, moved: Bool, bereft: Bool, reasons: Mapping[tuple[int, int, int], str]
    ) -> Changes:
        """Return what history keeps: all changes of primaries but the taking of direct paths at first. Where
        the primary went with one of its relays, there is none before.
        """
        before, after = self.table.relays[..., 0, :].copy(), made.table.relays[..., 0, :]
        before[bereft] = (ABSENT, NONE)
        plain = (before[..., 0] == ABSENT) & (after[..., 0] == NONE) & ~bereft
        sources, destinations, classes = np.nonzero((moved & ~plain).transpose(1, 2, 0))
        at = classes, sources, destinations
        ids = np.array([vertex.id for vertex in self.vertices], np.uint16)
        keys = zip(*[index.tolist() for index in at], strict=True) if reasons else ()
        said = {i: reasons[key] for i, key in enumerate(keys) if key in reasons}
        return Changes(
            self.now.unix_s, ids[sources], ids[destinations], classes.astype(np.uint8),
            _named(before[at], ids), _named(after[at], ids), said,
        )  # fmt: skip

    def explain(self, source: NodeId, destination: NodeId, class_id: int, rejected: int) -> Route | None:
        """Make the decision again, and tell of one route; None if it knew no such nodes, or found no path."""
        index = {vertex.id: place for place, vertex in enumerate(self.vertices)}
        if source not in index or destination not in index or class_id >= len(self.services):
            return None
        explainer = Explainer(self._plan(), self.vertices, self.services)
        return explainer.route(class_id, index[source], index[destination], self.now.unix_s, rejected)

    def _plan(self, searches: Searches | None = None) -> Plan:
        now_ns = self.now.monotonic_ns
        return plan(
            self.vertices,
            self.services,
            self.forecast,
            self.table,
            now_ns,
            rules=self.rules,
            searches=searches,
        )


@dataclass(frozen=True, slots=True)
class Decided:
    """The answer. [class, from, to]: ``told`` is what is to be published anew, ``moved`` where the primary is
    another one; ``reasons`` say why a primary in force was left. ``tells``: how many are told.
    """

    question: Decision
    plan: Plan
    told: Bool
    moved: Bool
    reasons: Mapping[tuple[int, int, int], str]
    changes: Changes
    tells: int


def _named(relays: Relays, ids: NDArray[np.uint16]) -> NDArray[np.uint16]:
    names = np.where(relays >= 0, ids[relays], np.uint16(0))
    names[relays[:, 0] == ABSENT] = ABSENT_ID
    return names
