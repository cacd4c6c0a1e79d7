"""One decision: from a forecast and the routes in force to the routes to be in force. Pure.

A primary is left for one that is predicted to be better by more than a share and more than a least amount
(`policy.costs.GAINS`), and not within the dwell time of its last change. A primary that is dead or outside
its class's bound is left at once. Where nobody reports on a path any more, nothing is concluded: it stays.
The routes of a node that does not report itself stay as they are: there is nobody to take new ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controller.planner.search import (
    ABSENT,
    NONE,
    SECOND_RELAYS,
    Paths,
    Relays,
    Search,
    differ,
    disjoint,
    path_cost,
    path_sum,
)
from controller.planner.table import PATHS, RouteTable
from controller.planner.worth import worth
from controller.policy.costs import GAINS, OUT_OF_BOUND, RELAY_MS, Costs, costs_of
from controller.prediction.forecast import Forecast
from controller.topology.links import F32, I64, Bool, Vertex
from overlayd.model.service import Objective, ServiceClass

DWELL_NS = 60_000_000_000
DWELL_SPREAD_NS = 15_000_000_000
"""Pairs wait up to this much longer, each its own time, so that not all move in one round."""

HOME_SHARE = 0.1
"""A relayed path is given up for the direct one when it is not better by this share of a least gain."""

NEWS_SHARE = 0.2
NEWS_MS = 5.0
NEWS_LOSS = 0.02
"""A primary's forecast is published anew when it moved by both of the first two, or by the third."""


@dataclass(frozen=True, slots=True)
class ClassPlan:
    """What was found for one class, for those who explain it. ``ideal`` is the best regardless of hysteresis.

    ``before`` are the primaries that were in force.
    """

    costs: Costs
    ideal: Paths
    before: Relays
    dwelling: Bool
    moved: Bool


@dataclass(frozen=True, slots=True)
class Plan:
    """``changed`` [class, from, to]: other paths than before; ``news``: the same, but with another
    forecast.
    """

    table: RouteTable
    forecast: Forecast
    classes: tuple[ClassPlan, ...]
    changed: Bool
    news: Bool


def plan(
    vertices: Sequence[Vertex],
    services: Sequence[ServiceClass],
    forecast: Forecast,
    table: RouteTable,
    now_ns: int,
    second_relays: int = SECOND_RELAYS,
    back_up: bool = True,
) -> Plan:
    """Decide on the routes of all pairs and classes. ``table`` is left as it is. Without ``back_up``, only
    on primaries.
    """
    relays = np.array([i for i, vertex in enumerate(vertices) if vertex.relay], np.intp)
    price = np.array([vertex.price_per_gb for vertex in vertices], np.float32)
    quickest = _quickest(forecast, relays, second_relays)
    after = table.copy()
    classes: list[ClassPlan] = []
    for number, service in enumerate(services):
        costs = costs_of(service, forecast, price, quickest)
        search = Search(costs, relays, second_relays)
        ideal = search.best()
        chosen = _choose(number, service, costs, ideal, forecast, after, now_ns)
        if back_up:
            _back_up(number, costs, search, forecast, after)
        classes.append(chosen)
    changed: Bool = table.torn.copy()
    for path in range(PATHS):
        changed |= differ(after.relays[..., path, :], table.relays[..., path, :])
    after.torn[:] = False
    news = _publish(forecast, after, changed)
    return Plan(after, forecast, tuple(classes), changed, news)


def _quickest(forecast: Forecast, relays: NDArray[np.intp], second_relays: int) -> F32:
    """Return the RTT of the quickest path of each pair, whatever it loses."""
    direct = np.where(forecast.usable, forecast.rtt_q80_ms, np.inf).astype(np.float32)
    # What only one end vouches for must not set the standard for others.
    link = np.where(forecast.confirmed, direct, np.float32(np.inf))
    costs = Costs(link, link, link, direct, RELAY_MS, direct, None, GAINS[Objective.LATENCY])
    return Search(costs, relays, second_relays).best().cost


