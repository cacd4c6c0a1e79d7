"""The cheapest path of at most two relays for every pair of nodes at once. Pure.

What is asked of the engine's search (`overlayd._engine.PathSearch`; the crate `engine/paths` says what is
exact), and sums along paths that are in force.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from controller.policy.costs import OUT_OF_BOUND, RELAY_MS, Costs
from controller.policy.rules import MOST_RELAYS
from controller.topology.links import F32, Bool
from overlayd._engine import PathSearch

Relays: TypeAlias = NDArray[np.int16]
"""[..., 2]: the relays of a path as indices, :data:`NONE` where there is none; (ABSENT, NONE): no path."""

NONE = -1
ABSENT = -2
SECOND_RELAYS = 64
"""So many relays, those that serve most pairs, may be the second ones of a path (Seattle and PlanetLab: a
second relay adds 1–5 points, and the 64 most used relays keep 96 % of the gain).
"""
THREADS = 2
ROUNDING = 1.00001
"""Sums of float32 may be above what they are the sum of."""
FEW = 64
"""For fewer nodes a second thread takes longer to start than it saves."""


@dataclass(frozen=True, slots=True)
class Paths:
    """For each pair [from, to] the cheapest path; ``cost`` infinite and relays ABSENT where there is none."""

    cost: F32
    relays: Relays


class Search:
    """One class's costs, prepared. ``relays`` are the indices of nodes that may be relays; an ``engine`` that
    is given has these costs already.
    """

    def __init__(
        self,
        costs: Costs,
        relays: NDArray[np.intp],
        second: int = SECOND_RELAYS,
        engine: PathSearch | None = None,
    ) -> None:
        self.costs = costs
        self._n = len(costs.direct)
        self._relays, self._second = relays, second
        self._engine = engine or prepared(costs, relays, second)

    def best(self, avoid: Relays | None = None) -> Paths:
        """Return the cheapest path of every pair that shares nothing with the pair's paths in ``avoid``
        [from, to, up to 2, relays].
        """
        n = self._n
        cost, relays = self._engine.best(None if avoid is None else np.ascontiguousarray(avoid))
        return Paths(
            np.frombuffer(cost, np.float32).reshape(n, n),
            np.frombuffer(relays, np.int16).reshape(n, n, 2),
        )

    def renewed(self, costs: Costs, links: Bool, limits: Bool) -> "Search | None":
        """Return this search with other costs, which differ only in these ``links`` and in the caps of pairs
        with other ``limits``, each [from, to]; None if one made anew could have other answers. This one is
        not to be used any more.
        """
        for a, b in np.argwhere(links).tolist():
            direct, link, rtt = float(costs.direct[a, b]), float(costs.link[a, b]), float(costs.rtt_ms[a, b])
            self._engine.update(a, b, direct, link, rtt)
        if costs.rtt_cap_ms is not None and limits.any():
            rows, columns = np.nonzero(limits)
            caps = costs.rtt_cap_ms[rows, columns]
            self._engine.limit(list(zip(rows.tolist(), columns.tolist(), caps.tolist(), strict=True)))
        if not self._engine.is_current():
            return None
        return Search(costs, self._relays, self._second, self._engine)

    def without(self, nodes: Bool) -> Paths:
        """Return the cheapest path of every pair that passes none of ``nodes`` [node]."""
        left = self._relays[~nodes[self._relays]]
        return Search(self.costs, left, self._second).best()


def prepared(costs: Costs, relays: NDArray[np.intp], second: int = SECOND_RELAYS) -> PathSearch:
    """Return the engine's search of one class."""
    cap = costs.rtt_cap_ms
    everyone = len(relays) == len(costs.direct) and bool((np.diff(relays) > 0).all())
    passage = np.full(len(relays), costs.relay, np.float32)
    if costs.passage is not None:
        passage = np.ascontiguousarray(costs.passage[relays])
    return PathSearch(
        np.ascontiguousarray(costs.direct),
        relays.astype(np.int16),
        passage,
        np.ascontiguousarray(costs.link if everyone else costs.link[:, relays]),
        np.ascontiguousarray(costs.link if everyone else costs.link[relays]),
        rtt=None if cap is None else np.ascontiguousarray(costs.rtt_ms),
        limit=None if cap is None else np.ascontiguousarray(cap),
        per_relay=RELAY_MS,
        penalty=OUT_OF_BOUND,
        second=second,
        threads=THREADS if len(costs.direct) > FEW else 1,
    )


