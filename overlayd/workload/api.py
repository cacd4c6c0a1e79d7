"""The controller's API as a node uses it: its pods and its steering, followed; what it says of them.
I/O: HTTPS.

The node is known by the agent's certificate, and may do just this
(`controller.orchestration.serving.access`).
Used by the unit alone (`overlayd.workload.unit`).
"""

import asyncio
import json
import logging
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Literal, TypeVar

import aiohttp
import msgspec

from overlayd.daemon.log import fields
from overlayd.protocol.pod import FINALIZER, Pod, PodStatus
from overlayd.protocol.steering import Steering, SteeringSpec
from overlayd.workload.credentials import Credentials
from overlayd.workload.errors import Refused, Unreachable
from overlayd.workload.replica import Expired, Replica, Status
from overlayd.workload.retry import Retry

LOG = logging.getLogger(__name__)

SPREAD_S = 2.0
TIMEOUT_S = 30.0
SILENT_S = 150.0
"""Bookmarks come each minute: a watch on which nothing has come for so long is dead."""
MOST_LINE = 16 * 1024 * 1024
_MERGE = "application/merge-patch+json"
_PODS, _STEERINGS = "/api/v1/pods", "/apis/overlayd.io/v1/steerings"
_ATTEMPTS = 5
_T = TypeVar("_T")


