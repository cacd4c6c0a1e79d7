"""The best sites of one app by itself, at given prices of nodes. Pure.

One replica: all nodes are tried at once. Several: sites are added while they pay (or must be), then exchanged
one for one while that pays; few choices are tried all.
"""

from collections.abc import Iterable, Sequence
from itertools import combinations
from math import comb

import numpy as np

from controller.orchestration.placement.problem import F64, SHORTFALL_MS, Demand, Sites, cost_of

EPSILON = 1e-9
FEW = 3000
"""So many choices are tried all."""
BOUND_STEPS, BOUND_PATIENCE, PARTS = 60, 5, 6
"""Of the search for a bound: steps, how many without a better one until they become half as long, and how
often the part is halved in on.
"""


class Chooser:
    """Chooses for one app; keeps what does not depend on prices."""

    def __init__(self, demand: Demand) -> None:
        self.demand = demand
        users = demand.users_ms.sum(axis=0)
        short = SHORTFALL_MS * np.maximum(0.0, demand.promised - demand.within.sum(axis=0))
        self._single: F64 = users + demand.site_ms + (short if demand.promised > 0.0 else 0.0)
        self._possible = demand.possible

    def single(self) -> F64:
        """Return [node] what the app costs with one replica there."""
        return self._single

    def best(self, price_ms: F64, start: Iterable[int] = (), thorough: bool = False) -> tuple[Sites, float]:
        """Return good sites where node i costs ``price_ms[i]`` more, and what they cost with that. None: inf.

        ``start``: sites to begin from, when several are asked; ``thorough``: look twice.
        """
        demand = self.demand
        if demand.most == 1:
            if not self._possible:
                return (), np.inf
            total = self._single + price_ms
            site = int(np.argmin(total))
            return ((site,), float(total[site])) if np.isfinite(total[site]) else ((), np.inf)
        if len(self._possible) < demand.least:
            return (), np.inf
        # One more may pay only beside yet another: then also from as many sites as may be.
        begun = (demand.least, demand.most) if thorough else (demand.least,)
        grown = [_grow(self, list(start), price_ms, least) for least in begun]
        found = [_exchange(self, sites, price_ms) for sites in grown]
        sites = min(found, key=lambda own: self.cost(own, price_ms))
        return tuple(sorted(sites)), self.cost(sites, price_ms)

    def cost(self, sites: Iterable[int], price_ms: F64) -> float:
        """Return what ``sites`` cost with prices."""
        sites = tuple(sites)
        return cost_of(self.demand, sites) + float(price_ms[list(sites)].sum()) if sites else np.inf

    def with_each(self, sites: list[int], price_ms: F64) -> F64:
        """Return [node] what it would cost to have that node as well; inf where it is among them."""
        demand = self.demand
        if not sites:
            return self._single + price_ms
        users, within = demand.users_ms, demand.within
        by = np.array(sites, np.intp)[np.argmin(users[:, sites], axis=1)]
        groups = np.arange(len(by))
        now = users[groups, by][:, None]
        nearer = users < now
        total = np.where(nearer, users, now).sum(axis=0) + demand.site_ms + price_ms
        total += float(demand.site_ms[sites].sum() + price_ms[sites].sum())
        if demand.promised > 0.0:
            kept = np.where(nearer, within, within[groups, by][:, None]).sum(axis=0)
            total += SHORTFALL_MS * np.maximum(0.0, demand.promised - kept)
        total[demand.near(sites)] = np.inf
        return total


def _grow(chooser: Chooser, sites: list[int], price_ms: F64, least: int) -> list[int]:
    demand = chooser.demand
    cost = chooser.cost(sites, price_ms)
    while len(sites) < demand.most:
        total = chooser.with_each(sites, price_ms)
        site = int(np.argmin(total))
        if not np.isfinite(total[site]) or (len(sites) >= least and total[site] >= cost - EPSILON):
            break
        sites, cost = [*sites, site], float(total[site])
    return sites


def _exchange(chooser: Chooser, sites: list[int], price_ms: F64) -> list[int]:
    """Put another site in the place of one, or leave one out, while that is cheaper."""
    cost = chooser.cost(sites, price_ms)
    better = True
    while better and sites:
        better = False
        for out in tuple(sites):
            rest = [site for site in sites if site != out]
            if len(rest) >= chooser.demand.least and chooser.cost(rest, price_ms) < cost - EPSILON:
                sites, cost, better = rest, chooser.cost(rest, price_ms), True
                continue
            total = chooser.with_each(rest, price_ms)
            site = int(np.argmin(total))
            if total[site] < cost - EPSILON:
                sites, cost, better = [*rest, site], float(total[site]), True
    return _grow(chooser, sites, price_ms, chooser.demand.least)


