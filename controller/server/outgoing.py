"""Carries out the core's commands in their order: writes to the store in a thread, messages to sessions. I/O.

What is sent because of a decision leaves only after the decision is kept, and no message overtakes another:
a mesh that arrived before the one it is based on would cost its agent a reconnection.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterable

from controller.core.messages import Command, Persist, Send
from controller.server.channel import Session
from controller.store.store import Store, route_rows
from overlayd.model.ids import NodeId
from overlayd.protocol.controller import Mesh

LOG = logging.getLogger(__name__)


class Outgoing:
    """``store`` is a connection of its own, used from one other thread at a time."""

    def __init__(self, store: Store, session_of: Callable[[NodeId], Session | None]) -> None:
        self._store = store
        self._session_of = session_of
        self._queue: asyncio.Queue[Persist | tuple[Session, Mesh]] = asyncio.Queue()

    def put(self, commands: Iterable[Command]) -> None:
        """Queue commands. A message is for the session its node has now, not for one that it opens later."""
        for command in commands:
            match command:
                case Send(node, message):
                    if (session := self._session_of(node)) is not None:
                        self._queue.put_nowait((session, message))
                case Persist():
                    self._queue.put_nowait(command)

    async def run(self) -> None:
        """Carry out for ever."""
        while True:
            match await self._queue.get():
                case Persist() as facts:
                    await self._keep(facts)
                case (session, message):
                    session.send(message)

    async def _keep(self, facts: Persist) -> None:
        try:
            await asyncio.to_thread(_write, self._store, facts)
        except sqlite3.Error as error:
            # Agents need their routes more than we need our records.
            LOG.error("could not write to the store (%s); going on without", error)


def _write(store: Store, facts: Persist) -> None:
    routes = route_rows(facts.routes)
    with store.transaction():
        store.save_generation(facts.generation)
        store.save_routes(routes)
        store.delete_routes(facts.dropped)
        store.append_history(facts.events)
