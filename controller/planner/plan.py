"""One decision: from a forecast and the routes in force to the routes to be in force. Pure.

A primary is left for one that is predicted to be better by more than a share and more than a least amount
(`policy.costs.GAINS`; for `latency`, once a forecast is learned, by what `worth` says), and not within the
dwell time of its last change. A primary that is dead or outside its class's bound is left at once. Where
nobody reports on a path any more, nothing is concluded: it stays.
The routes of a node that does not report itself stay as they are: there is nobody to take new ones.

A path that was pinned by hand is in force as long as it carries anything. Many that would move at once do so
in rounds (`rounds`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from controller.planner.crowd import Crowd
from controller.planner.kept import Searches
from controller.planner.limited import Searching
from controller.planner.pins import Pinned, Standing, padded, put_pins
from controller.planner.rounds import Wishes, go_home, take_turns
from controller.planner.search import (
    ABSENT,
    NONE,
    SECOND_RELAYS,
    Paths,
    Relays,
    barred,
    differ,
    disjoint,
    path_cost,
    path_sum,
)
from controller.planner.table import PATHS, RouteTable
from controller.planner.worth import worth
from controller.policy.costs import GAINS, OUT_OF_BOUND, RELAY_MS, Costs, costs_of
from controller.policy.rules import MOST_RELAYS, NO_RULES, Policy, Rules
from controller.prediction.forecast import Forecast
from controller.topology.links import F32, I64, Bool, Vertex
from overlayd.model.service import Objective, ServiceClass

DWELL_NS = 60_000_000_000
REST_NS = 600_000_000_000
"""So soon after a change for a gain a route does not change from one relay to another for a gain: that is how
flows chase each other.
"""
DWELL_SPREAD_NS = 15_000_000_000
"""Pairs wait up to this much longer, each its own time, so that not all move in one round."""

QUICKEST = -1
"""Stands for no class, but for what caps are relative to."""

HOME_SHARE = 0.1
"""A relayed path is given up for the direct one when it is not better by this share of a least gain."""

NEWS_SHARE = 0.2
NEWS_MS = 5.0
NEWS_LOSS = 0.02
"""A primary's forecast is published anew when it moved by both of the first two, or by the third."""


@dataclass(frozen=True, slots=True)
class ClassPlan:
    """What was found for one class, for those who explain it. ``ideal`` is the best regardless of hysteresis.

    ``before`` are the primaries that were in force, ``waiting`` those that would have moved, had not too many
    others; ``pins`` how the paths pinned by hand stand.
    """

    costs: Costs
    ideal: Paths
    before: Relays
    dwelling: Bool
    resting: Bool
    moved: Bool
    waiting: Bool
    policy: Policy
    pins: Mapping[tuple[int, int], Pinned]


@dataclass(frozen=True, slots=True)
class Plan:
    """``changed`` [class, from, to]: other paths than before; ``news``: the same, but with another
    forecast. ``waiting``: there is more to be moved than one round may. ``crowd`` is how full relays are,
    where their capacity is known.
    """

    table: RouteTable
    forecast: Forecast
    classes: tuple[ClassPlan, ...]
    changed: Bool
    news: Bool
    waiting: bool
    crowd: Crowd | None


def plan(
    vertices: Sequence[Vertex],
    services: Sequence[ServiceClass],
    forecast: Forecast,
    table: RouteTable,
    now_ns: int,
    second_relays: int = SECOND_RELAYS,
    back_up: bool = True,
    rules: Rules = NO_RULES,
    searches: Searches | None = None,
) -> Plan:
    """Decide on the routes of all pairs and classes. ``table`` is left as it is. Without ``back_up``, only
    on primaries. ``searches`` are those of an earlier decision, if there are any.
    """
    searches = searches or Searches()
    relays = np.array([i for i, vertex in enumerate(vertices) if vertex.relay], np.intp)
    price = np.array([vertex.price_per_gb for vertex in vertices], np.float32)
    quickest = _quickest(forecast, relays, second_relays, searches)
    crowd = Crowd.of(vertices, forecast, table, now_ns)
    after = table.copy()
    classes: list[ClassPlan] = []
    for number, service in enumerate(services):
        policy = rules.policy(number)
        costs = costs_of(service, forecast, price, quickest, policy)
        costs = _passable(costs, vertices, policy, crowd)
        second = second_relays if policy.relays == MOST_RELAYS else 0
        search = searches.search(number, costs, relays if policy.relays else relays[:0], second)
        chosen = _choose(number, service, search, forecast, after, now_ns, crowd, rules)
        if back_up:
            _back_up(number, costs, search, forecast, after)
        classes.append(chosen)
    changed: Bool = table.torn.copy()
    for path in range(PATHS):
        changed |= differ(after.relays[..., path, :], table.relays[..., path, :])
    after.torn[:] = after.bereft[:] = False
    news = _publish(forecast, after, changed)
    waiting = any(bool(chosen.waiting.any()) for chosen in classes)
    return Plan(after, forecast, tuple(classes), changed, news, waiting, crowd)


def _quickest(forecast: Forecast, relays: NDArray[np.intp], second_relays: int, searches: Searches) -> F32:
    """Return the RTT of the quickest path of each pair, whatever it loses."""
    direct = np.where(forecast.usable, forecast.rtt_q80_ms, np.inf).astype(np.float32)
    # What only one end vouches for must not set the standard for others.
    link = np.where(forecast.confirmed, direct, np.float32(np.inf))
    costs = Costs(link, link, link, direct, RELAY_MS, direct, None, GAINS[Objective.LATENCY])
    return searches.search(QUICKEST, costs, relays, second_relays).best().cost