def choices(demand: Demand) -> int:
    """Return how many choices of sites there are."""
    return sum(comb(len(demand.possible), size) for size in range(demand.least, demand.most + 1))


def alone(demand: Demand, now: Sequence[int] = ()) -> tuple[Sites, float, float]:
    """Return the sites of an app that has all nodes for itself, what they cost, and what none can cost less
    than. ``now``: where it is, which is weighed as well.
    """
    possible, chooser = demand.possible, Chooser(demand)
    if choices(demand) <= FEW or demand.most == 1:
        sizes = range(demand.least, demand.most + 1)
        every = (sites for size in sizes for sites in combinations(possible, size))
        found = [chooser.best(np.zeros(demand.nodes))[0]] if demand.most == 1 else every
        cost, sites = min(((cost_of(demand, sites), sites) for sites in found), default=(np.inf, ()))
        return (sites, cost, cost) if np.isfinite(cost) else ((), np.inf, np.inf)
    here = [site for site in now if site in set(possible)][: demand.most]
    starts: list[list[int]] = [here, []] if here and demand.apart(here) else [[]]
    none = np.zeros(demand.nodes)
    sites, cost = min((chooser.best(none, start, thorough=True) for start in starts), key=lambda one: one[1])
    return sites, cost, min(cost, floor(demand, cost))


def floor(demand: Demand, cost: float, price_ms: F64 | None = None) -> float:
    """Return what no choice of sites undercuts, where node i costs ``price_ms[i]`` more and ``cost`` is that
    of one that is known. What is missing of the promise counts by a part of what it costs; the part is halved
    in on.
    """
    possible = demand.possible
    within = SHORTFALL_MS * demand.within[:, possible]
    sites = demand.site_ms[possible] + (0.0 if price_ms is None else price_ms[possible])
    users, promise = demand.users_ms[:, possible], SHORTFALL_MS * demand.promised
    best, kept, pays = _lagrange(demand, users, sites, cost, users.min(axis=1), within)
    if demand.promised <= 0.0:
        return best
    low, high = 0.0, 1.0
    for part in (1.0, *(None,) * PARTS):
        at = (low + high) / 2.0 if part is None else part
        weighed = users - at * within
        value, kept, pays = _lagrange(demand, weighed, sites, cost - at * promise, pays, within)
        best = max(best, value + at * promise)
        low, high = (at, high) if kept < promise else (low, at)
        if cost - best <= EPSILON or low >= high:
            break
    return best


def _lagrange(
    demand: Demand, users: F64, sites: F64, cost: float, pays: F64, within: F64
) -> tuple[float, float, F64]:
    """Return what no choice undercuts, how much of ``within`` is kept there, and what groups pay then.

    Groups pay for being served, whatever the number of nodes that serve them; a node is worth what it saves
    them. Payments are raised where nobody serves and lowered where several do, by steps that shrink (Held,
    Wolfe, Crowder: Validation of subgradient optimization, 1974).
    """
    best, best_pays, kept, stride, since = -np.inf, pays, 0.0, 1.0, 0
    for _ in range(BOUND_STEPS):
        saves = np.minimum(0.0, users - pays[:, None])
        worth = sites + saves.sum(axis=0)
        taken = np.argsort(worth)[: demand.most]
        taken = taken[(np.arange(len(taken)) < demand.least) | (worth[taken] < 0.0)]
        served = saves[:, taken] < 0.0
        value = float(pays.sum() + worth[taken].sum())
        since += 1
        if value > best + EPSILON:
            best, best_pays, since = value, pays, 0
            kept = float((within[:, taken] * served).sum())
        if since >= BOUND_PATIENCE:
            stride, since, pays = stride / 2.0, 0, best_pays
        missing = 1.0 - served.sum(axis=1)
        length = float(missing @ missing)
        if length <= 0.0 or cost - best <= EPSILON:
            break
        pays = pays + stride * max(cost - value, EPSILON) / length * missing
    return best, kept, best_pays
