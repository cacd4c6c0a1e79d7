"""Where many apps go that compete for the same nodes. Pure.

`place` weighs all choices of all anew, as when a controller comes to apps of which none runs; `recheck` moves
those that are better off elsewhere, one by one, and leaves the others. Apps that must run with or apart from
others of them come last, one by one. Why a node was refused, and how it scored, `choose` tells of one app.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from controller.orchestration.placement.choose import Choice, choose, expected_of, problem, stacked
from controller.orchestration.placement.demands import Ask, ask_of
from controller.orchestration.placement.filters import Filter, exclusion, filters_of, possible
from controller.orchestration.placement.problem import F64, Bond, Problem, Sites
from controller.orchestration.placement.solve import recheck as recheck_all
from controller.orchestration.placement.solve import solve
from controller.orchestration.placement.wanted import NOWHERE, Held, Wanted
from controller.orchestration.placement.world import Host, World


@dataclass(frozen=True, slots=True)
class Placed:
    """``choices`` by name of the app. ``gap``: how much of what all cost another placement may save at most,
    0..1, as far as that is known: that of `solve` (`Placement`).
    """

    choices: Mapping[str, Choice]
    gap: float


@dataclass(frozen=True, slots=True)
class _Case:
    wanted: Wanted
    filters: list[Filter]
    ask: Ask


def place(wanted: Sequence[Wanted], world: World, held: Mapping[str, Held] | None = None) -> Placed:
    """Place all of ``wanted`` anew; where they run counts as far as moving them costs."""
    return _place(wanted, world, held or {}, afresh=True)


def recheck(wanted: Sequence[Wanted], world: World, held: Mapping[str, Held]) -> Placed:
    """Move those of ``wanted`` that are better off elsewhere, and place those that run nowhere."""
    return _place(wanted, world, held, afresh=False)


def _place(wanted: Sequence[Wanted], world: World, held: Mapping[str, Held], *, afresh: bool) -> Placed:
    order = {one.name: place for place, one in enumerate(_in_order(wanted))}
    wanted = _mutual(wanted)
    names = set(order)
    last = [one for one in wanted if names.intersection((*one.together, *one.apart))]
    first = [one for one in wanted if one not in last] if last else list(wanted)
    free = without(wanted if afresh else first, world, held)
    choices, gap = _placed_first(first, free, held, afresh=afresh)
    free = beside(first, free, choices)
    for one in sorted(last, key=lambda one: order[one.name]):
        own = held.get(one.name, NOWHERE)
        if afresh:
            free = beside([one], free, {one.name: Choice(own.nodes)})
        choices[one.name] = choose(one, free, own)
        free = beside([one], without([one], free, held), choices)
    return Placed({one.name: choices[one.name] for one in wanted}, gap)


def _placed_first(
    wanted: Sequence[Wanted], world: World, held: Mapping[str, Held], *, afresh: bool
) -> tuple[dict[str, Choice], float]:
    choices: dict[str, Choice] = {}
    cases: list[_Case] = []
    for one in wanted:
        filters = filters_of(one, world, NOWHERE)
        mask = possible(filters, len(world.hosts))
        if mask.any():
            cases.append(_Case(one, filters, ask_of(one, world, held.get(one.name, NOWHERE), mask)))
        else:
            choices[one.name] = Choice((), problem=exclusion(filters, world))
    if not cases:
        return choices, 0.0
    made = _problem(cases, world)
    now = [case.ask.now for case in cases]
    if afresh:
        found = solve(made, now)
        sites, gap = found.sites, found.gap
    else:
        sites, gap = recheck_all(made, now), 0.0
    for case, there in zip(cases, sites, strict=True):
        choices[case.wanted.name] = _choice(case, world, there)
    return choices, gap


def _choice(case: _Case, world: World, sites: Sites) -> Choice:
    wanted = case.wanted
    expected = expected_of(wanted, case.ask, sites)
    nodes = stacked(wanted, world, NOWHERE, sites)
    why = problem(wanted, world, case.filters, len(nodes), expected)
    if not nodes:
        why = f"other apps have all the room that there is; {why}" if why else "other apps have all the room"
    return Choice(tuple(world.hosts[site].name for site in nodes), expected, why)


def _problem(cases: list[_Case], world: World) -> Problem:
    """Return the competition: resources in units of what apps ask on average, and no more than all ask."""
    names = sorted({name for case in cases for name in case.wanted.requests})
    asked = np.array([[case.wanted.requests.get(name, 0.0) for name in names] for case in cases])
    replicas = np.array([case.ask.demand.most for case in cases], np.float64)
    unit = np.maximum(asked.mean(axis=0), 1e-9) if len(names) else np.ones(0)
    capacity: F64 = np.empty((len(world.hosts), len(names)))
    for column, name in enumerate(names):
        capacity[:, column] = world.free(name) / unit[column]
    everything = replicas @ (asked / unit)
    demands = tuple(
        replace(case.ask.demand, requests=row) for case, row in zip(cases, asked / unit, strict=True)
    )
    return Problem(demands, np.clip(capacity, 0.0, everything), _bonds(cases, world))


def _bonds(cases: list[_Case], world: World) -> tuple[Bond, ...]:
    """Return which of the apps talk to which others of them."""
    number = {case.wanted.name: place for place, case in enumerate(cases)}
    ms = np.nan_to_num(world.paths.ms, nan=1e4).astype(np.float64)
    weighed = {weight: weight * ms for weight in {case.wanted.weights.latency for case in cases}}
    return tuple(
        Bond(place, number[other], weighed[case.wanted.weights.latency])
        for place, case in enumerate(cases)
        for other in case.wanted.near
        if other in number and other != case.wanted.name
    )


def without(wanted: Iterable[Wanted], world: World, held: Mapping[str, Held]) -> World:
    """Return the world without these apps: what they have is free, and they are nowhere."""
    places = [(one, held[one.name].nodes) for one in wanted if one.name in held]
    gone = {one.name for one in wanted}
    placed = {name: at for name, at in world.placed.items() if name not in gone}
    return replace(world, hosts=_taken(world, places, -1.0), placed=placed)


def beside(wanted: Iterable[Wanted], world: World, choices: Mapping[str, Choice]) -> World:
    """Return the world with these apps where they were placed."""
    places = [(one, choices[one.name].nodes) for one in wanted]
    placed = {
        one.name: tuple(world.index[node] for node in nodes if node in world.index)
        for one, nodes in places
        if nodes
    }
    return replace(world, hosts=_taken(world, places, 1.0), placed={**world.placed, **placed})


def _taken(world: World, places: Iterable[tuple[Wanted, Sequence[str]]], times: float) -> tuple[Host, ...]:
    """Return the nodes with what replicas at ``places`` take, so many times."""
    taken: dict[str, dict[str, float]] = {}
    for one, nodes in places:
        for node in nodes:
            of = taken.setdefault(node, {})
            for name, amount in one.requests.items():
                of[name] = of.get(name, 0.0) + times * amount
    return tuple(
        host
        if host.name not in taken
        else replace(
            host,
            free={**host.free}
            | {
                name: host.free[name] - amount
                for name, amount in taken[host.name].items()
                if name in host.free
            },
        )
        for host in world.hosts
    )


def _mutual(wanted: Sequence[Wanted]) -> list[Wanted]:
    """Return apps such that each keeps apart from those that keep apart from it."""
    by: dict[str, set[str]] = {}
    for one in wanted:
        for other in one.apart:
            by.setdefault(other, set()).add(one.name)
    return [
        replace(one, apart=tuple(sorted({*one.apart, *by[one.name]}))) if one.name in by else one
        for one in wanted
    ]


def _in_order(wanted: Sequence[Wanted]) -> list[Wanted]:
    """Return apps such that those come first that others name: to run with them, or else apart from them."""
    left, ordered = list(wanted), list[Wanted]()
    while left:
        names = {one.name for one in left}
        free = [one for one in left if not names.intersection(one.together)]
        ready = [one for one in free if not names.intersection(one.apart)] or free or left[:1]
        ordered += ready
        left = [one for one in left if one not in ready]
    return ordered