def disjoint(relays: Relays, others: Relays) -> Bool:
    """Return where a path shares nothing with ``others`` [from, to, path, relays]: no relay, nor the direct
    link.
    """
    shared: Bool = np.zeros(relays.shape[:2], np.bool_)
    straight = relays[..., 0] == NONE
    for path in range(others.shape[2]):
        shared |= straight & (others[..., path, 0] == NONE)
        for own in range(relays.shape[-1]):
            one = relays[..., own]
            for other in range(others.shape[-1]):
                shared |= (one == others[..., path, other]) & (one >= 0)
    return ~shared & (relays[..., 0] != ABSENT)


def differ(relays: Relays, others: Relays) -> Bool:
    """Return where paths are not the same."""
    return (relays[..., 0] != others[..., 0]) | (relays[..., 1] != others[..., 1])


def path_sum(link: F32, direct: F32, relays: Relays, per_relay: float | F32) -> F32:
    """Return the sum along one path per pair: of ``link`` over relayed paths, of ``direct`` over direct
    ones, and ``per_relay``, for all or [node]; NaN where there is no path.
    """
    n = len(direct)
    over = np.broadcast_to(np.asarray(per_relay, np.float32), n)
    links, total = np.ravel(link), np.array(direct, np.float32)
    # Many paths are direct: only what the others pass is looked up.
    rows, columns = np.nonzero(relays[..., 0] >= 0)
    passed = relays[rows, columns].astype(np.intp)
    first, second = passed[:, 0], passed[:, 1]
    total[rows, columns] = links.take(rows * n + first) + links.take(first * n + columns) + over[first]
    more = np.flatnonzero(second >= 0)
    rows, columns, first, second = rows[more], columns[more], first[more], second[more]
    legs = links.take(rows * n + first) + links.take(first * n + second) + links.take(second * n + columns)
    total[rows, columns] = legs + (over[first] + over[second])
    total[relays[..., 0] == ABSENT] = np.nan
    return total


def path_cost(costs: Costs, relays: Relays, link: F32 | None = None) -> F32:
    """Return the cost of one path per pair, in force unless ``link`` says otherwise; infinite where there is
    none or it cannot be used.
    """
    per_relay = costs.relay if costs.passage is None else costs.passage
    total = path_sum(costs.kept if link is None else link, costs.direct, relays, per_relay)
    if costs.rtt_cap_ms is not None:
        rtt = path_sum(costs.rtt_ms, costs.rtt_ms, relays, RELAY_MS)
        with np.errstate(invalid="ignore"):
            _penalize(total, rtt > costs.rtt_cap_ms)
    if costs.limits:
        _penalize(total, above_limits(costs, relays))
    if costs.most_relays < MOST_RELAYS:
        _penalize(total, (relays > NONE).sum(axis=-1) > costs.most_relays)
    return np.where(np.isnan(total), np.float32(np.inf), total)


def above_limits(costs: Costs, relays: Relays) -> Bool:
    """Return where a path is above one of its class's limits."""
    above = np.zeros(relays.shape[:2], np.bool_)
    for limit in costs.limits:
        with np.errstate(invalid="ignore"):
            above |= path_sum(limit.link, limit.link, relays, 0.0) > limit.most * ROUNDING
    return above


def barred(costs: Costs, relays: Relays) -> Bool:
    """Return where a path passes a relay that is not to be used."""
    if costs.passage is None:
        return np.zeros(relays.shape[:2], np.bool_)
    shut = np.isinf(costs.passage)
    return np.any((relays > NONE) & shut[np.maximum(relays, 0)], axis=-1)


def _penalize(cost: F32, where: Bool) -> None:
    """Add to ``cost`` in place."""
    np.add(cost, np.float32(OUT_OF_BOUND), out=cost, where=where)
