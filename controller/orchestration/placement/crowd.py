"""The sites that many apps would choose, each by itself, looked for at once at given prices of nodes. Pure.

One replica: all nodes are tried. Several: of the nodes that promise most, sites are added while that pays (or
must be), then exchanged one for one; once from as few as may be and once from as many, as one more may pay
only beside yet another. Apps are taken by the batch, so that numpy works on much at a time, and by the small
batch, so that it stays in the cache.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controller.orchestration.placement.problem import (
    EPSILON,
    F64,
    SHORTFALL_MS,
    Bool,
    Demand,
    Sites,
    single_ms,
)

Places = NDArray[np.intp]
NARROW = 64
"""So many nodes are looked at that are best for all of an app's users at once."""
OF_EACH = 4
"""And so many for each group of them."""
BATCH = 200_000
"""Numbers in an array of a batch."""
PASSES = 6
NONE = -1


class Crowd:
    """The apps of a problem, by index. ``single`` [app, node]: what each costs with one replica there."""

    def __init__(self, demands: Sequence[Demand], *, narrow: bool = True) -> None:
        """``narrow``: not all nodes are looked at for several replicas."""
        self.demands = demands
        self.single: F64 = np.array([single_ms(demand) for demand in demands])
        self.requests: F64 = np.array([demand.requests for demand in demands])
        self._narrow = narrow
        self._most = np.array([demand.most for demand in demands], np.intp)

    def best(
        self,
        price_ms: F64,
        start: Sequence[Sites] = (),
        rows: Mapping[int, F64] | None = None,
        apps: Sequence[int] | None = None,
    ) -> tuple[list[Sites], F64]:
        """Return good sites of each of ``apps`` (None: of all) and what they cost with prices; nothing, and
        inf, where there are none. ``price_ms`` [one of apps, node]: what each node costs it more.

        ``start`` [app]: sites from which the search begins as well. ``rows``: by app, [row, node], groups of
        users beside its own, in ms.
        """
        chosen = range(len(self.demands)) if apps is None else apps
        sites: list[Sites] = [()] * len(chosen)
        cost = np.full(len(chosen), np.inf)
        if not len(chosen):
            return sites, cost
        total = self.single[list(chosen)] + price_ms
        rows = rows or {}
        several: list[tuple[int, bool, int]] = []
        for place, app in enumerate(chosen):
            if self._most[app] > 1:
                demand = self.demands[app]
                groups = len(demand.users_ms) + len(rows.get(app, ()))
                several.append((groups, demand.promised > 0.0, place))
            elif app in rows:
                total[place] += rows[app].sum(axis=0)
        at = total.argmin(axis=1)
        least = total[np.arange(len(total)), at]
        for place, app in enumerate(chosen):
            if self._most[app] == 1 and np.isfinite(least[place]):
                sites[place], cost[place] = (int(at[place]),), least[place]
        several.sort()
        while several:
            size = max(1, BATCH // (several[-1][0] * self._width(several[-1][0], total.shape[1])))
            part, several = [place for *_, place in several[-size:]], several[:-size]
            cases = [
                self._case(
                    chosen[place],
                    price_ms[place],
                    total[place],
                    start[chosen[place]] if len(start) else (),
                    rows.get(chosen[place]),
                )
                for place in part
            ]
            for place, found, ms in zip(part, *self._search(cases), strict=True):
                sites[place], cost[place] = found, ms
        return sites, cost

    def _width(self, groups: int, nodes: int) -> int:
        return min(nodes, NARROW + OF_EACH * groups) if self._narrow else nodes

    def _case(self, app: int, price_ms: F64, total_ms: F64, start: Sites, rows: F64 | None) -> "_Case":
        """Return what is to be searched: among all nodes, or those that are best for the app, for each group
        of its users, or among ``start``. One may be there twice.
        """
        demand, nodes = self.demands[app], len(total_ms)
        if not self._narrow or nodes <= NARROW:
            return _Case(demand, np.arange(nodes), price_ms, start, rows)
        best = np.argpartition(total_ms, NARROW)[:NARROW]
        each_ms = demand.users_ms + (demand.site_ms + price_ms)
        if demand.promised > 0.0:
            each_ms -= SHORTFALL_MS * demand.within
        near = np.argpartition(each_ms, OF_EACH, axis=1)[:, :OF_EACH].ravel()
        looked_at = np.concatenate((np.array(start, np.intp), best, near))
        return _Case(demand, looked_at, price_ms, start, rows)

    def _search(self, cases: Sequence["_Case"]) -> tuple[list[Sites], F64]:
        batch, nodes = _gather(cases)
        begun = [batch.grow(batch.none(), batch.least)]
        if any(case.start for case in cases):
            begun.append(batch.of([case.start for case in cases], nodes))
        else:
            begun.append(batch.grow(batch.none(), batch.most))
        found = [batch.exchange(one) for one in begun]
        cost = np.array([batch.cost(one) for one in found])
        which = cost.argmin(axis=0)
        sites: list[Sites] = []
        for place, attempt in enumerate(which.tolist()):
            taken = found[int(attempt)][place, :]
            there = tuple(sorted(nodes[place, taken[taken != NONE]].tolist()))
            sites.append(there if np.isfinite(cost[attempt, place]) else ())
        return sites, cost.min(axis=0)


@dataclass(frozen=True, slots=True)
class _Case:
    demand: Demand
    nodes: Places
    price_ms: F64
    start: Sites
    rows: F64 | None

    @property
    def groups(self) -> int:
        return len(self.demand.users_ms) + (0 if self.rows is None else len(self.rows))


def _gather(cases: Sequence[_Case]) -> tuple["_Batch", Places]:
    """Return the arrays of a batch, and [app, place] the nodes that its places are."""
    width = max(len(case.nodes) for case in cases)
    nodes = np.empty((len(cases), width), np.intp)
    users = np.zeros((len(cases), max(case.groups for case in cases), width))
    within, site, zone = np.zeros_like(users), np.empty(nodes.shape), nodes.copy()
    for place, case in enumerate(cases):
        demand, own = case.demand, len(case.demand.users_ms)
        at = nodes[place]
        at[: len(case.nodes)], at[len(case.nodes) :] = case.nodes, case.nodes[-1]
        users[place, :own] = demand.users_ms[:, at]
        within[place, :own] = demand.within[:, at]
        if case.rows is not None:
            users[place, own : case.groups] = case.rows[:, at]
        site[place] = (demand.site_ms + case.price_ms)[at]
        zone[place] = at if demand.zone is None else demand.zone[at]
    promised = np.array([case.demand.promised for case in cases])
    least = np.array([case.demand.least for case in cases])
    most = np.array([case.demand.most for case in cases])
    return _Batch(users, within, site, zone, promised, least, most), nodes


@dataclass(frozen=True, slots=True)
class _Batch:
    """``users``, ``within`` [app, group, place], ``site`` (with prices), ``zone`` [app, place]; of each app
    ``promised``, ``least`` and ``most`` as in a demand. Sites are [app, slot], places or :data:`NONE`.
    """

    users: F64
    within: F64
    site: F64
    zone: Places
    promised: F64
    least: Places
    most: Places

    def none(self) -> Places:
        return np.full((len(self.site), int(self.most.max())), NONE)

    def of(self, sites: Sequence[Sites], nodes: Places) -> Places:
        """Return ``sites`` by place; as many as an app may have."""
        made = self.none()
        for app, there in enumerate(sites):
            for slot, site in enumerate(there[: int(self.most[app])]):
                made[app, slot] = int((nodes[app] == site).argmax())
        return made

    def only(self, apps: Places) -> "_Batch":
        return _Batch(
            self.users[apps], self.within[apps], self.site[apps], self.zone[apps],
            self.promised[apps], self.least[apps], self.most[apps],
        )  # fmt: skip

    def cost(self, taken: Places) -> F64:
        """Return [app] what sites cost; inf where they may not be."""
        now, kept = self._served(taken)
        return self._sum(now.sum(axis=1), kept.sum(axis=1)) + self._sites(taken)

    def with_each(self, taken: Places) -> F64:
        """Return [app, place] what it would cost to have that place as well."""
        now, kept = self._served(taken)
        total = np.minimum(self.users, now[:, :, None]).sum(axis=1)
        if self.promised.any():
            nearer = self.users < now[:, :, None]
            total = self._sum(total, np.where(nearer, self.within, kept[:, :, None]).sum(axis=1))
        total += self.site + self._sites(taken)[:, None]
        for slot in taken.T:
            zone = np.where(slot == NONE, NONE, np.take_along_axis(self.zone, slot[:, None], 1)[:, 0])
            total[self.zone == zone[:, None]] = np.inf
        return total

    def grow(self, taken: Places, least: Places) -> Places:
        """Add sites while there are fewer than ``least``, or that pays."""
        taken, cost = taken.copy(), self.cost(taken)
        open_ = np.arange(len(taken))
        while len(open_):
            count = (taken[open_] != NONE).sum(axis=1)
            open_ = open_[count < self.most[open_]]
            if not len(open_):
                break
            part = self if len(open_) == len(taken) else self.only(open_)
            total = part.with_each(taken[open_])
            place = total.argmin(axis=1)
            found = total[np.arange(len(open_)), place]
            count = (taken[open_] != NONE).sum(axis=1)
            go = np.isfinite(found) & ((count < least[open_]) | (found < cost[open_] - EPSILON))
            open_, place, found = open_[go], place[go], found[go]
            slot = (taken[open_] == NONE).argmax(axis=1)
            taken[open_, slot], cost[open_] = place, found
        return taken

    def exchange(self, taken: Places) -> Places:
        """Put other sites in the place of some, or leave them out, while that is cheaper; then add."""
        taken, cost = taken.copy(), self.cost(taken)
        open_ = np.arange(len(taken))
        for _ in range(PASSES):
            better = np.zeros(len(taken), np.bool_)
            for slot in range(taken.shape[1]):
                own = open_[taken[open_, slot] != NONE]
                if len(own):
                    better[own[self._exchange(own, slot, taken, cost)]] = True
            open_ = np.flatnonzero(better)
            if not len(open_):
                break
        return self.grow(taken, self.least)

    def _exchange(self, apps: Places, slot: int, taken: Places, cost: F64) -> Bool:
        """Change one slot of ``apps`` for the better, in place; return [one of apps] whether it was."""
        part = self if len(apps) == len(taken) else self.only(apps)
        rest = taken[apps]
        rest[:, slot] = NONE
        total = part.with_each(rest)
        place = total.argmin(axis=1)
        found = total[np.arange(len(apps)), place]
        fewer = part.cost(rest)
        out = ((rest != NONE).sum(axis=1) >= part.least) & (fewer <= found)
        found, place = np.where(out, fewer, found), np.where(out, NONE, place)
        better = found < cost[apps] - EPSILON
        taken[apps[better], slot], cost[apps[better]] = place[better], found[better]
        return better

    def _served(self, taken: Places) -> tuple[F64, F64]:
        """Return [app, group] what it costs to serve each from the cheapest of the sites, inf where there are
        none, and the share that is within bounds there.
        """
        none = (taken == NONE)[:, None, :]
        at = np.where(none, 0, taken[:, None, :])
        users = np.where(none, np.inf, np.take_along_axis(self.users, at, 2))
        by = users.argmin(axis=2)[:, :, None]
        now = np.take_along_axis(users, by, 2)[:, :, 0]
        within = np.take_along_axis(np.take_along_axis(self.within, at, 2), by, 2)[:, :, 0]
        return now, np.where(np.isfinite(now), within, 0.0)

    def _sites(self, taken: Places) -> F64:
        return np.where(taken == NONE, 0.0, np.take_along_axis(self.site, np.maximum(taken, 0), 1)).sum(
            axis=1
        )

    def _sum(self, users: F64, within: F64) -> F64:
        promised = self.promised.reshape(-1, *(1,) * (within.ndim - 1))
        return users + SHORTFALL_MS * np.maximum(0.0, promised - within)
