"""``/v1/stream``: what changes, as it changes, as server-sent events. I/O: one answer that does not end.

First comes the state, then what is other than it was: whoever lost the stream begins anew and misses nothing.
Messages wait for their reader, not the other way round: as long as one does not read, nothing is made for it,
and what it gets next is the difference to what it last got. Called by `controller.api.app`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Annotated, Any, Final, cast

import msgspec
import numpy as np
from fastapi import APIRouter, HTTPException, Query
from msgspec.structs import replace
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from controller.api.access import Access, Cookie
from controller.api.events import models
from controller.api.models import Problem
from controller.api.past import Metric, matrix, rounded, values_of
from controller.registry import Node, timestamp
from controller.server.archive import Moment
from controller.server.news import MOST_LISTENERS
from controller.server.service import Service, now
from controller.topology.quantise import F32
from overlayd.model.ids import NodeId

PACE_S: Final = 1.0
PACE_OF_A_LINK_S: Final = 1e-5
"""A thousand nodes have a million links: their figures are told each ten seconds, as nobody reads faster."""
HEARTBEAT_S: Final = 5.0
SEND_S: Final = 30.0
"""A reader that takes nothing for so long is let go."""
LAST_SEND_S: Final = 1.0
_METRICS: Final = ("rtt", "loss", "residual")


def add_stream(router: APIRouter, service: Service, access: Access) -> None:
    """Add the endpoint to ``router``."""

    @router.get(
        "/stream",
        response_class=Response,
        responses={200: {"content": {"text/event-stream": {}}}, 503: {"model": Problem}},
    )
    async def stream(
        cookie: Cookie,
        metrics: Annotated[str, Query(description="Of links: rtt, loss, residual, by commas.")] = "",
    ) -> Response:
        """What changes, as server-sent events. `nodes`: nodes that are other than they were (all, at first)
        and the names of those that are gone; `matrix`: a `LinkMatrix`; `cells`: figures of it that are others
        now, as from, to, value and again, by place in `nodes`; `seen`: when nodes were heard last; `routes`:
        a decision came into force; `events`: items of `/v1/events`.
        """
        wanted = tuple(dict.fromkeys(one for one in metrics.split(",") if one))
        if not set(wanted) <= set(_METRICS):
            raise HTTPException(422, f"{metrics!r}: there are {', '.join(_METRICS)}")
        return EventStream(_Reader(service, cast("tuple[Metric, ...]", wanted)), access.session_end(cookie))


class EventStream(Response):
    """Sends a reader's messages until it goes, its session ends, or the controller stops."""

    media_type = "text/event-stream"

    def __init__(self, reader: "_Reader", ends_at: float | None) -> None:
        super().__init__()
        self._reader = reader
        self._ends_at = ends_at

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        news = self._reader.service.news
        with news.listening() as bell:
            if bell is None:
                said = f"{MOST_LISTENERS} streams are open already; close one"
                problem = {"code": "unavailable", "problem": said}
                await JSONResponse(problem, 503)(scope, receive, send)
                return
            headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            sending = asyncio.create_task(self._send(bell, send))
            ends = (asyncio.create_task(_gone(receive)), asyncio.create_task(news.closed.wait()))
            try:
                await asyncio.wait((sending, *ends), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (sending, *ends):
                    task.cancel()
                said, *_ = await asyncio.gather(sending, *ends, return_exceptions=True)
            if isinstance(said, Exception) and not isinstance(said, (TimeoutError, OSError)):
                raise said
            with suppress(TimeoutError, OSError):
                async with asyncio.timeout(LAST_SEND_S):
                    await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, bell: asyncio.Event, send: Send) -> None:
        while self._ends_at is None or time.time() < self._ends_at:
            bell.clear()
            async for message in self._reader.messages():
                await _pass_on(send, message)
            await asyncio.sleep(PACE_S)
            try:
                await asyncio.wait_for(bell.wait(), HEARTBEAT_S)
            except TimeoutError:
                await _pass_on(send, b":\n\n")


