"""Holds requests that nobody can serve yet, and hands them to the first instance that can.

The last server of each route in HAProxy: it gets what comes while no instance is up. The bytes wait in the
socket; nothing of them is looked at, so HTTP and TCP are the same. Called by `traffic`. I/O: Unix sockets,
TCP connections.
"""

import asyncio
import contextlib
import logging
import os
import pwd
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from overlayd.daemon.log import fields
from overlayd.daemon.peer import peer_of

LOG = logging.getLogger(__name__)
Endpoint = tuple[str, int]

MOST_HELD = 1000
"""Requests of one route that wait; more are refused."""
AGAIN_S = 1.0
"""While requests wait, so often it is said that the route is wanted."""
TRY_S = 0.05
"""Between two tries to reach an instance."""
CONNECT_S = 3.0
_CHUNK_BYTES = 64 * 1024


@dataclass(slots=True)
class _Held:
    """A route's listening socket, whom it may hand requests to, and how many wait."""

    server: asyncio.Server
    hold_s: float
    targets: tuple[Endpoint, ...] = ()
    waiting: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Waker:
    """``wanted`` is told the proxy of a route for which a request waits; ``revived`` who answered it.

    Nobody is held but whom ``user`` (None: ours) hands over.
    """

    def __init__(
        self,
        wanted: Callable[[str], None],
        revived: Callable[[str, Endpoint], Awaitable[None]],
        user: str | None,
    ) -> None:
        self._wanted = wanted
        self._revived = revived
        self._user = os.geteuid() if user is None else pwd.getpwnam(user).pw_uid
        self._held: dict[str, _Held] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, proxy: str, path: Path, hold_s: float) -> None:
        """Hold what comes at ``path``, each for ``hold_s`` seconds at most."""
        if (held := self._held.get(proxy)) is not None:
            held.hold_s = hold_s
            return
        path.parent.mkdir(exist_ok=True)
        path.parent.chmod(0o711)  # HAProxy's user passes through, whatever the mask of this process
        path.unlink(missing_ok=True)  # of a life before ours
        server = await asyncio.start_unix_server(
            lambda r, w: self._hold(proxy, r, w), path, backlog=MOST_HELD
        )
        path.chmod(0o666)  # it takes CAP_CHOWN to give it away; who connects is asked for instead
        self._held[proxy] = _Held(server, hold_s)

    def set_targets(self, proxy: str, targets: Iterable[Endpoint]) -> None:
        """Say who may be handed requests of ``proxy``: those that wait are tried with them at once."""
        if (held := self._held.get(proxy)) is not None:
            held.targets = tuple(targets)
            held.changed.set()

    def keep(self, proxies: Iterable[str]) -> None:
        """Listen for no others any more."""
        for proxy in self._held.keys() - set(proxies):
            self._held.pop(proxy).server.close()

    async def close(self) -> None:
        """Give up what waits, cut what was handed on."""
        self.keep(())
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _hold(self, proxy: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError, TimeoutError):
                await self._serve(proxy, reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, proxy: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        uid, _ = peer_of(writer.get_extra_info("socket"))
        if uid != self._user or (held := self._held.get(proxy)) is None:
            return
        if held.waiting >= MOST_HELD:
            LOG.warning("too many requests wait for an instance", extra=fields(route=proxy))
            return
        held.waiting += 1
        try:
            async with asyncio.timeout(held.hold_s):
                endpoint, (to_reader, to_writer) = await self._reach(proxy, held)
        finally:
            held.waiting -= 1
        try:
            await self._revived(proxy, endpoint)
            await asyncio.gather(_pump(reader, to_writer), _pump(to_reader, writer))
        finally:
            to_writer.close()

    async def _reach(
        self, proxy: str, held: _Held
    ) -> tuple[Endpoint, tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """Try the targets in turn until one accepts; say meanwhile that the route is wanted."""
        loop = asyncio.get_running_loop()
        said = -AGAIN_S
        while True:
            if not held.targets and loop.time() - said >= AGAIN_S:
                said = loop.time()
                self._wanted(proxy)
            held.changed.clear()
            for host, port in held.targets:
                with contextlib.suppress(OSError, TimeoutError):
                    async with asyncio.timeout(CONNECT_S):
                        return (host, port), await asyncio.open_connection(host, port)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TRY_S if held.targets else AGAIN_S):
                    await held.changed.wait()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on until the end of one direction, which is passed on too."""
    while data := await reader.read(_CHUNK_BYTES):
        writer.write(data)
        await writer.drain()
    with contextlib.suppress(OSError):
        if writer.can_write_eof():
            writer.write_eof()
