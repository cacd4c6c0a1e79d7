"""What no placement of a problem undercuts, worked out at leisure. Pure.

Lagrange's bound at given prices of capacity: each app takes what is best for it alone, at what its sites and
those it talks to cost it; what all capacity is worth is taken off. Each app's best is known for certain, or a
bound of it is (`sites.floor`).

What two apps pay to talk is shared out among them: the called one pays ``share[j]`` for its nearest site j,
and the caller, from its site i, min over j of (ms[i, j] − share[j]). Whatever ``share`` is, both together pay
no more than the talk costs. It follows what the caller would have: the further from that the called one is,
the more it pays.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from controller.orchestration.placement.columns import Columns
from controller.orchestration.placement.crowd import Crowd
from controller.orchestration.placement.problem import F64, NOWHERE_MS, Bond, Demand, Problem
from controller.orchestration.placement.programs import relaxed
from controller.orchestration.placement.sites import floor

LEAST_GAP = 1e-3
"""The linear program is solved this well."""
ROUNDS = 30
LEFT = 200_000
"""So many choices are tried all."""
REST_MS = 1000.0
"""An app that is placed costs so much less than one that is not, or the bound is not worked out."""


def bound(problem: Problem, columns: Columns, crowd: Crowd, worth: F64) -> float:
    """Return the best bound that is found from the prices ``worth`` on."""
    if problem.bonds or any(demand.most > 1 for demand in problem.demands):
        return lagrange(problem, columns, crowd, worth)
    best, every = -np.inf, list(range(len(problem.demands)))
    for _ in range(ROUNDS):
        sites, cost = crowd.best(crowd.requests @ worth.T)
        best = max(best, float(np.minimum(cost, NOWHERE_MS).sum() - (worth * problem.capacity).sum()))
        for app, own in enumerate(sites):
            columns.add(app, own)
        taken = list(range(len(columns)))
        least, worth = relaxed(
            np.array(columns.cost), columns.ones(taken, every), columns.takes(taken), problem.capacity
        )
        if least - best <= LEAST_GAP * least:
            break
    return best


def lagrange(problem: Problem, columns: Columns, crowd: Crowd, worth: F64, left: int = LEFT) -> float:
    """Return the bound at the prices ``worth`` [node, resource]."""
    price = crowd.requests @ worth.T
    rows: dict[int, list[F64]] = {}
    calls: dict[int, F64] = {}
    least = dict[int, float]()
    for app in _callers_first(problem):
        demand = _with_rows(problem.demands[app], rows.get(app, []))
        for bond in problem.bonds_of.get(app, ()):
            if bond.one == app and bond.other not in least:
                share = _share(columns, demand, bond, price[app] + calls.get(app, 0.0))
                calls[app] = calls.get(app, 0.0) + (bond.ms - share).min(axis=1)
                rows.setdefault(bond.other, []).append(share[None])
        least[app] = _least(demand, price[app], calls.get(app), left)
        if problem.bonds_of.get(app) and least[app] > NOWHERE_MS - REST_MS:
            return -np.inf  # what is nowhere does not talk, which the shares do not know
    return sum(min(ms, NOWHERE_MS) for ms in least.values()) - float((worth * problem.capacity).sum())


def _callers_first(problem: Problem) -> Iterator[int]:
    """Yield all apps; where some call each other in a circle, one of them comes before who calls it."""
    calling = {app: 0 for app in range(len(problem.demands))}
    for bond in problem.bonds:
        calling[bond.other] += 1
    left = dict(calling)
    while left:
        app = min(left, key=lambda app: (left[app] > 0, app))
        del left[app]
        yield app
        for bond in problem.bonds_of.get(app, ()):
            if bond.one == app and bond.other in left:
                left[bond.other] -= 1


def _with_rows(demand: Demand, rows: list[F64]) -> Demand:
    if not rows:
        return demand
    more = np.concatenate(rows)
    users = np.concatenate((demand.users_ms, more))
    return replace(demand, users_ms=users, within=np.concatenate((demand.within, np.zeros_like(more))))


def _share(columns: Columns, demand: Demand, bond: Bond, price_ms: F64) -> F64:
    """Return [node] what the caller's best costs it more where the called one is there: of what it is known
    that it may have.
    """
    cost = np.full(demand.nodes, np.inf)
    own_groups = len(columns.problem.demands[bond.one].users_ms)
    for column in columns.of[bond.one][1:]:
        here = list(columns.sites[column])
        own = columns.cost[column] + float(price_ms[here].sum())
        own += float(demand.users_ms[own_groups:, here].min(axis=1).sum())
        cost = np.minimum(cost, own + bond.ms[here].mean(axis=0))
    if not np.isfinite(cost).all():
        return np.zeros(demand.nodes)
    return np.minimum(cost - cost.min(), REST_MS / 4.0)


def _least(demand: Demand, price_ms: F64, call_ms: F64 | None, left: int) -> float:
    """Return what an app pays at least; ``call_ms`` [node] is the mean of its sites'."""
    if call_ms is None:
        return _cheapest(demand, price_ms, left)
    sizes = range(demand.least, demand.most + 1)
    return min(
        _cheapest(replace(demand, least=size, most=size), price_ms + call_ms / size, left) for size in sizes
    )


def _cheapest(demand: Demand, price_ms: F64, left: int) -> float:
    (sites,), _ = Crowd([demand], narrow=False).best(price_ms[None])
    return floor(demand, sites, price_ms, left)[2] if sites else np.inf
