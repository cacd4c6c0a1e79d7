"""The ``log`` of a pod: read on its node, over the channel that the node opened. I/O.

What ``kubectl logs`` asks for and is told, in Kubernetes' words (``PodLogOptions``).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from datetime import datetime

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from controller.orchestration.nodes.presence import Log, Presence
from controller.orchestration.objects.causes import Cause, invalid
from controller.orchestration.objects.problems import Problem, bad_request
from controller.orchestration.objects.schema import Object
from controller.orchestration.serving.asking import truth
from controller.orchestration.serving.channel import LogFailed
from overlayd.protocol.workload import LogRequest

OPENING_S = 10.0
"""A node that is connected says within this time whether there is such a log."""


async def log_of(pod: Object, query: Mapping[str, str], presence: Presence) -> Response:
    """Answer with a log as it comes. Raises :class:`Problem`: 400 for a container that is none or has no log,
    503 where its node is away.
    """
    name: str = pod["metadata"]["name"]
    limit = _number(name, query, "limitBytes", 1)
    container = _container(name, pod, query.get("container", ""))
    since_s = _since(name, query)
    tail = _number(name, query, "tailLines", 0)
    node: str = pod["spec"].get("nodeName", "")
    if not node:
        raise bad_request(f"pod {name} does not have a host assigned")
    session = presence.session(node)
    if session is None:
        said = f'node "{node}" is not connected to the controller; the logs of its pods are kept there'
        raise Problem(503, "ServiceUnavailable", said)
    log = session.read(
        LogRequest(
            id=session.next_log(),
            pod=pod["metadata"]["uid"],
            container=container,
            follow=truth(query, "follow"),
            tail_lines=tail,
            since_seconds=since_s,
            timestamps=truth(query, "timestamps"),
            previous=truth(query, "previous"),
        )
    )
    try:
        first = await asyncio.wait_for(anext(log, b""), OPENING_S)
    except TimeoutError as error:
        log.close()
        raise Problem(504, "Timeout", f'node "{node}" did not answer within {OPENING_S:g} s') from error
    except LogFailed as error:
        raise bad_request(str(error)) from error
    return _Reading(log, first, limit)


class _Reading(StreamingResponse):
    """A log on its way; the node is told when nobody reads it any more, also if that is before it began."""

    def __init__(self, log: Log, first: bytes, limit: int | None) -> None:
        super().__init__(_text(log, first, limit), media_type="text/plain")
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._log.close()


async def _text(log: Log, first: bytes, limit: int | None) -> AsyncIterator[bytes]:
    """Yield a log; why it broke off is its last line, as there is no other place any more."""
    left = limit if limit is not None else 1 << 62
    try:
        yield first[:left]
        left -= len(first)
        async for data in log:
            yield data[: max(0, left)]
            left -= len(data)
            if left <= 0:
                return
    except LogFailed as error:
        yield f"\nthe log breaks off: {error}\n".encode()


def _container(name: str, pod: Object, asked: str) -> str:
    there: list[str] = [one["name"] for one in pod["spec"].get("containers", [])]
    if asked and asked not in there:
        raise bad_request(f"container {asked} is not valid for pod {name}")
    if not asked and len(there) != 1:
        listed = " ".join(there)
        raise bad_request(f"a container name must be specified for pod {name}, choose one of: [{listed}]")
    return asked or there[0]


def _since(name: str, query: Mapping[str, str]) -> float | None:
    seconds = _number(name, query, "sinceSeconds", 1)
    moment = query.get("sinceTime")
    if moment is None:
        return seconds
    if seconds is not None:
        said = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"
        raise _rejected(name, Cause("FieldValueForbidden", "sinceTime", said))
    try:
        return max(0.0, time.time() - datetime.fromisoformat(moment).timestamp())
    except ValueError as error:
        raise bad_request(f'sinceTime: "{moment}" is no time in the form of RFC 3339') from error


def _number(name: str, query: Mapping[str, str], key: str, least: int) -> int | None:
    said = query.get(key)
    if said is None:
        return None
    try:
        number = int(said)
    except ValueError as error:
        raise bad_request(f'{key}: strconv.ParseInt: parsing "{said}": invalid syntax') from error
    if number < least:
        wrong = "must be greater than 0" if least else "must be greater than or equal to 0"
        raise _rejected(name, invalid(key, number, wrong))
    return number


def _rejected(name: str, cause: Cause) -> Problem:
    details = {
        "name": name,
        "kind": "PodLogOptions",
        "causes": [{"reason": cause.reason, "message": cause.message, "field": cause.field}],
    }
    return Problem(422, "Invalid", f'PodLogOptions "{name}" is invalid: {cause}', details)
