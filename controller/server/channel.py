"""The agent channel: WebSocket frames of `overlayd.protocol.controller` over TLS, one session per agent.
I/O.

``/v1/ca``     HTTP GET: intermediate and root certificate (PEM), to be held against a token's pin
``/v1/join``   no certificate needed: one JoinRequest in (at most 64 KiB), Joined or Denied out
``/v1/agent``  client certificate needed: Hello first, then telemetry in and meshes out

Who speaks is taken from the verified certificate alone. A message that is malformed ends its session,
and nothing else.
"""

import asyncio
import dataclasses
import http
import logging
import ssl
from collections.abc import Callable
from email.utils import formatdate
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from controller.core.messages import Send
from controller.enrolment.errors import EnrolmentError, NotAMember
from controller.topology.reports import BadReport, Decoder, Report
from overlayd.model.ids import NodeId
from overlayd.protocol import compact, reflexive, routes
from overlayd.protocol.controller import (
    MAX_MESSAGE_BYTES,
    PROTOCOL,
    Denied,
    FromAgent,
    Hello,
    Joined,
    JoinRequest,
    Leave,
    Renewed,
    RenewRequest,
    Revoked,
    Switched,
    Telemetry,
)
from overlayd.protocol.reflexive import Sightings

LOG = logging.getLogger(__name__)

SUBPROTOCOL = "overlayd.v1"
SUBPROTOCOLS = (reflexive.SUBPROTOCOL, routes.SUBPROTOCOL, compact.SUBPROTOCOL, SUBPROTOCOL)
"""The best one that the agent offers is spoken."""
JOIN_PATH, AGENT_PATH, CA_PATH = "/v1/join", "/v1/agent", "/v1/ca"
MAX_OPENING = 256
"""Channels that may be between TLS handshake and first answer at once; more are told to come back (503)."""
HELLO_TIMEOUT_S = 10.0
OUTBOX = 64
MESSAGES_PER_S = 10
BURST = 40


class Host(Protocol):
    """What the channel asks of the process behind it (`controller.server.service`)."""

    @property
    def network_name(self) -> str: ...
    @property
    def trust_pem(self) -> str: ...
    def identify(self, leaf_der: bytes) -> NodeId: ...
    def is_member(self, node: NodeId) -> bool: ...
    def join(self, request: JoinRequest) -> Joined: ...
    def opened(self, session: "Session", hello: Hello) -> None: ...
    def received(self, session: "Session", message: Telemetry | Report | Switched | Sightings) -> None: ...
    def renew(self, session: "Session", request: RenewRequest) -> Renewed: ...
    def left(self, session: "Session") -> None: ...
    def closed(self, session: "Session", problem: str) -> None: ...


