"""Logs on their way to the controller: each is a task that sends as much as it was asked for. I/O: by what is
handed in.

How logs are read is `overlayd.workload.logs`; here is only how they share the channel.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeAlias

import msgspec
from websockets.exceptions import WebSocketException

from overlayd.protocol.workload import (
    LOG_CHUNK_BYTES,
    LOG_WINDOW,
    FromNode,
    LogCancel,
    LogChunk,
    LogEnd,
    LogMore,
    LogRequest,
)
from overlayd.workload.errors import LogProblem

LOG = logging.getLogger(__name__)

MOST_LOGS = 64
"""That are sent at once."""

OpenLog: TypeAlias = Callable[[LogRequest], Awaitable[AsyncGenerator[bytes]]]
"""Returns a log as it is read. Raises :class:`LogProblem` where there is none, or it cannot be read."""


class Logs:
    """The logs that one channel carries."""

    def __init__(self, send: Callable[[str], Awaitable[None]], open_log: OpenLog) -> None:
        self._send = send
        self._open_log = open_log
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._windows: dict[int, asyncio.Semaphore] = {}

    def take(self, message: LogRequest | LogMore | LogCancel) -> None:
        """Do what the controller says."""
        match message:
            case LogRequest(id=id):
                window = asyncio.Semaphore(LOG_WINDOW)
                work = self._serve(message, window) if len(self._tasks) < MOST_LOGS else self._decline(id)
                self._windows[id] = window
                self._tasks[id] = asyncio.create_task(work)
                self._tasks[id].add_done_callback(lambda _: self._forget(id))
            case LogMore(id, chunks) if (window := self._windows.get(id)) is not None:
                for _ in range(min(chunks, LOG_WINDOW)):
                    window.release()
            case LogCancel(id) if (task := self._tasks.get(id)) is not None:
                task.cancel()
            case _:  # of a log that has ended meanwhile
                pass

    def close(self) -> None:
        """The channel ends."""
        for task in self._tasks.values():
            task.cancel()

    def _forget(self, id: int) -> None:
        del self._tasks[id], self._windows[id]

    async def _decline(self, id: int) -> None:
        await self._send(encode(LogEnd(id, f"{MOST_LOGS} logs of this node are read already")))

    async def _serve(self, request: LogRequest, window: asyncio.Semaphore) -> None:
        problem = ""
        try:
            async with contextlib.aclosing(await self._open_log(request)) as log:
                await self._send(encode(LogChunk(request.id, b"")))
                async for data in log:
                    for at in range(0, len(data), LOG_CHUNK_BYTES):
                        await window.acquire()
                        await self._send(encode(LogChunk(request.id, data[at : at + LOG_CHUNK_BYTES])))
        except LogProblem as error:
            problem = str(error)
        except WebSocketException:
            return
        except Exception:
            LOG.exception("a log could not be read")
            problem = "the log could not be read; the node's own log says why"
        await self._send(encode(LogEnd(request.id, problem)))


def encode(message: FromNode) -> str:
    """Return a message as the channel takes it."""
    return msgspec.json.encode(message).decode()
