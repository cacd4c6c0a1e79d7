"""Carries out the core's commands in their order: writes to the store and makes messages in a thread, hands
these to sessions. I/O.

What is sent because of a decision leaves only after the decision is kept, and no message overtakes another:
a mesh that arrived before the one it is based on would cost its agent a reconnection.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterable

from controller.core.messages import Command, Persist, Send
from controller.server.channel import Session
from controller.store.store import Store, change_rows, route_rows
from overlayd.model.ids import NodeId

LOG = logging.getLogger(__name__)


class Outgoing:
    """``store`` is a connection of its own, used from one other thread at a time."""

    def __init__(self, store: Store, session_of: Callable[[NodeId], Session | None]) -> None:
        self._store = store
        self._session_of = session_of
        self._queue: asyncio.Queue[Persist | tuple[Session, Send]] = asyncio.Queue()

    def put(self, commands: Iterable[Command]) -> None:
        """Queue commands. A message is for the session its node has now, not for one that it opens later."""
        for command in commands:
            match command:
                case Send():
                    if (session := self._session_of(command.node)) is not None:
                        self._queue.put_nowait((session, command))
                case Persist():
                    self._queue.put_nowait(command)

    async def run(self) -> None:
        """Carry out for ever."""
        while True:
            match await self._queue.get():
                case Persist() as facts:
                    await self._keep(facts)
                case (session, send):
                    # Of a thousand routes that takes some milliseconds: agents are heard meanwhile.
                    session.put(await asyncio.to_thread(session.encoded, send))

    async def _keep(self, facts: Persist) -> None:
        try:
            await asyncio.to_thread(_write, self._store, facts)
        except sqlite3.Error as error:
            # Agents need their routes more than we need our records.
            LOG.error("could not write to the store (%s); going on without", error)


def _write(store: Store, facts: Persist) -> None:
    routes = route_rows(facts.routes)
    changes = None if facts.changes is None else change_rows(facts.changes)
    with store.transaction():
        store.save_generation(facts.generation)
        store.save_routes(routes)
        if facts.changes is not None and changes:
            store.append_changes(facts.changes.at, changes)
        store.append_history(facts.events)
