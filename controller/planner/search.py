"""The cheapest path of at most two relays for every pair of nodes at once. Pure.

Exact over all single relays, and over all pairs whose second relay is among the ``second`` most useful ones
(Seattle and PlanetLab: two relays add 1–5 points, so a subset loses little). Relays that a pair must not use
again are masked, which is how disjoint back-ups are found: by successive removal.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from controller.policy.costs import OUT_OF_BOUND, RELAY_MS, Costs
from controller.topology.links import F32, Bool

Relays: TypeAlias = NDArray[np.int16]
"""[..., 2]: the relays of a path as indices, :data:`NONE` where there is none; (ABSENT, NONE): no path."""

NONE = -1
ABSENT = -2
SECOND_RELAYS = 16
PROMISING = 8
"""How many first relays of a two-relay path are tried before all are."""
BATCH = 2**16
"""So many (source, destination, relay) are looked at in one go, or those of one source."""


@dataclass(frozen=True, slots=True)
class Paths:
    """For each pair [from, to] the cheapest path; ``cost`` infinite and relays ABSENT where there is none."""

    cost: F32
    relays: Relays


@dataclass(frozen=True, slots=True)
class Taken:
    """What a pair [from, to] must not use: relays [from, to, node], and the direct path."""

    relays: Bool
    direct: Bool

    @classmethod
    def nothing(cls, n: int) -> "Taken":
        return cls(np.zeros((n, n, n), np.bool_), np.zeros((n, n), np.bool_))

    def add(self, relays: Relays) -> None:
        """Take the relays of one more path per pair, or the direct path where it has none."""
        n = len(self.direct)
        rows, columns = np.indices((n, n))
        for position in (0, 1):
            relay = relays[..., position]
            used = relay >= 0
            self.relays[rows[used], columns[used], relay[used]] = True
        np.logical_or(self.direct, relays[..., 0] == NONE, out=self.direct)

    def free(self, relays: Relays) -> Bool:
        """Return where a path uses nothing that is taken."""
        n = len(self.direct)
        rows, columns = np.indices((n, n))
        first, second = np.maximum(relays[..., 0], 0), np.maximum(relays[..., 1], 0)
        used = (relays[..., 0] >= 0) & self.relays[rows, columns, first]
        used |= (relays[..., 1] >= 0) & self.relays[rows, columns, second]
        used |= (relays[..., 0] == NONE) & self.direct
        return ~used & (relays[..., 0] != ABSENT)


class Search:
    """One class's costs, prepared. ``relays`` are the indices of nodes that may be relays.

    Arrays have the destination first and relays last, so that the minimum runs along memory.
    """

    def __init__(self, costs: Costs, relays: NDArray[np.intp], second: int = SECOND_RELAYS) -> None:
        self._costs = costs
        self._relays = relays
        self._second = self._most_useful(second)
        middle = np.ix_(relays, relays[self._second])
        # [to, relay] and [to, first, second]: from the (first) relay on.
        self._last = np.ascontiguousarray(costs.link[relays].T) + np.float32(costs.relay)
        between = costs.link[middle] + np.float32(costs.relay)
        tail = between[None] + self._last[:, None, self._second]
        self._tail: F32 = tail.astype(np.float32, copy=False)
        if costs.rtt_cap_ms is not None:
            last_rtt = np.ascontiguousarray(costs.rtt_ms[relays].T) + np.float32(RELAY_MS)
            between_rtt = costs.rtt_ms[middle] + np.float32(RELAY_MS)
            self._last_rtt = last_rtt
            tail_rtt = between_rtt[None] + last_rtt[:, None, self._second]
            self._tail_rtt: F32 = tail_rtt.astype(np.float32, copy=False)
        # What a first relay needs at least from there on, by whatever second one.
        self._least_tail = self._tail.min(axis=2, initial=np.inf)

    def best(self, taken: Taken | None = None) -> Paths:
        """Return the cheapest path of every pair that uses nothing that is taken."""
        costs = self._costs
        n = len(costs.direct)
        cost = costs.direct.copy()
        if costs.rtt_cap_ms is not None:
            _penalize(cost, costs.rtt_ms, costs.rtt_cap_ms)
        if taken is not None:
            cost[taken.direct] = np.inf
        np.fill_diagonal(cost, np.inf)
        relays = np.full((n, n, 2), NONE, np.int16)
        if len(self._relays):
            together = max(1, BATCH // (n * len(self._relays)))
            for start in range(0, n, together):
                sources = np.arange(start, min(start + together, n))
                self._by_relays(sources, taken, cost[start:], relays[start:])
        relays[~np.isfinite(cost), 0] = ABSENT
        return Paths(cost, relays)

    def _by_relays(self, sources: NDArray[np.intp], taken: Taken | None, cost: F32, chosen: Relays) -> None:
        """Put relayed paths from ``sources`` into ``cost`` and ``chosen`` [source, to] where they beat what
        is there.
        """
        costs, relays = self._costs, self._relays
        rows = np.arange(len(sources))
        # A relay must be neither end, nor taken; [source, to, relay].
        barred = np.zeros((len(rows), len(costs.direct), len(relays)), np.float32)
        barred += np.where(sources[:, None] == relays, np.float32(np.inf), np.float32(0.0))[:, None]
        barred[:, relays, np.arange(len(relays))] = np.inf
        barred[rows, sources] = np.inf
        if taken is not None:
            barred[taken.relays[sources][:, :, relays]] = np.inf
        first = barred.copy()
        first += costs.link[sources[:, None, None], relays]
        one = first.copy()
        one += self._last
        if costs.rtt_cap_ms is not None:
            rtt = np.broadcast_to(self._last_rtt, one.shape).copy()
            rtt += costs.rtt_ms[sources[:, None, None], relays]
            _penalize(one, rtt, costs.rtt_cap_ms[sources][:, :, None])
        row, to = (axis.ravel() for axis in np.indices(one.shape[:2]))
        best = one.argmin(axis=2).ravel()
        self._take(row, to, one[row, to, best], relays[best], None, cost, chosen)
        # A second relay is looked for where it could be better, by the first ones that promise most; where
        # a worse one could still be better than what these hold, by all.
        least = first + self._least_tail
        row, to = np.nonzero(least.min(axis=2) < cost[: len(rows)])
        if len(relays) > PROMISING and len(row):
            order = np.argpartition(least[row, to], PROMISING, axis=1)
            self._by_two(sources, row, to, order[:, :PROMISING], first, barred, cost, chosen)
            left = least[row, to, order[:, PROMISING]] < cost[row, to]
            row, to = row[left], to[left]
        if len(row):
            everyone_first = np.broadcast_to(np.arange(len(relays)), (len(row), len(relays)))
            self._by_two(sources, row, to, everyone_first, first, barred, cost, chosen)

    def _by_two(
        self,
        sources: NDArray[np.intp],
        row: NDArray[np.intp],
        to: NDArray[np.intp],
        firsts: NDArray[np.intp],
        first: F32,
        barred: F32,
        cost: F32,
        chosen: Relays,
    ) -> None:
        """Try two relays for the pairs (``row``, ``to``), the first among ``firsts`` [pair, choice]."""
        costs, relays, second = self._costs, self._relays, self._second
        two: F32 = self._tail[to[:, None], firsts] + first[row[:, None], to[:, None], firsts][:, :, None]
        two += barred[row, to][:, None, second]
        if costs.rtt_cap_ms is not None:
            source = sources[row]
            rtt = self._tail_rtt[to[:, None], firsts]
            rtt += costs.rtt_ms[source[:, None], relays[firsts]][:, :, None]
            _penalize(two, rtt, costs.rtt_cap_ms[source, to][:, None, None])
        flat = two.reshape(len(to), -1)
        best = flat.argmin(axis=1)
        lines = np.arange(len(to))
        choice, second_of = np.divmod(best, len(second))
        offered, last = flat[lines, best], relays[second[second_of]]
        self._take(row, to, offered, relays[firsts[lines, choice]], last, cost, chosen)

    @staticmethod
    def _take(
        row: NDArray[np.intp],
        to: NDArray[np.intp],
        offered: F32,
        first: NDArray[np.intp],
        second: NDArray[np.intp] | None,
        cost: F32,
        chosen: Relays,
    ) -> None:
        better = offered < cost[row, to]
        row, to = row[better], to[better]
        cost[row, to] = offered[better]
        chosen[row, to, 0] = first[better]
        chosen[row, to, 1] = NONE if second is None else second[better]

    def _most_useful(self, number: int) -> NDArray[np.intp]:
        """Return the positions (within the relays) of those that serve most pairs as single relays."""
        relays = self._relays
        if len(relays) <= number:
            return np.arange(len(relays))
        link = self._costs.link
        served = np.zeros(len(relays), np.int64)
        for source in range(len(link)):
            by = link[source, relays][:, None] + link[relays]
            winner = by.argmin(axis=0)
            served += np.bincount(winner[np.isfinite(by.min(axis=0))], minlength=len(relays))
        return np.sort(np.argsort(-served, kind="stable")[:number])


def path_sum(link: F32, direct: F32, relays: Relays, per_relay: float) -> F32:
    """Return the sum along one path per pair: of ``link`` over relayed paths, of ``direct`` over direct
    ones; NaN where there is no path.
    """
    n = len(direct)
    rows, columns = np.indices((n, n))
    first, second = np.maximum(relays[..., 0], 0), np.maximum(relays[..., 1], 0)
    one = link[rows, first] + link[first, columns] + np.float32(per_relay)
    two = link[rows, first] + link[first, second] + link[second, columns] + np.float32(2 * per_relay)
    total = np.where(relays[..., 1] >= 0, two, np.where(relays[..., 0] >= 0, one, direct))
    return np.where(relays[..., 0] == ABSENT, np.float32(np.nan), total)


def path_cost(costs: Costs, relays: Relays) -> F32:
    """Return the cost of one path in force per pair; infinite where there is none or it cannot be used."""
    total = path_sum(costs.kept, costs.direct, relays, costs.relay)
    if costs.rtt_cap_ms is not None:
        rtt = path_sum(costs.rtt_ms, costs.rtt_ms, relays, RELAY_MS)
        with np.errstate(invalid="ignore"):
            _penalize(total, rtt, costs.rtt_cap_ms)
    return np.where(np.isnan(total), np.float32(np.inf), total)


def _penalize(cost: F32, rtt: F32, cap: F32) -> None:
    """Add to ``cost`` in place where ``rtt`` is above ``cap``."""
    np.add(cost, np.float32(OUT_OF_BOUND), out=cost, where=rtt > cap)
