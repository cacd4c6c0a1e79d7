"""The agent's channel to its controller: one WebSocket over mutual TLS, opened again whenever it is
lost.

Messages are msgpack (`overlayd.protocol.controller`). Nothing is decided here: what comes is handed on;
what is handed in is sent or, without a channel, dropped (the next Hello says what matters). I/O.
"""

import asyncio
import contextlib
import logging
import random
import ssl
from collections.abc import Callable
from typing import TypeAlias
from urllib.parse import urlsplit

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from overlayd.agent.messages import ControllerConnected, ControllerLost
from overlayd.daemon.log import fields
from overlayd.daemon.state import AgentState
from overlayd.daemon.tls import NotTheController, check_controller, joining_context, member_context
from overlayd.protocol import compact, controller, reflexive, routes
from overlayd.protocol.token import JoinToken

LOG = logging.getLogger(__name__)
SUBPROTOCOL = Subprotocol("overlayd.v1")
COMPACT = Subprotocol(compact.SUBPROTOCOL)
ROUTES = Subprotocol(routes.SUBPROTOCOL)
REFLEXIVE = Subprotocol(reflexive.SUBPROTOCOL)
JOIN_PATH = "/v1/join"
AGENT_PATH = "/v1/agent"
OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.0
"""A controller that cannot be reached does not hold up the end of this process."""
LONGEST_RETRY_S = 60.0
STABLE_S = 60.0
_QUEUE = 256

Handler: TypeAlias = Callable[[controller.ToAgent | ControllerConnected | ControllerLost], None]


class JoinError(Exception):
    """The controller said no, or was not reached; nothing was stored.

    ``code`` as in ``controller.Denied``.
    """

    def __init__(self, code: str, problem: str) -> None:
        super().__init__(problem)
        self.code = code


class ControllerChannel:
    """``run`` until cancelled. Everything that arrives goes to ``handle``, in order."""

    def __init__(
        self, url: str, state: AgentState, handle: Handler, spread_s: float, rng: random.Random
    ) -> None:
        self._url = url.rstrip("/") + AGENT_PATH
        self._state = state
        self._handle = handle
        self.spread_s = spread_s
        self._rng = rng
        self._queue: asyncio.Queue[controller.FromAgent] = asyncio.Queue(_QUEUE)
        self._connection: ClientConnection | None = None

    async def run(self) -> None:
        """Hold the channel open.

        After a loss all agents of a network want back at once: the first attempt is spread over
        ``spread_s``, and each further one over twice the time of the one before, up to a minute (full
        jitter).
        """
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            started = loop.time()
            problem = await self._hold_open()
            failures = 0 if loop.time() - started >= STABLE_S else failures + 1
            self._handle(ControllerLost(problem))
            longest_s = min(self.spread_s * 2 ** min(failures, 16), LONGEST_RETRY_S)
            await asyncio.sleep(self._rng.uniform(0, longest_s))

    def send(self, message: controller.FromAgent) -> None:
        """Queue a message; when the controller does not take them any more, the oldest goes."""
        if self._connection is None:
            return
        if self._queue.full():
            self._drop_oldest()
        self._queue.put_nowait(message)

    def reconnect(self, reason: str) -> None:
        """Close the channel; ``run`` opens it again."""
        LOG.info("reconnecting to the controller", extra=fields(reason=reason))
        if self._connection is not None:
            self._connection.transport.abort()

    def _drop_oldest(self) -> None:
        self._queue.get_nowait()
        self._queue.task_done()

    async def _hold_open(self) -> str:
        """One connection from its opening to its end; returns why it ended."""
        try:
            context = member_context(self._state)
            async with _connect(self._url, context) as connection:
                check_controller(connection.transport.get_extra_info("ssl_object"))
                return await self._talk(connection)
        except (OSError, TimeoutError, WebSocketException, NotTheController) as error:
            return explain(error)
        finally:
            self._connection = None

    async def _talk(self, connection: ClientConnection) -> str:
        self._connection = connection
        while not self._queue.empty():
            self._drop_oldest()
        self._handle(ControllerConnected())
        sender = asyncio.create_task(self._send_all(connection))
        decoder = msgspec.msgpack.Decoder(controller.ToAgent | routes.CompactMesh)
        try:
            async for data in connection:
                try:
                    message = decoder.decode(data if isinstance(data, bytes) else data.encode())
                    if isinstance(message, routes.CompactMesh):
                        message = routes.mesh_of(message)
                except (msgspec.DecodeError, routes.BadColumns) as error:
                    LOG.warning("controller message ignored", extra=fields(problem=error))
                    continue
                self._handle(message)
        except asyncio.CancelledError:
            await connection.close()  # a farewell; the context would report a failure instead
            raise
        finally:
            sender.cancel()
        return "the controller closed the channel"

    async def _send_all(self, connection: ClientConnection) -> None:
        encoder = msgspec.msgpack.Encoder()
        columns = compact.Encoder() if connection.subprotocol in (REFLEXIVE, ROUTES, COMPACT) else None
        with contextlib.suppress(WebSocketException, OSError):
            while True:
                message = await self._queue.get()
                try:
                    if isinstance(message, reflexive.Sightings) and connection.subprotocol != REFLEXIVE:
                        continue
                    if columns is not None and isinstance(message, controller.Telemetry):
                        await connection.send(encoder.encode(columns.encode(message)))
                    else:
                        await connection.send(encoder.encode(message))
                finally:
                    self._queue.task_done()


async def join(token: JoinToken, request: controller.JoinRequest) -> controller.Joined:
    """Ask the controller that ``token`` names to be let in. Raises :class:`JoinError`."""
    place = urlsplit(token.url)
    if place.scheme != "wss" or not place.hostname:
        raise JoinError("bad-token", f"the token's address {token.url!r} is not of the form wss://host:port")
    try:
        context = await joining_context(place.hostname, place.port or 443, token.pin, OPEN_TIMEOUT_S)
        async with _connect(token.url.rstrip("/") + JOIN_PATH, context) as connection:
            check_controller(connection.transport.get_extra_info("ssl_object"))
            await connection.send(msgspec.msgpack.encode(request))
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                data = await connection.recv()
    except NotTheController as error:
        raise JoinError("untrusted", str(error)) from error
    except (OSError, TimeoutError, WebSocketException) as error:
        raise JoinError("unreachable", f"{token.url}: {explain(error)}") from error
    try:
        answer = msgspec.msgpack.decode(
            data if isinstance(data, bytes) else data.encode(), type=controller.Joined | controller.Denied
        )
    except msgspec.DecodeError as error:
        raise JoinError("protocol", f"{token.url} answered something else: {error}") from error
    if isinstance(answer, controller.Denied):
        raise JoinError(answer.code, answer.problem)
    return answer


def _connect(url: str, context: ssl.SSLContext) -> connect:
    return connect(
        url,
        ssl=context,
        subprotocols=[REFLEXIVE, ROUTES, COMPACT, SUBPROTOCOL],
        max_size=controller.MAX_MESSAGE_BYTES,
        open_timeout=OPEN_TIMEOUT_S,
        close_timeout=CLOSE_TIMEOUT_S,
        compression=None,
        proxy=None,
    )


def explain(error: BaseException) -> str:
    """Return one line for a person."""
    if isinstance(error, InvalidStatus):
        body = bytes(error.response.body or b"")[:200].decode(errors="replace").strip()
        return f"HTTP {error.response.status_code} {body}".strip()
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__