def _choose(
    number: int,
    service: ServiceClass,
    costs: Costs,
    ideal: Paths,
    forecast: Forecast,
    table: RouteTable,
    now_ns: int,
) -> ClassPlan:
    """Put primaries into ``table``: those in force, or the ideal where that is worth the change.

    Who has no route yet is taken to be on the direct path: it is left for as much as any other.
    """
    before = table.relays[number, :, :, 0].copy()
    in_force = before[..., 0] != ABSENT
    before[~in_force & np.isfinite(costs.direct) & forecast.alive[:, None]] = NONE
    here = path_cost(costs, before)
    straight = path_cost(costs, np.full_like(before, NONE))
    rtt = path_sum(costs.rtt_ms, costs.rtt_ms, before, RELAY_MS)
    dwelling = now_ns - table.changed_ns[number] < DWELL_NS + _spread_ns(number, len(before))
    with np.errstate(invalid="ignore"):
        broken = here >= OUT_OF_BOUND
        if service.bound.rtt_factor is not None:
            broken |= rtt > service.bound.rtt_factor * table.rtt_ms[number]
        believed = forecast.trust if service.objective is Objective.LATENCY else 1.0
        gain = believed * (here - ideal.cost)
        enough = (gain > costs.gain.share * here) | (gain > costs.gain.plenty)
        enough &= gain > costs.gain.least
        # A relayed path that is no better than the direct one any more is only a risk.
        home = believed * (straight - here) < HOME_SHARE * costs.gain.least
        if forecast.base_ms is not None and service.objective is Objective.LATENCY:
            enough, home = worth(forecast.base_ms, forecast.trust, before, ideal, here, straight)
    home &= (before[..., 0] > NONE) & (straight < OUT_OF_BOUND)
    unusable = ~np.isfinite(here) & ~_unheard(forecast, before)
    move = np.isfinite(ideal.cost) & (unusable | (enough & (broken | ~dwelling)))
    move &= differ(ideal.relays, before) & forecast.alive[:, None]
    home &= ~move & ~dwelling & forecast.alive[:, None]
    after = np.where(move[..., None], ideal.relays, before)
    after[home] = (NONE, NONE)
    move |= home
    table.relays[number, :, :, 0] = after
    table.changed_ns[number][move & in_force] = now_ns
    return ClassPlan(costs, ideal, before, dwelling & ~broken, move & in_force)


def _back_up(number: int, costs: Costs, search: Search, forecast: Forecast, table: RouteTable) -> None:
    """Put back-ups into ``table`` that share no relay with the primary or each other.

    One in force is kept unless a new one is better by what is worth a change.
    """
    paths = table.relays[number]
    old = [paths[:, :, position].copy() for position in range(1, PATHS)]
    for position in range(1, PATHS):
        before = paths[:, :, :position]
        found = search.best(before)
        relays, cost = found.relays, found.cost
        for kept in reversed(old):
            kept_cost = path_cost(costs, kept)
            slack = np.maximum(costs.gain.share * kept_cost, costs.gain.least)
            with np.errstate(invalid="ignore"):
                good = np.isfinite(kept_cost) & (kept_cost - found.cost <= slack)
            good |= _unheard(forecast, kept)
            good &= disjoint(kept, before)
            relays = np.where(good[..., None], kept, relays)
            cost = np.where(good, kept_cost, cost)
        asked = forecast.alive[:, None, None]
        paths[:, :, position] = np.where(asked, relays, old[position - 1])


def _publish(forecast: Forecast, table: RouteTable, changed: Bool) -> Bool:
    """Note the primaries' forecasts that are to be published; return where that is the only news."""
    news = np.zeros_like(changed)
    loss_log = np.log1p(-np.clip(np.nan_to_num(forecast.loss_q90), 0.0, 0.999))
    for number in range(len(changed)):
        primary = table.relays[number, :, :, 0]
        rtt = path_sum(forecast.rtt_q80_ms, forecast.rtt_q80_ms, primary, RELAY_MS)
        loss = -np.expm1(path_sum(loss_log, loss_log, primary, 0.0))
        with np.errstate(invalid="ignore"):
            moved = np.abs(rtt - table.rtt_ms[number])
            far = (moved > NEWS_MS) & (moved > NEWS_SHARE * table.rtt_ms[number])
            far |= np.abs(loss - table.loss[number]) > NEWS_LOSS
        news[number] = far & ~changed[number]
        said = (changed[number] | far) & ~np.isnan(rtt)
        table.rtt_ms[number][said] = rtt[said]
        table.loss[number][said] = loss[said]
    return news


def _unheard(forecast: Forecast, relays: Relays) -> Bool:
    """Return where nothing is known against a path, because nobody reports on some link of it."""
    if np.count_nonzero(forecast.alive) >= len(forecast.alive) - 1:  # every link has an end that reports
        return np.zeros(relays.shape[:2], np.bool_)
    dead = (~forecast.usable & ~forecast.unheard).astype(np.float32)
    silent = forecast.unheard.astype(np.float32)
    with np.errstate(invalid="ignore"):
        return (path_sum(dead, dead, relays, 0.0) == 0.0) & (path_sum(silent, silent, relays, 0.0) > 0.0)


def _spread_ns(number: int, n: int) -> I64:
    """Return each pair's own part of :data:`DWELL_SPREAD_NS`, the same in every run."""
    rows, columns = np.indices((n, n), dtype=np.int64)
    mixed = (rows * 73_856_093) ^ (columns * 19_349_663) ^ (number * 83_492_791)
    return mixed % 1024 * (DWELL_SPREAD_NS // 1024)