def _passable(costs: Costs, vertices: Sequence[Vertex], policy: Policy, crowd: Crowd | None) -> Costs:
    """Return the costs with relays that are full dearer, and those that the policy excludes out of reach."""
    if crowd is None and not policy.chooses_relays:
        return costs
    passage = np.full(len(vertices), costs.relay, np.float32)
    if crowd is not None:
        passage = crowd.passage(costs.relay)
    passage[[i for i, vertex in enumerate(vertices) if policy.excludes(vertex)]] = np.inf
    return replace(costs, passage=passage)


def _choose(
    number: int,
    service: ServiceClass,
    search: Searching,
    forecast: Forecast,
    table: RouteTable,
    now_ns: int,
    crowd: Crowd | None,
    rules: Rules,
) -> ClassPlan:
    """Put primaries into ``table``: those in force, or the ideal where that is worth the change.

    Who has no route yet is taken to be on the direct path: it is left for as much as any other.
    """
    costs, policy = search.costs, rules.policy(number)
    ideal = search.best()
    before = table.relays[number, :, :, 0].copy()
    in_force = before[..., 0] != ABSENT
    before[~in_force & np.isfinite(costs.direct) & forecast.alive[:, None]] = NONE
    here = path_cost(costs, before)
    straight = path_cost(costs, np.full_like(before, NONE))
    rtt = path_sum(costs.rtt_ms, costs.rtt_ms, before, RELAY_MS)
    since_ns, spread_ns = now_ns - table.changed_ns[number], _spread_ns(number, len(before))
    dwelling = since_ns < DWELL_NS + spread_ns
    resting = table.gained[number] & (since_ns < REST_NS + spread_ns)
    resting &= (before[..., 0] > NONE) & (ideal.relays[..., 0] > NONE)
    with np.errstate(invalid="ignore"):
        broken = here >= OUT_OF_BOUND
        if service.bound.rtt_factor is not None:
            broken |= rtt > service.bound.rtt_factor * table.rtt_ms[number]
        believed = forecast.trust if service.objective is Objective.LATENCY else 1.0
        gain = believed * (here - ideal.cost)
        enough = costs.gain.worth(gain, here)
        # A relayed path that is no better than the direct one any more is only a risk.
        home = believed * (straight - here) < HOME_SHARE * costs.gain.least
        if forecast.base_ms is not None and service.objective is Objective.LATENCY:
            enough, home = worth(forecast.base_ms, forecast.trust, before, ideal, here, straight)
        # What is outside its bound is left whatever a gain is worth; what is not heard of (infinite), is not.
        enough |= np.isfinite(here) & (here >= OUT_OF_BOUND) & (ideal.cost < OUT_OF_BOUND)
    home &= (before[..., 0] > NONE) & (straight < OUT_OF_BOUND)
    unusable = ~np.isfinite(here) & ~_unheard(forecast, before)
    target = _installed(ideal, unusable, table.relays[number], costs)
    move = np.isfinite(ideal.cost) & (unusable | (enough & (broken | ~(dwelling | resting))))
    move &= differ(target.relays, before) & forecast.alive[:, None]
    changed_ns, gained = table.changed_ns[number], table.gained[number]
    wishes = Wishes(move, target, gain, here, unusable, broken, ~in_force, before, changed_ns, gained, now_ns)
    move, relays, waiting = take_turns(wishes, costs, crowd, search.without)
    home &= ~move & ~dwelling & forecast.alive[:, None]
    home = go_home(home, before)
    if policy.chooses_relays:  # what is excluded is not kept for want of anything better
        home |= ~move & unusable & barred(costs, before)
    after = np.where(move[..., None], relays, before)
    after[home] = (NONE, NONE)
    moved = (move | home) & in_force
    pins = {
        (one.pin.source, one.pin.destination): one
        for one in put_pins(rules.pinned(number), forecast, table, before, dwelling & ~broken)
    }
    for at, pinned in pins.items():
        if pinned.standing is Standing.IN_FORCE:
            after[at] = padded(pinned.pin.relays)
            moved[at] = bool((after[at] != before[at]).any()) and bool(in_force[at])
            waiting[at] = False
    table.relays[number, :, :, 0] = after
    table.changed_ns[number][moved] = now_ns
    gained[moved] = ~(broken | unusable)[moved]
    for at in pins:
        gained[at] = False
    if crowd is not None:
        rows, columns = np.nonzero(moved)
        table.carried_bps[number, rows, columns] = crowd.carried(rows, columns, before[rows, columns])
    dwelling, resting = dwelling & ~broken, resting & ~broken
    return ClassPlan(costs, ideal, before, dwelling, resting, moved, waiting, policy, pins)


def _installed(ideal: Paths, dead: Bool, paths: Relays, costs: Costs) -> Paths:
    """Return where to go: for what is ``dead``, the first back-up in force that is not worse than the best by
    what is worth a change. Traffic is there already; to move it on would be a second change for nothing.
    """
    if not dead.any():
        return ideal
    relays, cost = ideal.relays.copy(), ideal.cost.copy()
    settled = ~dead
    for position in range(1, PATHS):
        kept = paths[:, :, position]
        kept_cost = path_cost(costs, kept)
        with np.errstate(invalid="ignore"):
            good = np.isfinite(kept_cost) & ~costs.gain.worth(kept_cost - ideal.cost, kept_cost)
        good &= (kept_cost < OUT_OF_BOUND) | (ideal.cost >= OUT_OF_BOUND)
        take = good & ~settled
        relays[take], cost[take] = kept[take], kept_cost[take]
        settled |= good
    return replace(ideal, relays=relays, cost=cost)


def _back_up(number: int, costs: Costs, search: Searching, forecast: Forecast, table: RouteTable) -> None:
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
