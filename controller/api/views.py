"""From the controller's own objects to the API's models: reads the service, changes nothing."""

import math
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TypeAlias

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

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
from controller.core.changes import FIRST
from controller.core.controller import PathReport
from controller.core.decision import Decision
from controller.core.messages import Instant, RouteEvent
from controller.enrolment.tokens import TokenGrant
from controller.planner.search import ABSENT
from controller.prediction.forecast import Forecast
from controller.registry import Node, timestamp
from controller.server.service import Service
from controller.topology.links import Bool
from overlayd.model.ids import NodeId, Path
from overlayd.model.route import Candidate, Route
from overlayd.model.service import ServiceClass
from overlayd.model.words import primary_in_words

Keys: TypeAlias = NDArray[np.intp]
Shape: TypeAlias = tuple[int, ...]

REJECTED = 8


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
        self._names = service.names

    def link_keys(self) -> tuple[Keys, Shape]:
        """Return which links were ever spoken of, as places in [from, to] laid flat."""
        shape = self._forecast.known.shape  # first: whoever arrived gets a place by it
        up = self._service.core.topology.latest.up
        return np.flatnonzero((up >= 0) | (up.T >= 0)), shape

    def links(self, keys: Keys) -> list[LinkModel]:
        """Return the links of these places."""
        forecast = self._forecast
        names = [vertex.name for vertex in self._service.core.topology.vertices]
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
            for a, b in ((int(key) // len(names), int(key) % len(names)) for key in keys)
        ]

    @cached_property
    def _forecast(self) -> Forecast:
        return self._service.core.forecast(self._now)

    def route_keys(
        self, source: NodeId | None, destination: NodeId | None, class_id: int | None
    ) -> tuple[Keys, Shape]:
        """Return which routes in force fit, as places in [from, to, class] laid flat."""
        core = self._service.core
        first = core.book.table.relays[..., 0, 0].transpose(1, 2, 0)
        there: Bool = first != ABSENT
        index = core.topology.index
        sources, destinations, classes = np.ogrid[tuple(slice(length) for length in there.shape)]
        if source is not None:
            there &= sources == index.get(source, ABSENT)
        if destination is not None:
            there &= destinations == index.get(destination, ABSENT)
        if class_id is not None:
            there &= classes == class_id
        return np.flatnonzero(there), there.shape

    def routes(self, keys: Keys) -> list[RouteModel]:
        """Return the routes of these places."""
        core = self._service.core
        ids = [vertex.id for vertex in core.topology.vertices]
        places = ((int(key) // len(core.services), int(key) % len(core.services)) for key in keys)
        found = (self.route(ids[ends // len(ids)], ids[ends % len(ids)], c) for ends, c in places)
        return [route for route in found if route is not None]

    def route(self, source: NodeId, destination: NodeId, class_id: int) -> RouteModel | None:
        """Return a route in force; None if there is none."""
        route = self._service.core.explain(source, destination, class_id, 0)
        if route is None:
            return None
        return RouteModel(
            source=self._name(source),
            destination=self._name(route.destination),
            class_=self._service.core.services[route.class_id].name,
            paths=[self._path(path) for path in route.paths],
            reason=route.reason or primary_in_words(route),
            decider=route.decider,
            decided_at=timestamp(route.decided_at),
        )

    def explanation(
        self, source: NodeId, destination: NodeId, class_id: int, events: Sequence[RouteEvent]
    ) -> Explanation | None:
        """Return why the route is as it is; None if there is none. ``events`` are its newest changes."""
        core = self._service.core
        route = core.explain(source, destination, class_id, REJECTED)
        if route is None:
            return None
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
            reason = route.reason if chosen.reason == FIRST else chosen.reason
            route = replace(route, reason=reason, decided_at=chosen.at)
        return self._explanation(
            source, route, self._decision.services[class_id], events, {}, self._decision.now.unix_s
        )


def token_models(service: Service) -> list[TokenModel]:
    """Return all tokens, newest first."""
    now = time.time()
    return [token_model(token, now) for token in service.state.store.tokens()]


def _number(value: float, digits: int) -> float | None:
    return round(float(value), digits) if math.isfinite(value) else None
