"""One choice of sites for each app, such that all fit. Pure.

Apps are placed one by one at the nodes' prices, those first that would lose most by having to go elsewhere.
Then those that are farthest from what they would have are placed anew, together with those that hold the
nodes they want: a small integer program each time. Last, each app looks once more whether it does better
where there is room now.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np

from controller.orchestration.placement.columns import Columns
from controller.orchestration.placement.problem import F64, Bool, Problem, Sites, bond_cost, cost_of
from controller.orchestration.placement.programs import Matrix, matrix, minimise
from controller.orchestration.placement.sites import EPSILON, Chooser

CASES = 5
"""An integer program looks at so many cases, but not where it has all columns there are."""
TOGETHER = 8
"""So many apps are placed anew together."""
WANTED = 6
"""So many nodes that an app wants most are looked at."""
CHOICES = 6
"""So many columns an app gets for that."""
TRIES = 100
POLISHES = 4


def make_whole(columns: Columns, choosers: list[Chooser], prices: F64) -> list[Sites]:
    """Return the sites of each app, within the nodes' capacity; ``prices`` [node, resource] are of a unit."""
    problem = columns.problem
    placed = _inserted(columns, choosers, prices)
    best = np.array([chooser.best(prices @ chooser.demand.requests)[1] for chooser in choosers])
    pays = np.array([_pays(problem, app, sites, prices) for app, sites in enumerate(placed)])
    tried = np.zeros(len(choosers), np.bool_)
    for _ in range(TRIES):
        regret = np.where(tried, 0.0, pays - best)
        app = int(regret.argmax())
        if regret[app] <= EPSILON:
            break
        tried[app] = True
        together = _rivals(choosers[app], app, placed, prices)
        _widen(columns, choosers, together, placed, prices)
        placed = choose(columns, together, placed, CASES)
        for other in together:
            pays[other] = _pays(problem, other, placed[other], prices)
    return polish(problem, choosers, placed)


def _pays(problem: Problem, app: int, sites: Sites, prices: F64) -> float:
    demand = problem.demands[app]
    return cost_of(demand, sites) + float((prices[list(sites)] @ demand.requests).sum())


def _inserted(columns: Columns, choosers: list[Chooser], prices: F64) -> list[Sites]:
    """Place apps one by one, each where it is cheapest at these prices and has room; first those that lose
    most by having to go elsewhere.
    """
    problem = columns.problem
    room = problem.capacity.copy()
    placed: list[Sites] = [()] * len(choosers)
    total = [
        cost + float((prices[list(sites)] @ problem.demands[app].requests).sum())
        for app, sites, cost in zip(columns.app, columns.sites, columns.cost, strict=True)
    ]
    ranked = [sorted(of, key=lambda column: total[column]) for of in columns.of]
    loses = [total[of[1]] - total[of[0]] if len(of) > 1 else 0.0 for of in ranked]
    for app in sorted(range(len(choosers)), key=lambda app: -loses[app]):
        requests = problem.demands[app].requests
        fits: Bool = np.all(room >= requests - EPSILON, axis=1)
        known = (columns.sites[column] for column in ranked[app])
        found = next((sites for sites in known if sites and fits[list(sites)].all()), None)
        if found is None:
            found, _ = choosers[app].best(np.where(fits, prices @ requests, np.inf))
        placed[app] = found
        room[list(found)] -= requests
    return placed


def _rivals(chooser: Chooser, app: int, placed: list[Sites], prices: F64) -> list[int]:
    """Return ``app`` and those that hold what it wants."""
    wanted = np.argsort(chooser.single() + prices @ chooser.demand.requests)[:WANTED].tolist()
    holders = [other for other, sites in enumerate(placed) if not set(wanted).isdisjoint(sites)]
    return sorted({app, *holders[:TOGETHER]})


def _widen(
    columns: Columns, choosers: list[Chooser], apps: list[int], placed: list[Sites], prices: F64
) -> None:
    """Make columns of what ``apps`` might have where they alone moved: the cheapest at these prices."""
    problem = columns.problem
    free = set(apps)
    room = problem.capacity - problem.load([() if app in free else sites for app, sites in enumerate(placed)])
    for app in apps:
        requests, chooser = problem.demands[app].requests, choosers[app]
        price = np.where((room >= requests - EPSILON).all(axis=1), prices @ requests, np.inf)
        sites, _ = chooser.best(price)
        columns.add(app, sites)
        others = [site for site in sites[:-1]]
        for site in np.argsort(chooser.with_each(others, price))[:CHOICES].tolist():
            columns.add(app, tuple(sorted({*others, site})))


