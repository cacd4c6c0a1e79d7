"""Routes of one ingress as arrays: what of the book goes to an agent, and into the store. Pure.

They become `overlayd.protocol.routes.RouteColumns` on the way out. That, and looking up figures, takes a
millisecond for a thousand destinations and may happen in any thread: nothing here changes any more.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.planner.figures import Indices, figures
from controller.planner.plan import Plan
from controller.planner.search import ABSENT, NONE, Relays
from controller.planner.table import PATHS
from controller.topology.links import F32
from overlayd.model.ids import NodeId
from overlayd.model.route import Route
from overlayd.protocol.routes import FIGURES, RELAYS, RouteColumns, inflated, routes_of

_LEVEL = 1
_GREATEST = 60_000.0
"""Above, 16-bit floats end."""


@dataclass(frozen=True, slots=True)
class RouteRows:
    """[route, ...], by index of ``ids``. ``plan``: where figures come from, None where none is at hand.
    ``reasons`` by place in the rows; a route without a path stands for one that there is no more.
    """

    source: NodeId
    index: int
    ids: NDArray[np.uint16]
    classes: Indices
    destinations: Indices
    relays: Relays
    decided_at: NDArray[np.float64]
    reasons: Mapping[int, str]
    plan: Plan | None

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def gone(self) -> tuple[tuple[NodeId, int], ...]:
        """(destination, class) of what there is no more."""
        absent = self.relays[:, 0, 0] == ABSENT
        names = self.ids[self.destinations[absent]].tolist()
        return tuple(zip(map(NodeId, names), self.classes[absent].tolist(), strict=True))

    def pack(self) -> RouteColumns:
        """Return the routes that there are."""
        there = np.flatnonzero(self.relays[:, 0, 0] != ABSENT)
        relays, classes, destinations = self.relays[there], self.classes[there], self.destinations[there]
        present = (relays[..., 0] != ABSENT) @ np.array([1 << path for path in range(PATHS)])
        names = np.where(relays >= 0, self.ids[relays], np.uint16(0)).astype("<u2")
        if self.plan is None:
            known: F32 = np.full((len(FIGURES), PATHS, len(there)), np.nan, np.float32)
        else:
            known = figures(self.plan, self.index, classes, destinations, relays)
            known[known > _GREATEST] = np.nan
        columns: tuple[NDArray[Any], ...] = (
            self.ids[destinations].astype("<u2"),
            classes.astype(np.uint8),
            present.astype(np.uint8),
            self.decided_at[there].astype("<f8"),
            np.ascontiguousarray(names.transpose(1, 2, 0)),
            np.ascontiguousarray(known.transpose(1, 0, 2)).astype("<f2"),
        )
        places = {int(place): new for new, place in enumerate(there.tolist())} if self.reasons else {}
        reasons = {places[place]: text for place, text in self.reasons.items() if place in places}
        body = zlib.compress(b"".join([column.tobytes() for column in columns]), _LEVEL)
        return RouteColumns(len(there), body, reasons)

    def routes(self) -> tuple[Route, ...]:
        """Return the routes that there are, one by one."""
        return routes_of(self.pack())


@dataclass(frozen=True, slots=True)
class KeptRoutes:
    """What :meth:`RouteRows.pack` made, as arrays again: node ids, 0 where there is no relay."""

    destinations: NDArray[np.uint16]
    classes: Indices
    relays: Relays
    decided_at: NDArray[np.float64]
    rtt_ms: F32
    loss: F32
    reasons: Mapping[int, str]

    @classmethod
    def of(cls, columns: RouteColumns, index_of: NDArray[np.int64]) -> "KeptRoutes":
        """Read ``columns``; ``index_of`` [id] is −1 for who is not known: such paths are left out. Raises
        `routes.BadColumns`.
        """
        k, at = columns.number, 0
        raw = inflated(columns)

        def take(kind: str, *shape: int) -> NDArray[Any]:
            nonlocal at
            count = k * int(np.prod(shape, dtype=np.int64))
            column = np.frombuffer(raw, kind, count, at).reshape(*shape, k)
            at += column.nbytes
            return column

        destinations, classes, present = take("<u2"), take("u1"), take("u1")
        decided_at, names = take("<f8"), take("<u2", PATHS, RELAYS).transpose(2, 0, 1)
        known = take("<f2", PATHS, len(FIGURES))[0].astype(np.float32)
        relays = np.where(names > 0, index_of[names], NONE).astype(np.int16)
        there = (present[:, None] >> np.arange(PATHS)) & 1 > 0
        there &= ((names == 0) | (index_of[names] >= 0)).all(axis=-1)
        relays[~there] = (ABSENT, NONE)
        order = np.argsort(~there, axis=-1, kind="stable")  # back-ups move up where a primary is left out
        relays = np.take_along_axis(relays, order[..., None], axis=-2)
        return cls(
            destinations, classes.astype(np.intp), relays, decided_at,
            known[FIGURES.index("forecast_rtt_ms")], known[FIGURES.index("forecast_loss_ratio")],
            columns.reasons,
        )  # fmt: skip
