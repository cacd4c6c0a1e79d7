"""What a plan says of many paths at once: costs, forecasts and newest measurements along them. Pure.

For routes that are sent to agents and kept, where words would be too many (`controller.core.rows`); one path
in words is `controller.planner.explain`'s affair.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from controller.planner.plan import Plan
from controller.planner.search import ABSENT, Relays
from controller.policy.costs import RELAY_MS, Costs
from controller.topology.links import F32

Indices: TypeAlias = NDArray[np.intp]


def figures(plan: Plan, source: int, classes: Indices, destinations: Indices, relays: Relays) -> F32:
    """Return [figure, path, route], as `overlayd.protocol.routes.FIGURES` are, of the paths ``relays``
    [route, path, 2] from one source; NaN where nothing is known or there is no path.
    """
    forecast = plan.forecast
    ends = source, destinations[:, None], relays
    rtt = _along(forecast.rtt_q80_ms, *ends) + _over(relays, RELAY_MS)
    measured_rtt = _along(forecast.measured_rtt_ms, *ends)
    loss = 1.0 - np.exp(_along(forecast.loss_q90, *ends, kept=True))
    measured_loss = 1.0 - np.exp(_along(forecast.measured_loss, *ends, kept=True))
    cost = np.full(rtt.shape, np.nan, np.float32)
    for number, chosen in enumerate(plan.classes):
        own = classes == number
        part = source, destinations[own][:, None], relays[own]
        cost[own] = _along(chosen.costs.bare, *part) + _passage(chosen.costs, relays[own])
    found: F32 = np.stack([cost, rtt, loss, measured_rtt, measured_loss])
    found[:, relays[..., 0] == ABSENT] = np.nan
    return found.transpose(0, 2, 1)


def _along(link: F32, source: int, destinations: Indices, relays: Relays, *, kept: bool = False) -> F32:
    """Return the sum of ``link`` along each path; with ``kept`` that of log(1 − link)."""
    first, second = relays[..., 0].astype(np.intp), relays[..., 1].astype(np.intp)
    one, two = first >= 0, second >= 0
    last = np.where(two, second, np.where(one, first, source))
    legs = [link[source, np.where(one, first, destinations)], link[last, destinations], link[first, second]]
    if kept:
        legs = [np.log1p(-np.clip(leg, 0.0, 0.999)) for leg in legs]
    return legs[0] + np.where(one, legs[1], np.float32(0.0)) + np.where(two, legs[2], np.float32(0.0))


def _passage(costs: Costs, relays: Relays) -> F32:
    if costs.passage is None:
        return _over(relays, costs.relay)
    each = np.where(relays >= 0, costs.passage[np.maximum(relays, 0)], np.float32(0.0))
    return each.sum(axis=-1).astype(np.float32)


def _over(relays: Relays, each: float) -> F32:
    return np.float32(each) * (relays >= 0).sum(axis=-1).astype(np.float32)
