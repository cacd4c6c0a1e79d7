"""Questions about a moment, this one or one of the past: the matrix of links, why a route is what it is, and
how it came to be.

What takes long is done in threads, so that agents are served meanwhile. Called by `controller.api.app`.
"""

import asyncio
from typing import Annotated, Literal

import msgspec
import numpy as np
from fastapi import APIRouter, HTTPException, Query, Response

from controller.api.asking import (
    MISSING,
    ClassName,
    MomentText,
    NodeName,
    find_class,
    find_node,
    unix_seconds,
)
from controller.api.models import Explanation, LinkMatrix, RouteChange, RouteHistory
from controller.api.views import PastView, View
from controller.enrolment.errors import NotAMember
from controller.registry import timestamp
from controller.server.archive import Moment
from controller.server.service import Service, now
from controller.topology.frames import LinkFrame
from controller.topology.quantise import F32
from overlayd.model.ids import NodeId

Metric = Literal["rtt", "loss", "residual"]
DIGITS = 3
HISTORY = 20
"""Changes of a route that are told with its explanation, at most."""


def add_past(router: APIRouter, service: Service) -> None:
    """Add the endpoints to ``router``."""

    @router.get("/links/matrix", responses=MISSING, response_model=LinkMatrix)
    async def link_matrix(metric: Metric = "rtt", at: MomentText = None) -> Response:
        """One figure of all links, now or at any time that history reaches back to."""
        moment = await _moment(service, at)
        body = await asyncio.to_thread(matrix, moment, metric, service.names)
        return Response(body, media_type="application/json")

    @router.get("/routes/history", responses=MISSING)
    async def route_history(
        src: NodeName,
        dst: NodeName,
        class_: ClassName = None,
        until: MomentText = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> RouteHistory:
        """Changes of the primary from one node to another, newest first: who decided them, and why."""
        source, destination = find_node(service, src), find_node(service, dst)
        number = None if class_ is None else find_class(service, class_)
        last = None if until is None else unix_seconds(until)
        events = await asyncio.to_thread(service.archive.changes, source, destination, number, limit, last)
        view, classes = View(service, now()), service.core.services
        items = [
            RouteChange(**view.event(event).model_dump(), class_=classes[event.class_id].name)
            for event in events
            if event.class_id < len(classes)
        ]
        return RouteHistory(source=src, destination=dst, items=items)

    @router.get("/explain", responses=MISSING)
    async def explain(
        src: NodeName, dst: NodeName, class_: ClassName = None, at: MomentText = None
    ) -> Explanation:
        """Why traffic takes the path it takes, or took: chosen and rejected paths, forecast beside
        measurement.
        """
        number = 0 if class_ is None else find_class(service, class_)
        if at is not None:
            return await asyncio.to_thread(_explain_past, service, src, dst, number, unix_seconds(at))
        source, destination = find_node(service, src), find_node(service, dst)
        events = await asyncio.to_thread(
            service.archive.changes, source, destination, number, HISTORY, until=None
        )
        found = View(service, now()).explanation(source, destination, number, events)
        if found is None:
            raise HTTPException(
                404, f"there is no route from {src} to {dst} yet; traffic takes the direct path"
            )
        return found


def _explain_past(service: Service, src: str, dst: str, class_id: int, unix_s: float) -> Explanation:
    decision = service.archive.decision(unix_s)
    if decision is None:
        raise HTTPException(404, f"no decision is kept that was in force at {timestamp(unix_s)}")
    view = PastView(service, decision)
    source, destination = view.find(src), view.find(dst)
    if source is None or destination is None:
        missing = src if source is None else dst
        raise NotAMember(f"there was no node named {missing!r} at {timestamp(unix_s)}")
    events = service.archive.changes(source, destination, class_id, HISTORY, unix_s)
    found = view.past_explanation(source, destination, class_id, events)
    if found is None:
        raise HTTPException(404, f"there was no route from {src} to {dst} at {timestamp(unix_s)}")
    return found


async def _moment(service: Service, at: str | None) -> Moment:
    if at is None:
        present = now()
        span_s = service.state.config.decisions.telemetry_interval
        return Moment(present.unix_s, span_s, service.core.frame(present))
    moment = await asyncio.to_thread(service.archive.at, unix_seconds(at))
    if moment is None:
        raise HTTPException(404, f"history does not tell of links at {at}")
    return moment


def matrix(moment: Moment, metric: Metric, names: dict[NodeId, str]) -> bytes:
    """Return a `models.LinkMatrix` as JSON: a million figures would take pydantic seconds."""
    document = {
        "schema": LinkMatrix.model_fields["schema_"].default,
        "metric": metric,
        "at": timestamp(moment.at),
        "spanSeconds": moment.span_s,
        "nodes": [names.get(node, f"#{node}") for node in moment.frame.ids],
        "values": rounded(values_of(moment.frame, metric)).tolist(),
    }
    return msgspec.json.encode(document)  # NaN becomes null


def values_of(frame: LinkFrame, metric: Metric) -> F32:
    match metric:
        case "rtt":
            return frame.rtt_ms()
        case "loss":
            return frame.loss()
        case "residual":
            return frame.residual()


def rounded(values: F32) -> np.ndarray:
    """Return float64 with so many digits as the codes of history tell apart."""
    wide = values.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 10.0 ** (DIGITS - 1 - np.floor(np.log10(np.abs(wide))))
        return np.where(wide == 0.0, 0.0, np.round(wide * scale) / scale)