class Session:
    """One agent's open channel. What is sent waits in a bounded queue: who does not read is let go and
    comes back.
    """

    def __init__(self, node: NodeId, connection: ServerConnection) -> None:
        self.node = node
        self._connection = connection
        self._outbox: asyncio.Queue[bytes] = asyncio.Queue(OUTBOX)
        self._closing: asyncio.Task[None] | None = None

    def send(self, message: Renewed | Revoked | Denied) -> None:
        """Queue a message."""
        self.put(msgspec.msgpack.encode(message))

    def encoded(self, send: Send) -> bytes:
        """Return a mesh as this agent reads it. Touches nothing, so it may run in any thread."""
        spoken = self._connection.subprotocol
        if spoken != reflexive.SUBPROTOCOL:
            send = _plain(send)
        compact = spoken in (reflexive.SUBPROTOCOL, routes.SUBPROTOCOL)
        return msgspec.msgpack.encode(send.compact if compact else send.message)

    @property
    def host(self) -> str:
        """The address that the channel comes from."""
        return _host(self._connection)

    def put(self, message: bytes) -> None:
        """Queue an encoded message."""
        try:
            self._outbox.put_nowait(message)
        except asyncio.QueueFull:
            self.close(1013, "too slow a reader")

    def close(self, code: int, reason: str) -> None:
        """End the session after what is queued, as far as that goes through in time."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(code, reason))

    async def closed(self) -> None:
        """Wait until a close that was asked for is done."""
        if self._closing is not None:
            await asyncio.wait([self._closing])

    async def _close(self, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(2.0):
                await self._outbox.join()
        except TimeoutError:
            pass
        await self._connection.close(code, reason)

    async def write(self) -> None:
        """Write what is queued, for as long as the channel lives."""
        while True:
            message = await self._outbox.get()
            try:
                await self._connection.send(message)
            except ConnectionClosed:
                return
            finally:
                self._outbox.task_done()


class Channel:
    """Request filter and handler for `websockets.asyncio.server.serve`."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._opening: set[ServerConnection] = set()
        self._nodes: dict[ServerConnection, NodeId] = {}
        self._decoder = msgspec.msgpack.Decoder(FromAgent | compact.CompactTelemetry)
        self._join_decoder = msgspec.msgpack.Decoder(JoinRequest)

    def process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer plain requests and refuse what may not open a channel; None lets it open."""
        path = request.path.partition("?")[0]
        if path == CA_PATH:
            return _respond(http.HTTPStatus.OK, self._host.trust_pem, "application/x-pem-file")
        if path not in (JOIN_PATH, AGENT_PATH):
            return _respond(http.HTTPStatus.NOT_FOUND, "no such endpoint\n")
        if len(self._opening) >= MAX_OPENING:
            return _respond(http.HTTPStatus.SERVICE_UNAVAILABLE, "too many agents at once; try again later\n")
        if path == AGENT_PATH:
            leaf = _peer_leaf(connection)
            if leaf is None:
                return _respond(http.HTTPStatus.UNAUTHORIZED, "a client certificate is needed; join first\n")
            try:
                self._nodes[connection] = self._host.identify(leaf)
            except NotAMember as error:
                return _respond(http.HTTPStatus.FORBIDDEN, f"{error}\n")
            connection.protocol.max_message_size = MAX_MESSAGE_BYTES
        self._opening.add(connection)
        connection.connection_lost_waiter.add_done_callback(lambda _: self._forget(connection))
        return None

    async def handle(self, connection: ServerConnection) -> None:
        """Serve one channel until it closes."""
        if connection.subprotocol not in SUBPROTOCOLS:
            await connection.close(1002, f"the subprotocol {SUBPROTOCOL} is needed")
        elif (node := self._nodes.get(connection)) is None:
            await self._join(connection)
        else:
            await self._agent(connection, node)

    async def _join(self, connection: ServerConnection) -> None:
        try:
            async with asyncio.timeout(HELLO_TIMEOUT_S):
                message = await connection.recv()
        except (TimeoutError, ConnectionClosed):
            return
        try:
            answer: Joined | Denied = self._host.join(self._join_decoder.decode(_binary(message)))
        except EnrolmentError as error:
            LOG.warning("join from %s denied: %s: %s", _host(connection), error.code, error)
            answer = Denied(error.code, str(error))
        except (msgspec.DecodeError, ValueError) as error:
            answer = Denied("bad-request", f"not a join request: {error}")
        try:
            await connection.send(msgspec.msgpack.encode(answer))
        except ConnectionClosed:
            return

    async def _agent(self, connection: ServerConnection, node: NodeId) -> None:
        session = Session(node, connection)
        writer = asyncio.create_task(session.write())
        problem = "the agent closed the channel"
        opened = False
        try:
            if not self._host.is_member(node):
                await self._revoke(connection)
                return
            async with asyncio.timeout(HELLO_TIMEOUT_S):
                hello = self._decode(await connection.recv())
            if not isinstance(hello, Hello):
                raise _Refused(
                    "hello-first", f"the first message has to be a hello, not {type(hello).__name__}"
                )
            if hello.protocol != PROTOCOL:
                raise _Refused(
                    "protocol", f"protocol {hello.protocol} is spoken by the agent, {PROTOCOL} here"
                )
            self._host.opened(session, hello)
            opened = True
            self._opening.discard(connection)
            problem = await self._converse(session, connection)
        except ConnectionClosed as error:
            problem = f"the channel broke: {error}"
        except TimeoutError:
            problem = "no hello came"
        except NotAMember:
            await self._revoke(connection)
        except _Refused as error:
            problem = str(error)
            session.send(Denied(error.code, problem))
            session.close(1008, error.code)
        finally:
            if opened:
                self._host.closed(session, problem)
            await session.closed()
            writer.cancel()

    async def _converse(self, session: Session, connection: ServerConnection) -> str:
        pace = _Pace()
        columns = Decoder()
        async for data in connection:
            match self._decode(data):
                case Telemetry() | Switched() | Sightings() as message:
                    self._host.received(session, message)
                case compact.CompactTelemetry() as frame:
                    self._host.received(session, _columns(columns, frame))
                case RenewRequest() as request:
                    try:
                        session.send(self._host.renew(session, request))
                    except EnrolmentError as error:
                        session.send(Denied(error.code, str(error)))
                case Leave():
                    try:
                        self._host.left(session)
                        return "the node left the network"
                    except EnrolmentError as error:
                        session.send(Denied(error.code, str(error)))
                case Hello():
                    raise _Refused("hello-once", "a second hello on one channel")
            await pace.wait()
        return "the agent closed the channel"

    async def _revoke(self, connection: ServerConnection) -> None:
        revoked = Revoked("this node was removed from the network; join again with a new token")
        try:
            await connection.send(msgspec.msgpack.encode(revoked))
        except ConnectionClosed:
            return

    def _decode(self, frame: str | bytes) -> FromAgent | compact.CompactTelemetry:
        try:
            return self._decoder.decode(_binary(frame))
        except (msgspec.DecodeError, ValueError) as error:
            raise _Refused("malformed", f"not a message of protocol {PROTOCOL}: {error}") from error

    def _forget(self, connection: ServerConnection) -> None:
        self._opening.discard(connection)
        self._nodes.pop(connection, None)


class _Refused(Exception):
    """A message that ends its session."""

    def __init__(self, code: str, problem: str) -> None:
        super().__init__(problem)
        self.code = code


class _Pace:
    """Lets :data:`BURST` messages through at once and :data:`MESSAGES_PER_S` in the long run, by not
    reading on.
    """

    def __init__(self) -> None:
        self._clock: Callable[[], float] = asyncio.get_running_loop().time
        self._credit = float(BURST)
        self._at = self._clock()

    async def wait(self) -> None:
        now = self._clock()
        self._credit = min(BURST, self._credit + (now - self._at) * MESSAGES_PER_S) - 1.0
        self._at = now
        if self._credit < 0:
            await asyncio.sleep(-self._credit / MESSAGES_PER_S)


def _plain(send: Send) -> Send:
    """The mesh without what older agents do not know."""
    peers = tuple(replace(peer, uplinks=reflexive.plain(peer.uplinks)) for peer in send.mesh.peers)
    return dataclasses.replace(send, mesh=replace(send.mesh, peers=peers))


def _columns(decoder: Decoder, frame: compact.CompactTelemetry) -> Report:
    try:
        return decoder.decode(frame)
    except BadReport as error:
        raise _Refused("malformed", str(error)) from error


def _peer_leaf(connection: ServerConnection) -> bytes | None:
    tls: ssl.SSLObject | None = connection.transport.get_extra_info("ssl_object")
    return None if tls is None else tls.getpeercert(binary_form=True)


def _binary(frame: str | bytes) -> bytes:
    if isinstance(frame, str):
        raise ValueError("a text frame; messages are binary (msgpack)")
    return frame


def _host(connection: ServerConnection) -> str:
    peer: Any = connection.remote_address
    return str(peer[0]) if peer else "?"


def _respond(status: http.HTTPStatus, text: str, kind: str = "text/plain; charset=utf-8") -> Response:
    body = text.encode()
    headers = Headers({"Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close"})
    headers["Date"] = formatdate(usegmt=True)  # `overlayctl netcheck` compares clocks
    if status == http.HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = "5"
    return Response(status.value, status.phrase, headers, body)
