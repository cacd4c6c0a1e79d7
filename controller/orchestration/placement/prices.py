"""What a node's capacity is worth to the apps that compete for it. Pure.

At any prices, each app takes what is best for it alone, and the sum of that, less what all capacity is
worth, is a bound of what a placement costs (Lagrange). Prices are raised where more is asked than there is
and lowered where less is, by steps that shrink, in the mean direction of the last ones. Between two looks
of every app at all its choices, only those seen so far are compared.
"""

from dataclasses import dataclass

import numpy as np

from controller.orchestration.placement.columns import Columns
from controller.orchestration.placement.problem import F64, NOWHERE_MS
from controller.orchestration.placement.sites import Chooser

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


def find_prices(columns: Columns, choosers: list[Chooser]) -> Prices:
    """Return the best prices found; what apps would have at them becomes columns."""
    problem = columns.problem
    best = Prices(np.zeros_like(problem.capacity), -np.inf)
    worth, stride = best.worth_ms, 1.0
    for _ in range(LOOKS):
        bound = _look(columns, choosers, worth)
        enough = 0.0 <= bound - best.bound_ms < ENOUGH * abs(bound)
        if bound > best.bound_ms:
            best = Prices(worth, bound)
        if enough:
            break
        worth, stride = _walk(columns, best.worth_ms, stride)
    return best


def _look(columns: Columns, choosers: list[Chooser], worth: F64) -> float:
    """Let every app look at all its choices; return the bound at these prices."""
    below = -float((worth * columns.problem.capacity).sum())
    for app, chooser in enumerate(choosers):
        price = worth @ chooser.demand.requests
        sites, cost = chooser.best(price)
        columns.add(app, sites)
        below += min(cost, NOWHERE_MS)
        if chooser.demand.least == 1:
            single = chooser.single() + price
            for site in np.argpartition(single, min(SINGLES, len(single) - 1))[:SINGLES].tolist():
                columns.add(app, (site,))
    return below


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
        value = float(np.minimum.reduceat(total, first).sum() - worth @ capacity)
        if value > top:
            top, best, since = value, worth, 0
        else:
            since += 1
            if since >= PATIENCE:
                worth, stride, since = best, stride * SHORTER, 0
                mean = np.zeros_like(capacity)
                continue
        asked = takes[:, _least(total, first)].sum(axis=1).A1 - capacity
        mean = INERTIA * mean + (1.0 - INERTIA) * asked
        pull = np.where((worth > 0.0) | (mean > 0.0), mean, 0.0)
        length = float(pull @ pull)
        if length <= 0.0:
            break
        worth = np.maximum(0.0, worth + stride * STEP * usual / length * pull)
    return best.reshape(start.shape), stride


def _least(total: F64, first: np.ndarray) -> np.ndarray:
    """Return the place of the least value of each run that begins at ``first``."""
    runs = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(total))))
    order = np.lexsort((total, runs))
    return order[first]
