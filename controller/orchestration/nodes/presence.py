"""Which nodes are connected, what each last said of itself, and who is told what they report. Pure.

Lives on one event loop; `serving.channel` tells it what comes in.
"""

from collections.abc import Callable, Iterator
from typing import Protocol, TypeAlias

from overlayd.protocol.workload import Demand, Full, LogRequest, Outcomes, Report, Wanted


class Session(Protocol):
    """One node's open channel."""

    @property
    def node(self) -> str: ...
    def close(self, code: int, reason: str) -> None: ...
    def read(self, request: LogRequest) -> "Log": ...
    def next_log(self) -> int: ...


class Log(Protocol):
    """A log that a node sends. Ends by itself, or when it is closed."""

    def __aiter__(self) -> "Log": ...
    async def __anext__(self) -> bytes: ...
    def close(self) -> None: ...


Told: TypeAlias = Report | Wanted | Demand | Outcomes | Full
Listener: TypeAlias = Callable[[str, Told], None]
"""Told a node's name and what it said."""


class Presence:
    """The nodes that run applications, as this controller has heard of them since it began."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self._reports: dict[str, Report] = {}
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Have ``listener`` told what nodes say from now on."""
        self._listeners.append(listener)

    def session(self, node: str) -> Session | None:
        """Return the open channel of a node."""
        return self._sessions.get(node)

    def connected(self, node: str) -> bool:
        """Tell whether a node's channel is open."""
        return node in self._sessions

    def report(self, node: str) -> Report | None:
        """Return what a node last said of itself, also if it is away by now; None: nothing yet."""
        return self._reports.get(node)

    def __iter__(self) -> Iterator[str]:
        """The names of all nodes that are connected."""
        return iter(self._sessions)

    # What happens

    def opened(self, session: Session) -> None:
        """Take a channel for that of its node; an older one of it ends."""
        older = self._sessions.get(session.node)
        self._sessions[session.node] = session
        if older is not None:
            older.close(4000, "the same node connected again")

    def closed(self, session: Session) -> None:
        """A channel ended."""
        if self._sessions.get(session.node) is session:
            del self._sessions[session.node]

    def told(self, session: Session, said: Told) -> None:
        """Take what a node said, on the channel that is its newest."""
        if self._sessions.get(session.node) is not session:
            return
        if isinstance(said, Report):
            self._reports[session.node] = said
        for listener in self._listeners:
            listener(session.node, said)

    def keep(self, members: frozenset[str]) -> None:
        """Let go of all nodes but these."""
        for node in [node for node in self._sessions if node not in members]:
            self._sessions.pop(node).close(4403, "this node was removed from the network")
        for node in [node for node in self._reports if node not in members]:
            del self._reports[node]

    def close(self) -> None:
        """The controller ends."""
        for session in list(self._sessions.values()):
            session.close(1001, "the controller ends")
