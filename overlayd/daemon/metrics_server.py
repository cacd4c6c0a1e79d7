"""Answers `GET /metrics` for Prometheus. I/O: one listening TCP socket, on the agent's loop.

The answer is made anew for each question; nothing is kept. Plain HTTP without a login, as exporters are:
bind it to loopback or to an address that only the collector reaches. Called by `overlayd.daemon.agent`.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable
from http import HTTPStatus

from prometheus_client.core import CollectorRegistry, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from overlayd.daemon.errors import StartError

IP_FREEBIND = 15  # Linux; Python has no name for it

_QUIET = logging.getLogger("overlayd.metrics.http")
_QUIET.setLevel(logging.CRITICAL)  # each answer that is no WebSocket would be a line of log


class MetricsServer:
    """Serves what ``collect`` gives at ``host:port``."""

    def __init__(self, host: str, port: int, collect: Callable[[], Iterable[Metric]]) -> None:
        self._host = host
        self._port = port
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Collector(collect))
        self._server: Server | None = None

    async def start(self) -> int:
        """Listen; return the port. Raises :class:`StartError` if the port is taken.

        The address may come later: that of the overlay is there only once the host is a member.
        """
        try:
            self._server = await serve(
                _no_websocket,
                sock=_bound(self._host, self._port),
                process_request=self._answer,
                logger=_QUIET,
            )
        except OSError as error:
            raise StartError(f"metrics.listen: {self._host} port {self._port}: {error.strerror}") from error
        return next(iter(self._server.sockets)).getsockname()[1]

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def _answer(self, _: ServerConnection, request: Request) -> Response:
        if request.path.partition("?")[0] != "/metrics":
            return _response(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", b"try /metrics\n")
        return _response(HTTPStatus.OK, CONTENT_TYPE_PLAIN_0_0_4, generate_latest(self._registry))


def _bound(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_IP, IP_FREEBIND, 1)
        if listener.family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


class _Collector:
    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self.collect = collect


def _response(status: HTTPStatus, content_type: str, body: bytes) -> Response:
    headers = Headers()
    headers["Content-Type"] = content_type
    headers["Content-Length"] = str(len(body))
    headers["Connection"] = "close"
    return Response(status.value, status.phrase, headers, body)


async def _no_websocket(connection: ServerConnection) -> None:
    await connection.close()
    await asyncio.sleep(0)
