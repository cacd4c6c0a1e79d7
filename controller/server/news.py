"""What has just changed, for whoever listens: counters by topic, and a short memory of what happened to
nodes and links. I/O: events of the loop.

Written by the service as it happens, read by the API's stream and list of events. Changes of routes are
history's (`controller.server.archive`); here they only wait for those who listen now.
"""

import asyncio
import time
from collections import deque
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal, TypeAlias

import numpy as np

from controller.core.changes import RouteEvent
from controller.core.messages import Command, Persist
from controller.topology.links import Topology
from overlayd.model.ids import NodeId

REMEMBERED: Final = 1000
MOST_LISTENERS: Final = 32
MOST_OF_A_DECISION: Final = 50
"""Changes of one decision that are told one by one; history has them all."""
MOST_OF_A_NODE: Final = 4
"""Links of one node that go down together and are told one by one."""

Pair: TypeAlias = tuple[NodeId, NodeId]
Names: TypeAlias = Mapping[NodeId, str]


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happened to a node or a link; ``nodes`` are names, as they were then."""

    at: float
    kind: Literal["node", "link"]
    nodes: tuple[str, ...]
    reason: str


Entry: TypeAlias = Happening | RouteEvent


class News:
    """``nodes``, ``links`` and ``routes`` count up with every change of theirs."""

    def __init__(self) -> None:
        self.nodes = self.links = self.routes = self.told = 0
        self.closed = asyncio.Event()
        self._kept: deque[Happening] = deque(maxlen=REMEMBERED)
        self._fresh: deque[Entry] = deque(maxlen=REMEMBERED)
        self._bells: set[asyncio.Event] = set()
        self._outages = Outages()
        self._links_seen = 0

    # What the service tells

    def node(self, name: str, what: str) -> None:
        """Something happened to a node."""
        self.nodes += 1
        self._tell([Happening(time.time(), "node", (name,), what)])

    def nodes_changed(self) -> None:
        """Something about nodes is other than it was; nothing worth an entry."""
        self.nodes += 1
        self._ring()

    def links_reported(self) -> None:
        """Telemetry came in."""
        self.links += 1
        self._ring()

    def carried_out(self, commands: Iterable[Command]) -> None:
        """Note which routes these commands change."""
        for command in commands:
            if isinstance(command, Persist) and (command.routes or command.changes or command.events):
                self.routes += 1
                decided = () if command.changes is None else command.changes.events()
                self._tell([*command.events, *islice(decided, MOST_OF_A_DECISION)])

    def compare_links(self, topology: Topology, now_ns: int, names: Names) -> None:
        """Tell which links went down or came back since the last call; costs nothing without news."""
        if self._links_seen != self.links:
            self._links_seen = self.links
            self._tell(self._outages.compare(topology, now_ns, names))

    def close(self) -> None:
        """Let all listeners go."""
        self.closed.set()

    # What listeners ask

    def since(self, told: int) -> list[Entry]:
        """Return what was told after the first ``told`` entries, as far as it is still known."""
        new = min(self.told - told, len(self._fresh))
        return list(islice(self._fresh, len(self._fresh) - new, None))

    def remembered(self) -> list[Happening]:
        """Return what happened to nodes and links since the start, newest first."""
        return list(reversed(self._kept))

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._bells)

    @contextmanager
    def listening(self) -> Generator[asyncio.Event | None]:
        """Give an event that is set at each change; None if too many listen already."""
        if len(self._bells) >= MOST_LISTENERS:
            yield None
            return
        bell = asyncio.Event()
        self._bells.add(bell)
        try:
            yield bell
        finally:
            self._bells.discard(bell)

    def _tell(self, news: Iterable[Entry]) -> None:
        for one in news:
            self.told += 1
            self._fresh.append(one)
            if isinstance(one, Happening):
                self._kept.append(one)
        self._ring()

    def _ring(self) -> None:
        for bell in self._bells:
            bell.set()


class Outages:
    """Which links are down, as either end says."""

    def __init__(self) -> None:
        self._down: set[Pair] = set()

    def compare(self, topology: Topology, now_ns: int, names: Names) -> list[Happening]:
        """Return what is other than at the last call; of what nobody speaks any more nothing is told."""
        ids = [vertex.id for vertex in topology.vertices]
        index = topology.index
        said = topology.said_down(now_ns)
        down = np.triu(said | said.T, 1)
        now = {(ids[a], ids[b]) for a, b in np.argwhere(down).tolist()}
        self._down = {pair for pair in self._down if pair[0] in index and pair[1] in index}
        speaks = (topology.latest.up == 1) & (now_ns - topology.latest.said_ns <= topology.fresh_ns)
        back = {
            (a, b) for a, b in self._down - now if speaks[index[a], index[b]] or speaks[index[b], index[a]]
        }
        lost = now - self._down
        self._down = (self._down | lost) - back
        at = time.time()
        return [*_gathered(at, lost, names, "down"), *_gathered(at, back, names, "up again")]


def _gathered(at: float, pairs: set[Pair], names: Names, what: str) -> Iterable[Happening]:
    """Yield an entry for each link; where a node has many of them, one for all of these."""
    left = set(pairs)
    while left:
        count: dict[NodeId, int] = {}
        for node in (node for pair in left for node in pair):
            count[node] = count.get(node, 0) + 1
        worst = max(count, key=lambda node: (count[node], -node))
        if count[worst] <= MOST_OF_A_NODE:
            break
        of_it = {pair for pair in left if worst in pair}
        left -= of_it
        yield Happening(at, "link", (_name(names, worst),), f"{len(of_it)} links {what}")
    for pair in sorted(left):
        yield Happening(at, "link", tuple(_name(names, node) for node in pair), f"link {what}")


def _name(names: Names, node: NodeId) -> str:
    return names.get(node, f"#{node}")
