"""This node's channel to the controller: one WebSocket over mutual TLS, opened again whenever it is lost.
I/O.

Over it the node says that it is alive, what it offers and what is asked of it, and sends logs (messages of
`overlayd.protocol.workload`). Nothing is decided here: what an answer means for pods is said by the leases.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from typing import Protocol, TypeAlias

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from overlayd.daemon.log import fields
from overlayd.daemon.tls import NotTheController, check_controller
from overlayd.daemon.uplink import explain
from overlayd.model.lease import ALIVE_S
from overlayd.protocol.workload import (
    MOST_BYTES,
    PATH,
    SUBPROTOCOL,
    Alive,
    Demand,
    Full,
    Lease,
    Outcomes,
    Report,
    ToNode,
    Wanted,
)
from overlayd.workload.credentials import Credentials
from overlayd.workload.errors import Unreachable
from overlayd.workload.log_sending import Logs, OpenLog, encode
from overlayd.workload.retry import Retry

LOG = logging.getLogger(__name__)

OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.0
SILENT_S = 4 * ALIVE_S
"""A channel on which no answer came for so long is dead, whatever TCP thinks of it."""
SPREAD_S = 2.0
_QUEUE = 256


class Leases(Protocol):
    """Which pods may go on, as the controller says (`overlayd.workload.leases`)."""

    def send(self, now_ns: int) -> int:
        """Return the sequence number of an ``Alive`` that is sent now (CLOCK_BOOTTIME)."""
        ...

    def answered(self, sequence: int, pods: tuple[str, ...]) -> None: ...


class Opened(msgspec.Struct, frozen=True):
    """The channel is open."""


class Closed(msgspec.Struct, frozen=True):
    """There is no channel; it is tried again."""

    why: str


class Answered(msgspec.Struct, frozen=True):
    """The leases have been told something new."""


Told: TypeAlias = Opened | Closed | Answered


class Channel:
    """``run`` until cancelled. ``tell`` is called with what happens, on the event loop."""

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        leases: Leases,
        open_log: OpenLog,
        tell: Callable[[Told], None],
        rng: random.Random,
        *,
        spread_s: float = SPREAD_S,
    ) -> None:
        """``url`` is ``https://HOST:PORT`` of the API."""
        self._url = "wss" + url.rstrip("/").removeprefix("https") + PATH
        self._credentials = credentials
        self._leases = leases
        self._open_log = open_log
        self._tell = tell
        self._retry = Retry(spread_s, rng)
        self._report: Report | None = None
        self._reported = asyncio.Event()
        self._news = asyncio.Event()
        self._hurry = asyncio.Event()
        self._queue: asyncio.Queue[Wanted | Demand | Outcomes | Full] = asyncio.Queue(_QUEUE)
        self._decoder = msgspec.json.Decoder(ToNode)
        self._connection: ClientConnection | None = None

    async def run(self) -> None:
        """Hold the channel open, once there is a report to begin with."""
        await self._reported.wait()
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            why = await self._hold_open()
            self._tell(Closed(why))
            LOG.info("the controller's channel is closed", extra=fields(problem=why))
            await asyncio.sleep(self._retry.wait_s(clock() - began))

    def report(self, report: Report) -> None:
        """Say what this node is; said again whenever the channel opens."""
        if report != self._report:
            self._report = report
            self._reported.set()
            self._news.set()
            self._hurry.set()

    def alive_now(self) -> None:
        """Say that this node is alive without waiting for the next time: a pod waits for being named."""
        self._hurry.set()

    def say(self, message: Wanted | Demand | Outcomes | Full) -> None:
        """Say what is asked for here. What cannot be said now is lost: it is of this moment."""
        if self._connection is None:
            return
        if self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(message)

    async def _hold_open(self) -> str:
        """One connection from its opening to its end; returns why it ended."""
        try:
            async with connect(
                self._url,
                ssl=self._credentials.context(),
                subprotocols=[Subprotocol(SUBPROTOCOL)],
                max_size=MOST_BYTES,
                open_timeout=OPEN_TIMEOUT_S,
                close_timeout=CLOSE_TIMEOUT_S,
                ping_interval=None,
                compression=None,
                proxy=None,
            ) as connection:
                check_controller(connection.transport.get_extra_info("ssl_object"))
                return await self._talk(connection)
        except (OSError, TimeoutError, WebSocketException, NotTheController, Unreachable) as error:
            return explain(error)
        finally:
            self._connection = None

    async def _talk(self, connection: ClientConnection) -> str:
        while not self._queue.empty():
            self._queue.get_nowait()
        heard = _Heard()
        logs = Logs(connection.send, self._open_log)
        self._connection = connection
        tasks = [
            asyncio.create_task(work) for work in (self._live(connection, heard), self._write(connection))
        ]
        self._tell(Opened())
        try:
            async for data in connection:
                heard.now()
                self._take(data, logs)
        except asyncio.CancelledError:
            await connection.close()  # a farewell; the context would report a failure instead
            raise
        finally:
            self._connection = None
            for task in tasks:
                task.cancel()
            logs.close()
        return connection.close_reason or "the controller closed it"

    def _take(self, data: str | bytes, logs: Logs) -> None:
        try:
            message = self._decoder.decode(data)
        except msgspec.DecodeError as error:
            LOG.warning("the controller's message is ignored", extra=fields(problem=error))
            return
        if isinstance(message, Lease):
            self._leases.answered(message.sequence, message.pods)
            self._tell(Answered())
        else:
            logs.take(message)

    async def _live(self, connection: ClientConnection, heard: "_Heard") -> None:
        """Say what this node is, whenever that is new, and again and again that it is alive."""
        with contextlib.suppress(WebSocketException, OSError):
            self._news.set()
            while True:
                if self._news.is_set() and self._report is not None:
                    self._news.clear()
                    await connection.send(encode(self._report))
                await connection.send(encode(Alive(self._leases.send(boottime_ns()))))
                self._hurry.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._hurry.wait(), ALIVE_S)
                if heard.silent_s() > SILENT_S:
                    LOG.warning("the controller does not answer", extra=fields(seconds=SILENT_S))
                    connection.transport.abort()

    async def _write(self, connection: ClientConnection) -> None:
        with contextlib.suppress(WebSocketException, OSError):
            while True:
                await connection.send(encode(await self._queue.get()))


class _Heard:
    """When the controller was last heard."""

    def __init__(self) -> None:
        self._clock = asyncio.get_running_loop().time
        self.now()

    def now(self) -> None:
        self._at = self._clock()

    def silent_s(self) -> float:
        return self._clock() - self._at


def boottime_ns() -> int:
    """Read a clock that goes on while the host sleeps."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