class Api:
    """An ``async with`` block of one node's requests to the API at ``url`` (``https://HOST:PORT``)."""

    def __init__(
        self, url: str, credentials: Credentials, node: str, rng: random.Random, *, spread_s: float = SPREAD_S
    ) -> None:
        self._url = url.rstrip("/")
        self._credentials = credentials
        self._node = node
        self._rng = rng
        self._spread_s = spread_s
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Api":
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        self._session = aiohttp.ClientSession(timeout=timeout, headers={"User-Agent": "overlayd-workload"})
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    # What the node is told

    async def pods(self) -> AsyncGenerator[tuple[Pod, ...]]:
        """Yield all pods of this node, again at each change, for ever. A controller that is away changes
        nothing.
        """
        async for pods in self._follow(_PODS, f"spec.nodeName={self._node}", Pod):
            yield pods

    async def steering(self) -> AsyncGenerator[SteeringSpec | None]:
        """Yield how this node's users are steered, again at each change; None: not at all."""
        async for found in self._follow(_STEERINGS, f"metadata.name={self._node}", Steering):
            yield found[0].spec if found else None

    # What it tells

    async def patch_status(self, pod: Pod, status: PodStatus) -> None:
        """Write a pod's status, all of it. Raises :class:`Refused` (409: there is another pod of its name),
        :class:`Unreachable`.
        """
        said: dict[str, Any] = msgspec.to_builtins(status)
        whole = {
            field.encode_name: said.get(field.encode_name) for field in msgspec.structs.fields(PodStatus)
        }
        body = {"metadata": {"uid": pod.metadata.uid}, "status": whole}
        await self._request("PATCH", f"{_path(pod)}/status", body)

    async def release(self, pod: Pod) -> None:
        """Say that a pod is stopped, so that it may go. One that is gone is none any more. Raises
        :class:`Refused`, :class:`Unreachable`.
        """
        for attempt in range(_ATTEMPTS):
            try:
                found = msgspec.json.decode(await self._request("GET", _path(pod)), type=Pod).metadata
                if found.uid != pod.metadata.uid or FINALIZER not in found.finalizers:
                    return
                left = [one for one in found.finalizers if one != FINALIZER]
                meta = {"uid": found.uid, "resourceVersion": found.resource_version, "finalizers": left}
                await self._request("PATCH", _path(pod), {"metadata": meta})
                return
            except Refused as refused:
                if refused.code in (403, 404):  # gone, or another of its name that is not of this node
                    return
                if refused.code != 409 or attempt == _ATTEMPTS - 1:
                    raise

    async def happened(
        self, pod: Pod, type_: Literal["Normal", "Warning"], reason: str, message: str, unix_s: float
    ) -> None:
        """Tell an event of a pod. Raises :class:`Refused`, :class:`Unreachable`."""
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(unix_s))
        meta = pod.metadata
        about = {"apiVersion": "v1", "kind": "Pod", "namespace": meta.namespace, "name": meta.name}
        event = {
            "metadata": {"generateName": f"{meta.name}."},
            "involvedObject": about | {"uid": meta.uid},
            "type": type_,
            "reason": reason,
            "message": message,
            "count": 1,
            "firstTimestamp": at,
            "lastTimestamp": at,
            "source": {"component": "overlayd-workload"},
            "reportingComponent": "overlayd-workload",
        }
        await self._request("POST", f"/api/v1/namespaces/{meta.namespace}/events", event)

    # How

    async def _follow(self, path: str, selector: str, type_: type[_T]) -> AsyncGenerator[tuple[_T, ...]]:
        replica, retry = Replica(type_), Retry(self._spread_s, self._rng)
        clock = asyncio.get_running_loop().time
        trouble = ""
        while True:
            began = clock()
            try:
                if not replica.version:
                    replica.listed(await self._request("GET", path, query={"fieldSelector": selector}))
                    self._report_unread(replica)
                    trouble = ""
                    yield replica.objects()
                async for line in self._watch(path, selector, replica.version):
                    if replica.changed(line):
                        self._report_unread(replica)
                        yield replica.objects()
                problem = ""
            except Expired:
                replica.version = problem = ""
            except Refused as refused:
                problem = f"{refused.code} {refused}"
                replica.version = "" if refused.code == 410 else replica.version
            except (Unreachable, msgspec.DecodeError) as error:
                problem = str(error)
            if problem and problem != trouble:
                LOG.warning(
                    "the controller does not tell what to run", extra=fields(path=path, problem=problem)
                )
            trouble = problem or trouble
            if problem:
                await asyncio.sleep(retry.wait_s(clock() - began))

    async def _watch(self, path: str, selector: str, version: str) -> AsyncIterator[bytes]:
        query = {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": version}
        timeout = aiohttp.ClientTimeout(total=None, connect=TIMEOUT_S, sock_read=SILENT_S)
        try:
            async with self._open(
                "GET", path, query | {"fieldSelector": selector}, timeout=timeout
            ) as answer:
                if answer.status >= 400:
                    raise _refusal(answer.status, await answer.read())
                waiting = bytearray()
                async for part in answer.content.iter_any():
                    waiting += part
                    *lines, rest = waiting.split(b"\n")
                    waiting = rest
                    for line in lines:
                        yield bytes(line)
                    if len(waiting) > MOST_LINE:
                        raise Unreachable(f"{self._url} sends lines without an end")
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unreachable(_said(self._url, error)) from error

    async def _request(
        self, method: str, path: str, body: object = None, query: Mapping[str, str] | None = None
    ) -> bytes:
        try:
            async with self._open(method, path, query or {}, body) as answer:
                content = await answer.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unreachable(_said(self._url, error)) from error
        if answer.status >= 400:
            raise _refusal(answer.status, content)
        return content

    def _open(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: object = None,
        timeout: aiohttp.ClientTimeout | None = None,
    ) -> Any:
        assert self._session is not None, "used within its block"
        media = _MERGE if method == "PATCH" else "application/json"
        more: dict[str, Any] = {} if timeout is None else {"timeout": timeout}
        if body is not None:
            more |= {"data": json.dumps(body).encode(), "headers": {"Content-Type": media}}
        return self._session.request(
            method, self._url + path, params=query, ssl=self._credentials.context(), **more
        )

    @staticmethod
    def _report_unread(replica: Replica[Any]) -> None:
        for (namespace, name), problem in replica.unread.items():
            LOG.error("not understood", extra=fields(namespace=namespace, name=name, problem=problem))


def _path(pod: Pod) -> str:
    return f"/api/v1/namespaces/{pod.metadata.namespace}/pods/{pod.metadata.name}"


def _refusal(code: int, body: bytes) -> Refused:
    try:
        said = msgspec.json.decode(body, type=Status)
    except msgspec.DecodeError:
        return Refused(code, "", body[:200].decode(errors="replace").strip())
    return Refused(code, said.reason, said.message)


def _said(url: str, error: BaseException) -> str:
    return f"{url}: no answer in time" if isinstance(error, TimeoutError) else f"{url}: {error}"
