"""The routes in force as arrays, so that a decision over all pairs is a handful of matrix operations.
Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from controller.planner.search import ABSENT, NONE, Relays
from controller.topology.links import F32, I64, NEVER, Bool

PATHS = 3
"""A primary and two back-ups."""


@dataclass(slots=True)
class RouteTable:
    """[class, from, to, ...] by index of the topology.

    ``relays`` [..., path, 2] are the paths, best first. ``rtt_ms`` and ``loss`` are the primary's forecast
    as last published; ``changed_ns`` is when the primary last changed, ``gained`` whether that was for a gain
    only, ``carried_bps`` what the route then carried, where relays' loads count; ``torn`` where paths were
    lost with a removed node, which has to be published whatever the next decision is, ``bereft`` where the
    primary was among them.
    """

    relays: Relays
    rtt_ms: F32
    loss: F32
    changed_ns: I64
    gained: Bool
    carried_bps: F32
    torn: Bool
    bereft: Bool

    @classmethod
    def empty(cls, classes: int, n: int) -> "RouteTable":
        relays = np.full((classes, n, n, PATHS, 2), NONE, np.int16)
        relays[..., 0] = ABSENT
        shape = (classes, n, n)
        nan = np.full(shape, np.nan, np.float32)
        return cls(
            relays,
            nan,
            nan.copy(),
            np.full(shape, NEVER, np.int64),
            np.zeros(shape, np.bool_),
            np.zeros(shape, np.float32),
            np.zeros(shape, np.bool_),
            np.zeros(shape, np.bool_),
        )

    def copy(self) -> "RouteTable":
        """Return a table that shares nothing with this one."""
        return RouteTable(*(getattr(self, name).copy() for name in RouteTable.__slots__))

    def grown(self, n: int) -> "RouteTable":
        """Return a table for ``n`` nodes, the first of which are those of this one."""
        classes, before = self.relays.shape[:2]
        table = RouteTable.empty(classes, n)
        for name in RouteTable.__slots__:
            getattr(table, name)[:, :before, :before] = getattr(self, name)
        return table

    def without(self, index: int) -> "RouteTable":
        """Return a table without the node at ``index``; paths through it are gone, later indices move
        down.
        """

        def cut(array: np.ndarray) -> np.ndarray:
            return np.delete(np.delete(array, index, 1), index, 2)

        relays = cut(self.relays)
        broken = (relays == index).any(axis=-1)
        relays[relays > index] -= 1
        _tear(relays, broken)
        return RouteTable(
            relays,
            cut(self.rtt_ms),
            cut(self.loss),
            cut(self.changed_ns),
            cut(self.gained),
            cut(self.carried_bps),
            cut(self.torn) | broken.any(axis=-1),
            cut(self.bereft) | broken[..., 0],
        )

    def bar(self, nodes: Sequence[int]) -> None:
        """Forget paths through ``nodes``, which are no relays any more."""
        if len(nodes):
            broken: Bool = np.any(np.isin(self.relays, nodes), axis=-1)
            _tear(self.relays, broken)
            self.torn |= broken.any(axis=-1)
            self.bereft |= broken[..., 0]


def _tear(relays: Relays, broken: Bool) -> None:
    """Take out the paths that are ``broken``, in place."""
    relays[broken] = (ABSENT, NONE)
    # Back-ups move up where the primary went.
    order = np.argsort(relays[..., 0] == ABSENT, axis=-1, kind="stable")
    relays[:] = np.take_along_axis(relays, order[..., None], axis=-2)
