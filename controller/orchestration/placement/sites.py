"""The best sites of one app by itself, at given prices of nodes. Pure.

Few choices are tried all; of many, `crowd` finds good ones. What no choice undercuts tells which nodes no
better one can have; where few are left, all choices of those are tried, and the best is known.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations, islice
from math import comb

import numpy as np
from numpy.typing import NDArray

from controller.orchestration.placement.crowd import Crowd
from controller.orchestration.placement.problem import (
    EPSILON,
    F64,
    SHORTFALL_MS,
    Demand,
    Sites,
    cost_of,
    single_ms,
)

FEW = 3000
"""So many choices are tried all."""
LEFT = 20_000
"""And so many of those that may be better than a good one that is known."""
AT_ONCE = 4096
BOUND_STEPS, BOUND_PATIENCE, PARTS = 60, 5, 6
"""Of the search for a bound: steps, how many without a better one until they become half as long, and how
often the part is halved in on.
"""


def with_each(demand: Demand, sites: Sequence[int], price_ms: F64) -> F64:
    """Return [node] what it would cost an app to have that node beside ``sites``, where node i costs
    ``price_ms[i]`` more; inf where it may not.
    """
    if not sites:
        return single_ms(demand) + price_ms
    users, within, here = demand.users_ms, demand.within, list(sites)
    by = np.array(here, np.intp)[np.argmin(users[:, here], axis=1)]
    groups = np.arange(len(by))
    now = users[groups, by][:, None]
    nearer = users < now
    total = np.where(nearer, users, now).sum(axis=0) + demand.site_ms + price_ms
    total += float(demand.site_ms[here].sum() + price_ms[here].sum())
    if demand.promised > 0.0:
        kept = np.where(nearer, within, within[groups, by][:, None]).sum(axis=0)
        total += SHORTFALL_MS * np.maximum(0.0, demand.promised - kept)
    total[demand.near(here)] = np.inf
    return total


def choices(demand: Demand) -> int:
    """Return how many choices of sites there are."""
    return _count(demand, len(demand.possible))


def alone(demand: Demand, now: Sequence[int] = ()) -> tuple[Sites, float, float]:
    """Return the sites of an app that has all nodes for itself, what they cost, and what none can cost less
    than. ``now``: where it is, which is weighed as well.
    """
    possible, free = demand.possible, np.zeros(demand.nodes)
    if choices(demand) <= FEW:
        sites, cost = _cheapest(demand, possible, free)
        return sites, cost, cost
    here = tuple(site for site in now if site in set(possible))[: demand.most]
    starts: list[Sites] = [(), here] if here and demand.apart(here) else [()]
    crowd = Crowd([demand], narrow=False)
    (sites,), (cost,) = min((crowd.best(free[None], [start]) for start in starts), key=lambda one: one[1][0])
    if demand.most == 1 or not sites:
        return sites, float(cost), float(cost)
    return floor(demand, sites, free)


def floor(demand: Demand, known: Sites, price_ms: F64, left: int = LEFT) -> tuple[Sites, float, float]:
    """Return the best sites that are found where node i costs ``price_ms[i]`` more, ``known`` or better ones;
    what they cost, and what none undercuts: the same where at most ``left`` choices are to be tried.
    """
    cost = cost_of(demand, known) + float(price_ms[list(known)].sum())
    below, open_ = _relaxed(demand, cost, price_ms)
    if below >= cost - EPSILON:
        return known, cost, cost
    if _count(demand, len(open_)) > left:
        return known, cost, below
    sites, least = _cheapest(demand, open_, price_ms)
    return (sites, least, least) if least < cost else (known, cost, cost)


def _count(demand: Demand, nodes: int) -> int:
    return sum(comb(nodes, size) for size in range(demand.least, demand.most + 1))


def _cheapest(demand: Demand, nodes: Sequence[int], price_ms: F64) -> tuple[Sites, float]:
    """Try all choices of ``nodes``; nothing, inf where there is none."""
    best: tuple[Sites, float] = (), np.inf
    for some in _choices(demand, nodes):
        cost = _costs(demand, some, price_ms)
        at = int(cost.argmin())
        if cost[at] < best[1]:
            best = tuple(some[at].tolist()), float(cost[at])
    return best


def _choices(demand: Demand, nodes: Sequence[int]) -> Iterator[NDArray[np.intp]]:
    """Yield all choices [choice, site], those of one size by some thousands."""
    for size in range(demand.least, demand.most + 1):
        every = combinations(nodes, size)
        while some := list(islice(every, AT_ONCE)):
            yield np.array(some, np.intp)


def _costs(demand: Demand, some: NDArray[np.intp], price_ms: F64) -> F64:
    """Return [choice] what each of ``some`` [choice, site] costs, as `problem.cost_of` does of one."""
    users = demand.users_ms[:, some]
    by = users.argmin(axis=2)[:, :, None]
    cost = np.take_along_axis(users, by, 2)[:, :, 0].sum(axis=0)
    cost += (demand.site_ms + price_ms)[some].sum(axis=1)
    if demand.promised > 0.0:
        within = np.take_along_axis(demand.within[:, some], by, 2)[:, :, 0].sum(axis=0)
        cost += SHORTFALL_MS * np.maximum(0.0, demand.promised - within)
    if demand.zone is not None:
        zone = np.sort(demand.zone[some], axis=1)
        cost[(zone[:, 1:] == zone[:, :-1]).any(axis=1)] = np.inf
    return cost


def _relaxed(demand: Demand, cost: float, price_ms: F64) -> tuple[float, list[int]]:
    """Return what no choice undercuts, and the nodes that one below ``cost`` may have. What is missing of the
    promise counts by a part of what it costs; the part is halved in on.
    """
    possible = np.array(demand.possible, np.intp)
    within = SHORTFALL_MS * demand.within[:, possible]
    sites = demand.site_ms[possible] + price_ms[possible]
    users, promise = demand.users_ms[:, possible], SHORTFALL_MS * demand.promised
    below, pays, open_ = -np.inf, users.min(axis=1), np.ones(len(possible), np.bool_)
    low, high = 0.0, 1.0
    for step in range(1 if demand.promised <= 0.0 else 2 + PARTS):
        part = (0.0, 1.0)[step] if step < 2 else (low + high) / 2.0
        weighed = users - part * within
        value, kept, pays = _lagrange(demand, weighed, sites, cost - part * promise, pays, within)
        open_ &= _may_have(demand, weighed, sites, pays) + part * promise < cost - EPSILON
        below = max(below, value + part * promise)
        low, high = (part, high) if kept < promise else (low, part)
        if cost - below <= EPSILON or not open_.any() or low >= high:
            break
    return below, possible[open_].tolist()


def _may_have(demand: Demand, users: F64, sites: F64, pays: F64) -> F64:
    """Return [node] what no choice undercuts that has it: with it go at least the best that may be beside."""
    worth = sites + np.minimum(0.0, users - pays[:, None]).sum(axis=0)
    best = np.sort(worth)[: demand.most - 1]
    must = max(0, demand.least - 1)
    beside = best[:must].sum() + np.minimum(0.0, best[must:]).sum()
    return pays.sum() + worth + beside


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
