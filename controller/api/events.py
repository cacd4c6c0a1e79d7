"""``/v1/events``: what happened in the mesh, newest first. Reads the service.

Changes of routes come from the history in the store and reach back as far as that; what happened to nodes and
links is remembered since the controller started. Called by `controller.api.app`.
"""

import asyncio
import heapq
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Annotated, Literal

from fastapi import APIRouter, Query

from controller.api.asking import MomentText, unix_seconds
from controller.api.models import EventList, EventModel
from controller.core.changes import RouteEvent
from controller.registry import timestamp
from controller.server.news import Entry, Happening
from controller.server.service import Service
from overlayd.model.ids import Path

Kind = Literal["node", "link", "route"]


def add_events(router: APIRouter, service: Service) -> None:
    """Add the endpoint to ``router``."""

    @router.get("/events")
    async def list_events(
        kind: Kind | None = None,
        until: MomentText = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    ) -> EventList:
        """What happened, newest first: nodes and links since the controller started, changes of routes as far
        back as history goes.
        """
        last = None if until is None else unix_seconds(until)
        told: list[Happening] = []
        changes: Sequence[RouteEvent] = []
        if kind != "route":
            told = [one for one in service.news.remembered() if kind in (None, one.kind)]
            told = [one for one in told if last is None or one.at <= last]
        if kind in (None, "route"):
            changes = await asyncio.to_thread(service.archive.newest_changes, limit, last)
        both: Iterable[Entry] = heapq.merge(told, changes, key=lambda one: -one.at)
        return EventList(items=models(service, islice(both, limit)))


def models(service: Service, entries: Iterable[Entry]) -> list[EventModel]:
    """Return entries with names."""
    names, classes = service.names, service.core.services

    def named(path: Path | None) -> list[str] | None:
        return None if path is None else [names.get(node, f"#{node}") for node in path]

    def model(entry: Entry) -> EventModel:
        if not isinstance(entry, RouteEvent):
            return EventModel(
                at=timestamp(entry.at), kind=entry.kind, nodes=list(entry.nodes), reason=entry.reason
            )
        known = entry.class_id < len(classes)
        return EventModel(
            at=timestamp(entry.at),
            kind="route",
            nodes=named((entry.source, entry.destination)) or [],
            class_=classes[entry.class_id].name if known else str(entry.class_id),
            decider=entry.decider,
            before=named(entry.before),
            after=named(entry.after),
            reason=entry.reason,
        )

    return [model(entry) for entry in entries]
