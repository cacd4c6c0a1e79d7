"""One round of the planner as a job of its own: what it needs is taken along, so that it may run in another
thread while the machine goes on. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from controller.core.messages import Instant
from controller.planner.explain import Explainer
from controller.planner.plan import Plan, plan
from controller.planner.table import RouteTable
from controller.prediction.forecast import Forecast
from controller.topology.links import Vertex
from overlayd.model.ids import NodeId
from overlayd.model.route import Route
from overlayd.model.service import ServiceClass


@dataclass(frozen=True, slots=True)
class Decision:
    """The question. ``membership`` numbers the set of nodes: an answer about another set is worth nothing."""

    membership: int
    vertices: Sequence[Vertex]
    services: Sequence[ServiceClass]
    forecast: Forecast
    table: RouteTable
    now: Instant

    def run(self) -> "Decided":
        """Plan, and put into words what changed. Takes seconds for a thousand nodes."""
        made = plan(self.vertices, self.services, self.forecast, self.table, self.now.monotonic_ns)
        explainer = Explainer(made, self.vertices, self.services)
        routes: list[tuple[NodeId, Route]] = []
        gone: list[tuple[NodeId, NodeId, int]] = []
        told = np.argwhere((made.changed | made.news).transpose(1, 2, 0))
        for source, destination, number in told.tolist():
            route = explainer.route(number, source, destination, self.now.unix_s)
            ingress = self.vertices[source].id
            if route is not None:
                routes.append((ingress, route))
            else:
                gone.append((ingress, self.vertices[destination].id, number))
        return Decided(self, made, explainer, tuple(routes), tuple(gone))

    def explain(self, source: NodeId, destination: NodeId, class_id: int, rejected: int) -> Route | None:
        """Make the decision again, and tell of one route; None if it knew no such nodes, or found no path."""
        index = {vertex.id: place for place, vertex in enumerate(self.vertices)}
        if source not in index or destination not in index or class_id >= len(self.services):
            return None
        made = plan(self.vertices, self.services, self.forecast, self.table, self.now.monotonic_ns)
        explainer = Explainer(made, self.vertices, self.services)
        return explainer.route(class_id, index[source], index[destination], self.now.unix_s, rejected)


@dataclass(frozen=True, slots=True)
class Decided:
    """The answer: what is to be published anew, and which (source, destination, class) have no route any
    more.
    """

    question: Decision
    plan: Plan
    explainer: Explainer
    routes: tuple[tuple[NodeId, Route], ...]
    gone: tuple[tuple[NodeId, NodeId, int], ...]
