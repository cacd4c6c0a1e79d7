"""The agent's end of the engine's socket: connects for as long as it takes, snapshots down, events up.

I/O: one Unix socket.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import msgspec

from overlayd.agent.messages import EngineLost
from overlayd.daemon.log import fields
from overlayd.protocol import engine
from overlayd.protocol.framing import FrameReader, FrameTooLarge, encode_frame

LOG = logging.getLogger(__name__)
FIRST_RETRY_S = 0.05
LAST_RETRY_S = 1.0
_READ_BYTES = 256 * 1024

Handler: TypeAlias = Callable[[engine.FromEngine | EngineLost], None]


class EngineClient:
    """``run`` until cancelled.

    Every message goes to ``handle`` in order, and :class:`EngineLost` when the socket closes.
    """

    def __init__(self, socket: Path, handle: Handler) -> None:
        self._socket = socket
        self._handle = handle
        self._writer: asyncio.StreamWriter | None = None
        self._decoder = msgspec.json.Decoder(engine.FromEngine)

    async def run(self) -> None:
        """Connect, talk, and begin anew when the engine goes away."""
        retry_s = FIRST_RETRY_S
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(str(self._socket))
            except OSError as error:
                LOG.debug("engine not there yet", extra=fields(socket=self._socket, problem=error.strerror))
                await asyncio.sleep(retry_s)
                retry_s = min(2 * retry_s, LAST_RETRY_S)
                continue
            retry_s = FIRST_RETRY_S
            self._writer = writer
            try:
                problem = await self._talk(reader, writer)
            finally:
                self._writer = None
                writer.close()
            self._handle(EngineLost(problem))

    def push(self, snapshot: engine.Snapshot) -> None:
        """Send a snapshot; without an engine it is lost (its Welcome asks for the next one)."""
        if self._writer is not None:
            self._writer.write(encode_frame(msgspec.json.encode(engine.Apply(snapshot))))

    def reload(self) -> None:
        """Have the engine read its configuration anew; one that is not there reads it when it starts."""
        if self._writer is not None:
            self._writer.write(encode_frame(msgspec.json.encode(engine.Reload())))

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        """Handle what comes until the connection ends; return why it did."""
        writer.write(encode_frame(msgspec.json.encode(engine.Hello())))
        frames = FrameReader()
        while True:
            try:
                data = await reader.read(_READ_BYTES)
                received = frames.feed(data)
            except (OSError, FrameTooLarge) as error:
                return str(error)
            if not data:
                return "the engine closed its socket"
            for frame in received:
                try:
                    message = self._decoder.decode(frame)
                except msgspec.DecodeError as error:
                    LOG.warning("engine message ignored", extra=fields(problem=error, begins=frame[:80]))
                    continue
                if isinstance(message, engine.Welcome) and message.protocol != engine.PROTOCOL:
                    return f"the engine speaks protocol {message.protocol}, this agent {engine.PROTOCOL}"
                self._handle(message)
