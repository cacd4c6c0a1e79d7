"""How full relays are, and what a route more would do to them. Pure.

A relay whose capacity is known costs more the fuller it is. A route is weighed with its own traffic on both
sides: where it is, that is part of the load already; where it would go, it is added. So two flows do not flee
each other from relay to relay. Called by `plan` and `rounds`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controller.planner.search import ABSENT, NONE, Relays
from controller.planner.table import RouteTable
from controller.prediction.forecast import Forecast
from controller.topology.links import F32, Bool, Vertex

BUSY = 0.5
"""Up to this utilisation a relay costs what an idle one does."""
STRAIN = 100.0
"""Times the square of what is above, in costs of an idle relay: 20 ms at 0.8, 52 ms when it is full."""
ROOM = 0.8
"""Routes move to a relay as long as it stays below this utilisation."""
UNSEEN_NS = 35_000_000_000
"""A route that moved less than two telemetry frames ago may not show in its relay's load yet."""


@dataclass(slots=True)
class Crowd:
    """Of each node: what it sends, what it can send (infinite: not known), and what will come through it but
    does not show yet, which grows as routes move; ``route_bps`` [from, to] is what a route carries whose
    first hop that is. All in bit/s.
    """

    used_bps: F32
    capacity_bps: F32
    coming_bps: F32
    route_bps: F32

    @classmethod
    def of(
        cls, vertices: Sequence[Vertex], forecast: Forecast, table: RouteTable, now_ns: int
    ) -> "Crowd | None":
        """Return what is known; None if no node's capacity is."""
        if forecast.load_bps is None or all(vertex.capacity_bps is None for vertex in vertices):
            return None
        capacity = [np.inf if vertex.capacity_bps is None else vertex.capacity_bps for vertex in vertices]
        load = np.nan_to_num(forecast.load_bps)
        primaries = table.relays[..., 0, :]
        coming = np.zeros(len(vertices), np.float32)
        crowd = cls(load.sum(axis=1), np.array(capacity, np.float32), coming, _route_bps(load, primaries))
        late = now_ns - table.changed_ns < UNSEEN_NS
        crowd.admit(table.carried_bps[late], primaries[late])
        return crowd

    def carried(self, sources: NDArray[np.intp], ends: NDArray[np.intp], relays: Relays) -> F32:
        """Return what routes on these paths carry."""
        hop = np.where(relays[:, 0] > NONE, relays[:, 0], ends)
        return self.route_bps[sources, hop]

    @property
    def utilisation(self) -> F32:
        """Return the share of its capacity that each node uses; 0 where that is not known."""
        return self.used_bps / self.capacity_bps

    @property
    def room_bps(self) -> F32:
        """Return how much more may come through each node; not below 0."""
        return np.maximum(ROOM * self.capacity_bps - self.used_bps - self.coming_bps, np.float32(0.0))

    def passage(self, relay: float) -> F32:
        """Return what it costs to pass each node, if an idle one costs ``relay``."""
        return strained(self.utilisation, relay)

    def added(self, carried: F32, relays: Relays, relay: float) -> F32:
        """Return how much dearer these paths become by the route that moves there."""
        more = np.zeros(len(carried), np.float32)
        for hop in (relays[:, 0], relays[:, 1]):
            at = np.maximum(hop, 0)
            then = (self.used_bps[at] + carried) / self.capacity_bps[at]
            more += np.where(hop > NONE, strained(then, relay) - strained(self.utilisation[at], relay), 0.0)
        return more

    def fits(self, carried: F32, relays: Relays) -> Bool:
        """Return which of these moves there is room for, the first ones first; one that there is no room for
        takes none from those behind it.
        """
        asked = np.zeros_like(self.coming_bps)
        for hop in (relays[:, 0], relays[:, 1]):
            np.add.at(asked, hop[hop > NONE], carried[hop > NONE])
        fit = np.ones(len(carried), np.bool_)
        contested = np.flatnonzero(((relays > NONE) & (asked > self.room_bps)[relays]).any(axis=1))
        room: list[float] = self.room_bps.tolist()
        for move in contested.tolist():
            bps = float(carried[move])
            passed: list[int] = [hop for hop in relays[move].tolist() if hop > NONE]
            fit[move] = all(bps <= room[hop] for hop in passed)
            for hop in passed if fit[move] else ():
                room[hop] -= bps
        return fit

    def admit(self, carried: F32, relays: Relays) -> None:
        """Count these moves."""
        for hop in (relays[:, 0], relays[:, 1]):
            passes = hop > NONE
            np.add.at(self.coming_bps, hop[passes], carried[passes])


def strained(utilisation: F32, relay: float) -> F32:
    """Return the cost of passing relays that are so full; ``relay`` if idle."""
    above = np.maximum(utilisation - np.float32(BUSY), np.float32(0.0))
    return (np.float32(relay) * (1.0 + np.float32(STRAIN) * above * above)).astype(np.float32)


def _route_bps(load: F32, primaries: Relays) -> F32:
    """Return [from, to] what a route carries that begins on this link, if all over it carry the same."""
    n = len(load)
    _, sources, ends = np.meshgrid(*map(np.arange, primaries.shape[:3]), indexing="ij")
    first, second = primaries[..., 0], primaries[..., 1]
    passing = _counts(sources, np.where(first > NONE, first, ends), first != ABSENT, n)
    passing += _counts(first, np.where(second > NONE, second, ends), first > NONE, n)
    passing += _counts(second, ends, second > NONE, n)
    return (load / np.maximum(passing, 1)).astype(np.float32)


def _counts(a: NDArray[np.integer], b: NDArray[np.integer], where: Bool, n: int) -> NDArray[np.int64]:
    """Return [a, b]: how often each pair comes up."""
    keys = a[where].astype(np.int64) * n + b[where]
    return np.bincount(keys, minlength=n * n).reshape(n, n)
