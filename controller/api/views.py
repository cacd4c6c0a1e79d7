"""From the controller's own objects to the API's models: reads the service, changes nothing."""

import math
import time
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from msgspec.structs import replace

from controller.api.models import (
    CandidateModel,
    EndToEnd,
    Explanation,
    LinkModel,
    NodeModel,
    RouteEventModel,
    RouteModel,
    TokenModel,
)
from controller.core.controller import PathReport
from controller.core.decision import Decision
from controller.core.messages import Instant, RouteEvent
from controller.enrolment.tokens import TokenGrant
from controller.registry import Node, timestamp
from controller.server.service import Service
from overlayd.model.ids import NodeId, Path
from overlayd.model.route import Candidate, Route
from overlayd.model.service import ServiceClass

REJECTED = 8
HISTORY = 20


def node_model(node: Node) -> NodeModel:
    return NodeModel.model_validate(msgspec.to_builtins(node))


def token_model(token: TokenGrant, unix_s: float) -> TokenModel:
    return TokenModel.model_validate(
        {
            "id": token.digest[:12],
            "name": token.name,
            "state": token.state(unix_s),
            "relay": token.relay,
            "prefixes": list(token.prefixes),
            "created": timestamp(token.created_at),
            "expires": timestamp(token.expires_at),
        }
    )


class View:
    """Names and figures of the service at one moment."""

    def __init__(self, service: Service, now: Instant) -> None:
        self._service = service
        self._now = now
        self._names = {node: member.node.metadata.name for node, member in service.members.items()}

    def links(self) -> list[LinkModel]:
        """Return all links that were ever spoken of."""
        core = self._service.core
        forecast = core.forecast(self._now)
        names = [vertex.name for vertex in core.topology.vertices]
        spoken = (core.topology.latest.up >= 0) | (core.topology.latest.up.T >= 0)
        return [
            LinkModel(
                source=names[a],
                destination=names[b],
                known=bool(forecast.known[a, b]),
                confirmed=bool(forecast.confirmed[a, b]),
                down=bool(forecast.down[a, b]),
                measured_rtt_ms=_number(forecast.measured_rtt_ms[a, b], 3),
                measured_loss_ratio=_number(forecast.measured_loss[a, b], 5),
                forecast_rtt_q50_ms=_number(forecast.rtt_q50_ms[a, b], 3),
                forecast_rtt_q80_ms=_number(forecast.rtt_q80_ms[a, b], 3),
                forecast_rtt_q90_ms=_number(forecast.rtt_q90_ms[a, b], 3),
                forecast_loss_ratio=_number(forecast.loss_q90[a, b], 5) if forecast.known[a, b] else None,
                held_down_seconds=max(0.0, float(forecast.held_ns[a, b]) / 1e9),
            )
            for a, b in np.argwhere(spoken).tolist()
        ]

    def routes(
        self, source: NodeId | None, destination: NodeId | None, class_id: int | None
    ) -> list[RouteModel]:
        """Return the routes in force that fit."""
        sources = self._service.members if source is None else (source,)
        return [
            self._route(node, route)
            for node in sorted(sources)
            for route in sorted(
                self._service.core.publication.routes(node), key=lambda r: (r.destination, r.class_id)
            )
            if destination in (None, route.destination) and class_id in (None, route.class_id)
        ]

    def explanation(self, source: NodeId, destination: NodeId, class_id: int) -> Explanation | None:
        """Return why the route is as it is; None if there is none."""
        core = self._service.core
        route = core.explain(source, destination, class_id, REJECTED)
        if route is None:
            return None
        events = self._service.state.store.history(source, destination, class_id, HISTORY)
        reports = {c.path: core.path_report(source, destination, class_id, c.path) for c in route.candidates}
        return self._explanation(source, route, core.services[class_id], events, reports, core.decided_at)

    def _explanation(
        self,
        source: NodeId,
        route: Route,
        service: ServiceClass,
        events: Sequence[RouteEvent],
        reports: Mapping[Path, PathReport | None],
        figures_at: float | None,
    ) -> Explanation:
        return Explanation(
            source=self._name(source),
            destination=self._name(route.destination),
            class_=service.name,
            objective=service.objective,
            reason=route.reason,
            decider=route.decider,
            decided_at=timestamp(route.decided_at),
            figures_at=None if figures_at is None else timestamp(figures_at),
            candidates=[
                self._candidate(candidate, reports.get(candidate.path)) for candidate in route.candidates
            ],
            history=[self.event(event) for event in events],
        )

    def _route(self, source: NodeId, route: Route) -> RouteModel:
        return RouteModel(
            source=self._name(source),
            destination=self._name(route.destination),
            class_=self._service.core.services[route.class_id].name,
            paths=[self._path(path) for path in route.paths],
            reason=route.reason,
            decider=route.decider,
            decided_at=timestamp(route.decided_at),
        )

    def _candidate(self, candidate: Candidate, report: PathReport | None) -> CandidateModel:
        return CandidateModel(
            path=self._path(candidate.path),
            verdict=candidate.verdict.value,
            reason=candidate.reason,
            cost=candidate.cost,
            forecast_rtt_ms=candidate.forecast_rtt_ms,
            measured_rtt_ms=candidate.measured_rtt_ms,
            forecast_loss_ratio=candidate.forecast_loss_ratio,
            measured_loss_ratio=candidate.measured_loss_ratio,
            end_to_end=None if report is None else self._end_to_end(report),
        )

    def _end_to_end(self, report: PathReport) -> EndToEnd:
        return EndToEnd(
            rtt_ms=report.sample.rtt_mean_ms,
            loss_ratio=report.sample.loss_ratio,
            active=report.sample.active,
            age_seconds=round((self._now.monotonic_ns - report.at.monotonic_ns) / 1e9, 3),
        )

    def event(self, event: RouteEvent) -> RouteEventModel:
        """Return a change with names."""
        return RouteEventModel(
            at=timestamp(event.at),
            decider=event.decider,
            before=None if event.before is None else self._path(event.before),
            after=None if event.after is None else self._path(event.after),
            reason=event.reason,
        )

    def _path(self, path: Path) -> list[str]:
        return [self._name(node) for node in path]

    def _name(self, node: NodeId) -> str:
        return self._names.get(node, f"#{node}")


