"""The engine's socket: one agent at a time, snapshots in, answers and events out.

The agent is whoever said hello last: a new one takes the place of one that hangs. Not here: what applying a
snapshot means. Called by `overlayd.daemon.engine`. I/O: one Unix socket.
"""

import asyncio
import contextlib
import logging
import os
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import msgspec

from overlayd.daemon.errors import StartError
from overlayd.daemon.log import fields
from overlayd.protocol import engine
from overlayd.protocol.framing import FrameReader, FrameTooLarge, encode_frame

LOG = logging.getLogger(__name__)
HELLO_WAIT_S = 5.0
MAX_UNREAD_BYTES = 4 * 1024 * 1024
"""An agent that reads no more gets no more events; its answers it gets."""
_READ_BYTES = 256 * 1024

Apply: TypeAlias = Callable[[engine.Snapshot], Awaitable[engine.Applied | engine.Refused]]


class _Message(msgspec.Struct):
    """What every message has; a snapshot is looked into later, so that its faults have an answer."""

    type: str
    protocol: int = 0
    snapshot: msgspec.Raw = msgspec.Raw()


class EngineServer:
    """``welcome`` answers a hello, ``apply`` a snapshot; applications never overlap. ``reload`` reads the
    configuration anew.
    """

    def __init__(
        self,
        socket: Path,
        welcome: Callable[[], engine.Welcome],
        apply: Apply,
        reload: Callable[[], None],
    ) -> None:
        self._socket = socket
        self._welcome = welcome
        self._apply = apply
        self._reload = reload
        self._applying = asyncio.Lock()
        self._agent: asyncio.StreamWriter | None = None
        self._server: asyncio.Server | None = None
        self._events_left_out = 0

    async def open(self) -> None:
        """Listen; the socket is for the owner and the group. Raises :class:`StartError`."""
        try:
            self._socket.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            self._socket.unlink(missing_ok=True)
            before = os.umask(0o117)
            try:
                self._server = await asyncio.start_unix_server(self._serve, self._socket)
            finally:
                os.umask(before)
        except OSError as error:
            raise StartError(f"{self._socket} cannot be opened: {error.strerror or error}") from error

    async def close(self) -> None:
        """Let the agent go and take the socket away."""
        if self._server is not None:
            self._server.close()
        if self._agent is not None:
            self._agent.close()
        self._socket.unlink(missing_ok=True)

    def report(self, event: bytes) -> None:
        """Send an event (JSON) to the agent, if there is one and it keeps reading."""
        if self._agent is None or self._agent.is_closing():
            return
        if self._agent.transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            self._events_left_out += 1
            LOG.warning("agent reads no events", extra=fields(left_out=self._events_left_out))
            return
        self._agent.write(encode_frame(event))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._talk(reader, writer)
        except (OSError, FrameTooLarge, TimeoutError, msgspec.DecodeError) as error:
            LOG.warning("agent's connection ended", extra=fields(problem=error or type(error).__name__))
        finally:
            if self._agent is writer:
                self._agent = None
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = _frames(reader)
        first = await asyncio.wait_for(anext(frames, None), HELLO_WAIT_S)
        hello = None if first is None else msgspec.json.decode(first, type=_Message)
        if hello is None or hello.type != "hello":
            LOG.warning("connection without a hello")
            return
        if self._agent is not None:
            LOG.warning("another agent takes over")
            self._agent.close()
        self._agent = writer
        _send(writer, self._welcome())
        if hello.protocol != engine.PROTOCOL:
            LOG.error("agent of another version", extra=fields(protocol=hello.protocol, ours=engine.PROTOCOL))
            return
        LOG.info("agent connected")
        async for frame in frames:
            await self._handle(frame, writer)
        LOG.info("agent gone")

    async def _handle(self, frame: bytes, writer: asyncio.StreamWriter) -> None:
        message = msgspec.json.decode(frame, type=_Message)
        if message.type == "reload":
            self._reload()
            return
        if message.type != "apply":
            LOG.warning("message of the agent ignored", extra=fields(type=message.type))
            return
        async with self._applying:
            _send(writer, await self._applied(bytes(message.snapshot)))

    async def _applied(self, raw: bytes) -> engine.Applied | engine.Refused:
        try:
            snapshot = msgspec.json.decode(raw, type=engine.Snapshot)
        except msgspec.DecodeError as error:
            problem, _, place = str(error).partition(" - at `$")
            return engine.Refused(_generation_of(raw), place.rstrip("`").lstrip(".") or "snapshot", problem)
        return await self._apply(snapshot)


async def _frames(reader: asyncio.StreamReader) -> AsyncGenerator[bytes, None]:
    """Yield whole frames until the stream ends."""
    frames = FrameReader()
    while data := await reader.read(_READ_BYTES):
        for frame in frames.feed(data):
            yield frame


def _send(writer: asyncio.StreamWriter, message: engine.Welcome | engine.Applied | engine.Refused) -> None:
    writer.write(encode_frame(msgspec.json.encode(message)))


def _generation_of(raw: bytes) -> int:
    """As far as it can be told of a snapshot that is faulty; 0 if it cannot."""
    found = re.search(rb'"generation"\s*:\s*(\d{1,19})\b', raw)
    return int(found[1]) if found else 0