def choose(columns: Columns, apps: list[int], placed: list[Sites], cases: int | None = None) -> list[Sites]:
    """Return ``placed`` with the best columns for ``apps`` together, all others staying."""
    problem = columns.problem
    others = [() if app in set(apps) else sites for app, sites in enumerate(placed)]
    room = problem.capacity - problem.load(others)
    own = [column for app in apps for column in columns.of[app] if _fits(columns, column, room)]
    cost = np.array([_cost_beside(columns, column, others) for column in own])
    pairs = _pairs(columns, own, set(apps))
    takes = columns.takes(own)
    tight = np.asarray(takes.sum(axis=1)).ravel() > room.ravel()
    equal = [(columns.ones(own, apps), 1.0)] + ([(_both(pairs, len(own)), 0.0)] if pairs else [])
    found = minimise(
        np.concatenate((cost, [ms for _, _, _, ms in pairs])),
        len(own),
        equal,
        (takes[tight], room.ravel()[tight]),
        cases,
    )
    if found is None:
        return placed
    answer = list(placed)
    for taken, column in zip(found.tolist(), own, strict=False):
        if taken > 0.5:
            answer[columns.app[column]] = columns.sites[column]
    return answer


def _fits(columns: Columns, column: int, room: F64) -> bool:
    requests = columns.problem.demands[columns.app[column]].requests
    return bool((room[list(columns.sites[column])] >= requests - EPSILON).all())


def _cost_beside(columns: Columns, column: int, others: Sequence[Sites]) -> float:
    """Return what a column costs, with what its app says to apps that stay."""
    app, sites = columns.app[column], columns.sites[column]
    return columns.cost[column] + _talk_cost(columns.problem, app, sites, others)


_Pair = tuple[int, int, int, float]
"""A bond, the places of two columns of it, and what it costs when both are taken."""


def _pairs(columns: Columns, own: list[int], apps: set[int]) -> list[_Pair]:
    """Return what the columns of apps that talk cost together."""
    of: dict[int, list[int]] = {app: [] for app in apps}
    for place, column in enumerate(own):
        of[columns.app[column]].append(place)
    return [
        (number, one, other, bond_cost(bond, columns.sites[own[one]], columns.sites[own[other]]))
        for number, bond in enumerate(columns.problem.bonds)
        if bond.one in apps and bond.other in apps
        for one, other in product(of[bond.one], of[bond.other])
    ]


def _both(pairs: list[_Pair], count: int) -> Matrix:
    """Return rows that are 0 where a pair is taken as much as each of its columns is."""
    rows: dict[tuple[int, int], list[int]] = {}
    for place, (bond, one, other, _) in enumerate(pairs):
        rows.setdefault((bond, one), []).append(count + place)
        rows.setdefault((bond, other), []).append(count + place)
    entries = [
        (value, row, place)
        for row, ((_, column), members) in enumerate(rows.items())
        for value, place in ((-1.0, column), *((1.0, member) for member in members))
    ]
    values, at, places = (np.array(part) for part in zip(*entries, strict=True))
    return matrix(values, at, places, (len(rows), count + len(pairs)))


def _replaced(chooser: Chooser, problem: Problem, app: int, placed: Sequence[Sites], room: F64) -> Sites:
    """Return where ``app`` would best be, all others staying; ``room`` [node, resource] is left beside it."""
    price = np.where((room >= chooser.demand.requests - EPSILON).all(axis=1), 0.0, np.inf)
    for bond in problem.bonds_of.get(app, ()):
        calls = bond.one == app
        others = list(placed[bond.other if calls else bond.one])
        if others:
            price = price + (bond.ms[:, others].min(axis=1) if calls else bond.ms[others].mean(axis=0))
    sites, here = chooser.best(price)[0], placed[app]
    return sites if _own(problem, app, sites, placed) < _own(problem, app, here, placed) - EPSILON else here


def _own(problem: Problem, app: int, sites: Sites, placed: Sequence[Sites]) -> float:
    """Return what changes with the app's sites."""
    return cost_of(problem.demands[app], sites) + _talk_cost(problem, app, sites, placed)


def _talk_cost(problem: Problem, app: int, sites: Sites, placed: Sequence[Sites]) -> float:
    return sum(
        bond_cost(bond, sites, placed[bond.other])
        if bond.one == app
        else bond_cost(bond, placed[bond.one], sites)
        for bond in problem.bonds_of.get(app, ())
    )


def polish(problem: Problem, choosers: list[Chooser], placed: Sequence[Sites]) -> list[Sites]:
    """Move apps one at a time while that is cheaper."""
    room, placed = problem.capacity - problem.load(placed), list(placed)
    for _ in range(POLISHES):
        moved = False
        for app, chooser in enumerate(choosers):
            room[list(placed[app])] += chooser.demand.requests
            sites = _replaced(chooser, problem, app, placed, room)
            moved |= sites != placed[app]
            placed[app] = sites
            room[list(sites)] -= chooser.demand.requests
        if not moved:
            break
    return placed