class PastView(View):
    """Names and figures as a decision of the past knew them."""

    def __init__(self, service: Service, decision: Decision) -> None:
        super().__init__(service, decision.now)
        self._decision = decision
        self._names |= {vertex.id: vertex.name for vertex in decision.vertices}

    def find(self, name: str) -> NodeId | None:
        """Return who had that name when it was decided."""
        return next((vertex.id for vertex in self._decision.vertices if vertex.name == name), None)

    def past_explanation(
        self, source: NodeId, destination: NodeId, class_id: int, events: Sequence[RouteEvent]
    ) -> Explanation | None:
        """Return why the route was as it was, by making the decision again; ``events`` are the changes until
        then.
        """
        route = self._decision.explain(source, destination, class_id, REJECTED)
        if route is None:
            return None
        chosen = next((e for e in events if e.decider == "controller" and e.after == route.paths[0]), None)
        if chosen is not None:  # the primary was chosen when it was, for what it was
            route = replace(route, reason=chosen.reason, decided_at=chosen.at)
        return self._explanation(
            source, route, self._decision.services[class_id], events, {}, self._decision.now.unix_s
        )


def token_models(service: Service) -> list[TokenModel]:
    """Return all tokens, newest first."""
    now = time.time()
    return [token_model(token, now) for token in service.state.store.tokens()]


def _number(value: float, digits: int) -> float | None:
    return round(float(value), digits) if math.isfinite(value) else None
