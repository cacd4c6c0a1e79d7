"""What a node's capacity is worth to the apps that compete for it. Pure.

At any prices, each app takes what is best for it alone, and the sum of that, less what all capacity is
worth, is a bound of what a placement costs (Lagrange). Prices are raised where more is asked than there is
and lowered where less is, by steps that shrink, in the mean direction of the last ones. Between two looks
of every app at all its choices, only those seen so far are compared.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controller.orchestration.placement.columns import Columns
from controller.orchestration.placement.crowd import Crowd
from controller.orchestration.placement.problem import F64, NOWHERE_MS, Sites

LOOKS = 12
STEPS = 30
SINGLES = 4
"""So many of the best single sites at each look become choices to compare."""
ENOUGH = 1e-4
"""A look that brings the bound less than this ends the search."""
PATIENCE = 8
"""Steps without a better bound, until they become shorter by :data:`SHORTER`."""
SHORTER = 0.6
INERTIA = 0.7
STEP = 0.02
"""The first steps would change the costs of all by this share."""


@dataclass(slots=True)
class Prices:
    """``worth_ms`` [node, resource], a unit; ``bound_ms``: no placement costs less, as far as each app's own
    search is exact.
    """

    worth_ms: F64
    bound_ms: float


def find_prices(columns: Columns, crowd: Crowd) -> Prices:
    """Return the best prices found; what apps would have at them becomes columns."""
    problem = columns.problem
    best = Prices(np.zeros_like(problem.capacity), -np.inf)
    worth, stride = best.worth_ms, 1.0
    sites: list[Sites] = []
    for _ in range(LOOKS):
        bound, sites = _look(columns, crowd, worth, sites)
        enough = 0.0 <= bound - best.bound_ms < ENOUGH * abs(bound)
        if bound > best.bound_ms:
            best = Prices(worth, bound)
        if enough:
            break
        worth, stride = _walk(columns, best.worth_ms, stride)
    return best


def _look(columns: Columns, crowd: Crowd, worth: F64, before: list[Sites]) -> tuple[float, list[Sites]]:
    """Let every app look at all its choices; return the bound at these prices, and what each would have."""
    price = crowd.requests @ worth.T
    chosen, cost = crowd.best(price, before)
    for app, sites in enumerate(chosen):
        columns.add(app, sites, cost[app] - float(price[app, list(sites)].sum()))
    count = min(SINGLES, price.shape[1] - 1)
    singles = np.argpartition(crowd.single + price, count, axis=1)[:, :count]
    for app, sites in enumerate(singles.tolist()):
        if crowd.demands[app].least == 1:
            for site in sites:
                columns.add(app, (site,), float(crowd.single[app, site]))
    return float(np.minimum(cost, NOWHERE_MS).sum() - (worth * columns.problem.capacity).sum()), chosen


def _walk(columns: Columns, start: F64, stride: float) -> tuple[F64, float]:
    """Return better prices for the columns so far, and how long the last steps were."""
    capacity = columns.problem.capacity.ravel()
    order = np.argsort(columns.app, kind="stable")
    cost = np.array(columns.cost)[order]
    takes = columns.takes(order.tolist()).tocsc()
    first = np.flatnonzero(np.diff(np.array(columns.app)[order], prepend=-1))
    usual = max(float(np.minimum.reduceat(cost, first).sum()), 1.0)
    worth = best = start.ravel()
    top, since = -np.inf, 0
    mean = np.zeros_like(capacity)
    for _ in range(STEPS):
        total = cost + takes.T @ worth
        least = _least(total, first)
        value = float(total[least].sum() - worth @ capacity)
        if value > top:
            top, best, since = value, worth, 0
        else:
            since += 1
            if since >= PATIENCE:
                worth, stride, since = best, stride * SHORTER, 0
                mean = np.zeros_like(capacity)
                continue
        asked = takes[:, least].sum(axis=1).A1 - capacity
        mean = INERTIA * mean + (1.0 - INERTIA) * asked
        pull = np.where((worth > 0.0) | (mean > 0.0), mean, 0.0)
        length = float(pull @ pull)
        if length <= 0.0:
            break
        worth = np.maximum(0.0, worth + stride * STEP * usual / length * pull)
    return best.reshape(start.shape), stride


def _least(total: F64, first: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the place of the least value of each run that begins at ``first``."""
    least = np.repeat(np.minimum.reduceat(total, first), np.diff(np.append(first, len(total))))
    places = np.flatnonzero(total == least)
    return places[np.searchsorted(places, first)]
