"""The channel of a node that runs applications: frames of `overlayd.protocol.workload` on a WebSocket. I/O.

Who speaks has been established by the node's certificate. A message that is malformed ends its channel, and
nothing else. What is sent waits in bounded queues: a node that does not read is let go and comes back.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import TypeAlias, TypedDict

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from controller.orchestration.nodes.presence import Presence
from overlayd.protocol.workload import (
    LOG_WINDOW,
    MOST_BYTES,
    SUBPROTOCOL,
    Alive,
    Demand,
    FromNode,
    Full,
    Lease,
    LogCancel,
    LogChunk,
    LogEnd,
    LogMore,
    LogRequest,
    Outcomes,
    Report,
    ToNode,
    Wanted,
)

LOG = logging.getLogger(__name__)

OUTBOX = 256
SILENT_S = 30.0
"""A channel on which nothing has come for so long is dead, whatever TCP thinks of it."""

StillMember: TypeAlias = Callable[[], bool]


class LogFailed(Exception):
    """A node has no such log, or went away before all of it came."""


class Session:
    """One node's open channel; implements `nodes.presence.Session`."""

    def __init__(self, node: str, socket: WebSocket, may_go_on: Callable[[], tuple[str, ...]]) -> None:
        self.node = node
        self._socket = socket
        self._may_go_on = may_go_on
        self._outbox: asyncio.Queue[ToNode] = asyncio.Queue(OUTBOX)
        self._logs: dict[int, NodeLog] = {}
        self._last_log = 0
        self._ending: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()

    async def serve(self, presence: Presence, still_member: StillMember) -> str:
        """Converse until the channel ends; return why it did."""
        await self._socket.accept(SUBPROTOCOL)
        writer = asyncio.create_task(self._write())
        reader = asyncio.create_task(self._read(presence, still_member))
        presence.opened(self)
        try:
            await asyncio.wait([writer, reader, self._ending], return_when=asyncio.FIRST_COMPLETED)
            if self._ending.done():
                code, reason = self._ending.result()
                await self._socket.close(code, reason)
                return reason
            for task in (writer, reader):
                if task.done():
                    task.result()
            return "it closed"
        except (WebSocketDisconnect, OSError):
            return "it closed"
        finally:
            presence.closed(self)
            for task in (writer, reader):
                task.cancel()
            await asyncio.gather(writer, reader, return_exceptions=True)
            for log in list(self._logs.values()):
                log.end("the node's channel ended")

    def close(self, code: int, reason: str) -> None:
        """End the channel."""
        if not self._ending.done():
            self._ending.set_result((code, reason))

    def next_log(self) -> int:
        """Return the number of a log that is asked for now."""
        self._last_log += 1
        return self._last_log

    def read(self, request: LogRequest) -> "NodeLog":
        """Ask for a log."""
        log = NodeLog(request.id, self._put, self._forget)
        self._logs[request.id] = log
        self._put(request)
        return log

    def _forget(self, log: int) -> None:
        self._logs.pop(log, None)

    def _put(self, message: ToNode) -> None:
        try:
            self._outbox.put_nowait(message)
        except asyncio.QueueFull:
            self.close(1013, "too slow a reader")

    async def _write(self) -> None:
        while True:
            message = await self._outbox.get()
            await self._socket.send_text(msgspec.json.encode(message).decode())

    async def _read(self, presence: Presence, still_member: StillMember) -> None:
        decoder = msgspec.json.Decoder(FromNode)
        reported = False
        while True:
            try:
                async with asyncio.timeout(SILENT_S):
                    text = await self._socket.receive_text()
                message = decoder.decode(text)
            except WebSocketDisconnect:
                return
            except TimeoutError:
                return self.close(1002, f"nothing came for {SILENT_S:g} s")
            except (msgspec.DecodeError, KeyError) as error:  # KeyError: a binary frame
                return self.close(1008, f"malformed: {error}"[:100])
            if not still_member():
                return self.close(4403, "this node was removed from the network")
            if not reported and not isinstance(message, Report):
                return self.close(1008, "the first message has to be a report")
            reported = True
            self._take(message, presence)

    def _take(self, message: FromNode, presence: Presence) -> None:
        match message:
            case Alive(sequence):
                if presence.session(self.node) is self:
                    self._put(Lease(sequence, self._may_go_on()))
            case LogChunk(id, data):
                if (log := self._logs.get(id)) is not None:
                    log.add(data)
            case LogEnd(id, problem):
                if (log := self._logs.get(id)) is not None:
                    log.end(problem)
            case Report() | Wanted() | Demand() | Outcomes() | Full():
                presence.told(self, message)


class NodeLog:
    """A log as it comes from a node: iterated over by one reader. Raises :class:`LogFailed`."""

    def __init__(self, id: int, send: Callable[[ToNode], None], forget: Callable[[int], None]) -> None:
        self._id = id
        self._send = send
        self._forget = forget
        self._waiting: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._problem = ""
        self._ended = False
        self._taken = 0

    def __aiter__(self) -> "NodeLog":
        return self

    async def __anext__(self) -> bytes:
        data = await self._waiting.get()
        if data is None:
            self._waiting.put_nowait(None)
            if self._problem:
                raise LogFailed(self._problem)
            raise StopAsyncIteration
        self._taken += 1
        if self._taken == LOG_WINDOW // 2 and not self._ended:
            self._send(LogMore(self._id, self._taken))
            self._taken = 0
        return data

    def add(self, data: bytes) -> None:
        """Take a chunk. A node that sends more than it was asked for sends no more."""
        if self._waiting.qsize() > LOG_WINDOW:
            self._send(LogCancel(self._id))
            self.end("the node sent more than it was asked for")
        elif not self._ended:
            self._waiting.put_nowait(data)

    def end(self, problem: str = "") -> None:
        """No more comes."""
        if not self._ended:
            self._ended, self._problem = True, problem
            self._waiting.put_nowait(None)
            self._forget(self._id)

    def close(self) -> None:
        """Nobody reads any more."""
        if not self._ended:
            self._send(LogCancel(self._id))
            self.end()


async def serve(
    socket: WebSocket,
    node: str,
    presence: Presence,
    still_member: StillMember,
    may_go_on: Callable[[], tuple[str, ...]],
) -> None:
    """Serve one channel until it closes. ``may_go_on`` says which pods are named when the node is alive."""
    if SUBPROTOCOL not in socket.scope.get("subprotocols", ()):
        await socket.close(1002, f"the subprotocol {SUBPROTOCOL} is needed")
        return
    LOG.info("applications: %s is connected", node)
    why = await Session(node, socket, may_go_on).serve(presence, still_member)
    LOG.info("applications: %s is no longer connected: %s", node, why)


class _Options(TypedDict):
    ws: str
    ws_max_size: int
    ws_per_message_deflate: bool
    ws_ping_interval: float | None


WEBSOCKET = _Options(
    ws="websockets-sansio",
    ws_max_size=MOST_BYTES,
    ws_per_message_deflate=False,  # what is secret and what others chose would share one stream
    ws_ping_interval=None,  # nodes say that they are alive
)
"""What uvicorn is told."""