async def _pass_on(send: Send, message: bytes) -> None:
    async with asyncio.timeout(SEND_S):
        await send({"type": "http.response.body", "body": message, "more_body": True})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class _Reader:
    """What one listener was last told, and from it what is news to it."""

    def __init__(self, service: Service, metrics: tuple[Metric, ...]) -> None:
        self.service = service
        self._metrics = metrics
        self._nodes: dict[NodeId, Node] = {}
        self._seen: dict[NodeId, str | None] = {}
        self._versions = (-1, -1)
        self._told = service.news.told
        self._ids: tuple[NodeId, ...] | None = None
        self._values: dict[Metric, F32] = {}
        self._links_at = -1.0

    async def messages(self) -> AsyncIterator[bytes]:
        """Yield what is news since the last call; everything the first time."""
        news = self.service.news
        if self._versions != (versions := (news.nodes, news.routes)):
            if self._versions[0] != versions[0]:
                for message in self._of_nodes():
                    yield message
            if self._versions[1] != versions[1]:
                yield self._of_routes()
            self._versions = versions
        if entries := news.since(self._told):
            self._told = news.told
            items = [one.model_dump(mode="json", by_alias=True) for one in models(self.service, entries)]
            yield _message("events", {"items": items})
        number = len(self.service.core.topology)
        if time.monotonic() - self._links_at >= max(PACE_S, number * number * PACE_OF_A_LINK_S):
            self._links_at = time.monotonic()
            async for message in self._of_links():
                yield message

    def _of_nodes(self) -> Iterator[bytes]:
        current = {node: _timeless(member.node) for node, member in self.service.members.items()}
        changed = [one for node, one in sorted(current.items()) if self._nodes.get(node) != one]
        gone = [one.metadata.name for node, one in self._nodes.items() if node not in current]
        self._nodes = current
        if changed or gone or self._versions[0] < 0:
            yield _message("nodes", {"items": changed, "gone": gone})

    def _of_routes(self) -> bytes:
        core = self.service.core
        decided = core.decided_at
        facts: dict[str, Any] = {
            "generation": core.publication.generation,
            "routes": core.book.number,
            "decidedAt": None if decided is None else timestamp(decided),
        }
        return _message("routes", facts)

    async def _of_links(self) -> AsyncIterator[bytes]:
        names = self.service.names
        seen = {node: member.node.status.last_seen for node, member in self.service.members.items()}
        fresh = {names[node]: at for node, at in seen.items() if self._seen.get(node) != at}
        if fresh:
            self._seen = seen
            yield _message("seen", fresh)
        present = now()
        span_s = self.service.state.config.decisions.telemetry_interval
        moment = Moment(present.unix_s, span_s, self.service.core.frame(present))
        same = moment.frame.ids == self._ids
        self._ids = moment.frame.ids
        for metric in self._metrics:
            before = self._values.get(metric) if same else None
            self._values[metric], message = await asyncio.to_thread(_figures, moment, metric, names, before)
            if message is not None:
                yield message


def _figures(
    moment: Moment, metric: Metric, names: dict[NodeId, str], before: F32 | None
) -> tuple[F32, bytes | None]:
    """Return the figures of a moment, and what tells them to who knows those ``before``; None: nothing is
    new.
    """
    values = values_of(moment.frame, metric)
    if before is None:
        return values, _event("matrix", matrix(moment, metric, names))
    other = (values != before) & ~(np.isnan(values) & np.isnan(before))
    places = np.argwhere(other)
    if not len(places):
        return values, None
    if 3 * len(places) > values.size:  # three numbers a cell: the whole is shorter
        return values, _event("matrix", matrix(moment, metric, names))
    figures = rounded(values[other])
    told = zip(places.tolist(), figures.tolist(), strict=True)
    cells = [part for (a, b), value in told for part in (a, b, value)]
    return values, _message("cells", {"metric": metric, "at": timestamp(moment.at), "cells": cells})


def _timeless(node: Node) -> Node:
    """Return a node without what changes with each of its reports."""
    return replace(node, status=replace(node.status, last_seen=None))


def _message(name: str, data: object) -> bytes:
    return _event(name, msgspec.json.encode(data))  # NaN becomes null


def _event(name: str, data: bytes) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"
