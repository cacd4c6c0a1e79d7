"""Changes of primaries: by one decision as arrays, which is what history keeps of it, and one by one. Pure.

A row of the store holds those of one source (:class:`PackedChanges`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import msgspec
import numpy as np
from numpy.typing import NDArray

from overlayd.model.ids import NodeId, Path

ABSENT_ID = 0xFFFF
FIRST = "the first choice"
"""Why a path was taken where there was none before."""


@dataclass(frozen=True, slots=True)
class RouteEvent:
    """One change of the paths from ``source``, by ``decider`` (``controller``, ``agent`` or ``engine``);
    ``at`` is Unix seconds. ``before`` and ``after`` are the primaries.
    """

    at: float
    source: NodeId
    destination: NodeId
    class_id: int
    decider: str
    before: Path | None
    after: Path | None
    reason: str


class PackedChanges(msgspec.Struct, frozen=True, array_like=True):
    """``destinations`` and the relays ``before`` and ``after`` (two each, 0: none; no path: the first is
    :data:`ABSENT_ID`) are 16 bits each, ``classes`` 8. ``reasons`` by place.
    """

    destinations: bytes
    classes: bytes
    before: bytes
    after: bytes
    reasons: dict[int, str]


@dataclass(frozen=True, slots=True)
class Changes:
    """[change], ordered by source; ids, as in :class:`PackedChanges`."""

    at: float
    sources: NDArray[np.uint16]
    destinations: NDArray[np.uint16]
    classes: NDArray[np.uint8]
    before: NDArray[np.uint16]
    after: NDArray[np.uint16]
    reasons: Mapping[int, str]

    def __len__(self) -> int:
        return len(self.sources)

    def packed(self) -> Iterator[tuple[NodeId, PackedChanges]]:
        """Yield what is kept for each source."""
        sources, begins = np.unique(self.sources, return_index=True)
        places: list[tuple[int, int]] = list(pairwise([*begins.tolist(), len(self)]))
        for source, (begin, end) in zip(sources.tolist(), places, strict=True):
            part = slice(begin, end)
            reasons = {i - begin: self.reasons[i] for i in range(begin, end) if i in self.reasons}
            yield (
                NodeId(source),
                PackedChanges(
                    self.destinations[part].tobytes(),
                    self.classes[part].tobytes(),
                    self.before[part].tobytes(),
                    self.after[part].tobytes(),
                    reasons,
                ),
            )

    def events(self) -> Iterator[RouteEvent]:
        """Yield all changes, one by one."""
        for source, packed in self.packed():
            yield from events_of(self.at, source, packed)


def events_of(
    at: float, source: NodeId, packed: PackedChanges, destination: NodeId | None = None
) -> Iterator[RouteEvent]:
    """Yield the changes of one source; with a ``destination`` only those of routes to it."""
    destinations = np.frombuffer(packed.destinations, np.uint16)
    before = np.frombuffer(packed.before, np.uint16).reshape(-1, 2)
    after = np.frombuffer(packed.after, np.uint16).reshape(-1, 2)
    wanted = range(len(destinations)) if destination is None else np.flatnonzero(destinations == destination)
    for i in map(int, wanted):
        end = NodeId(int(destinations[i]))
        yield RouteEvent(
            at=at,
            source=source,
            destination=end,
            class_id=packed.classes[i],
            decider="controller",
            before=_path(before[i], end),
            after=_path(after[i], end),
            reason=packed.reasons.get(i, FIRST),
        )


def _path(relays: NDArray[np.uint16], destination: NodeId) -> Path | None:
    if relays[0] == ABSENT_ID:
        return None
    return (*[NodeId(relay) for relay in relays.tolist() if relay], destination)
