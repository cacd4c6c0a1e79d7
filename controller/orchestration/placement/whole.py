"""One choice of sites for each app, such that all fit. Pure.

Apps are placed one by one at the nodes' prices, those first that would lose most by having to go elsewhere.
Then those that are farthest from what they would have are placed anew, together with those that hold the
nodes they want: a small integer program each time. Last, each app looks once more whether it does better
where there is room now.
"""

from collections.abc import Iterable, Sequence
from itertools import product

import numpy as np

from controller.orchestration.placement.columns import Columns
from controller.orchestration.placement.crowd import Crowd
from controller.orchestration.placement.problem import EPSILON, F64, Bool, Problem, Sites, bond_cost, cost_of
from controller.orchestration.placement.programs import Matrix, matrix, minimise
from controller.orchestration.placement.sites import with_each

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


def make_whole(columns: Columns, crowd: Crowd, prices: F64) -> list[Sites]:
    """Return the sites of each app, within the nodes' capacity; ``prices`` [node, resource] are of a unit."""
    problem = columns.problem
    placed = _inserted(columns, crowd, prices)
    placed = polish(problem, crowd, placed)
    room = problem.capacity - problem.load(placed)
    price = crowd.requests @ prices.T
    best = crowd.best(price, placed)[1]
    pays = np.array([_pays(problem, app, sites, price[app]) for app, sites in enumerate(placed)])
    tried = np.zeros(len(placed), np.bool_)
    for _ in range(TRIES):
        regret = np.where(tried, 0.0, pays - best)
        app = int(regret.argmax())
        if regret[app] <= EPSILON:
            break
        tried[app] = True
        together = _rivals(crowd, app, placed, price[app])
        _widen(columns, crowd, together, placed, room, price)
        before, placed = placed, choose(columns, crowd, together, placed, room, CASES)
        for other in together:
            requests = crowd.requests[other]
            room[list(before[other])] += requests
            room[list(placed[other])] -= requests
            pays[other] = _pays(problem, other, placed[other], price[other])
    return polish(problem, crowd, placed)


def _pays(problem: Problem, app: int, sites: Sites, price: F64) -> float:
    return cost_of(problem.demands[app], sites) + float(price[list(sites)].sum())


def _inserted(columns: Columns, crowd: Crowd, prices: F64) -> list[Sites]:
    """Place apps one by one, each where it is cheapest at these prices and has room; first those that lose
    most by having to go elsewhere.
    """
    problem = columns.problem
    room = problem.capacity.copy()
    placed: list[Sites] = [()] * len(problem.demands)
    total = np.array(columns.cost) + columns.takes(list(range(len(columns)))).T @ prices.ravel()
    ranked = [sorted(of, key=total.__getitem__) for of in columns.of]
    loses = [float(total[of[1]] - total[of[0]]) if len(of) > 1 else 0.0 for of in ranked]
    for app in sorted(range(len(placed)), key=lambda app: -loses[app]):
        requests = problem.demands[app].requests
        fits: Bool = np.all(room >= requests - EPSILON, axis=1)
        known = (columns.sites[column] for column in ranked[app])
        found = next((sites for sites in known if sites and all(fits[site] for site in sites)), None)
        if found is None:
            (found,), _ = crowd.best(np.where(fits, prices @ requests, np.inf)[None], apps=[app])
        placed[app] = found
        room[list(found)] -= requests
    return placed


def _rivals(crowd: Crowd, app: int, placed: list[Sites], price: F64) -> list[int]:
    """Return ``app`` and those that hold what it wants."""
    wanted = set(np.argsort(crowd.single[app] + price)[:WANTED].tolist())
    holders = [other for other, sites in enumerate(placed) if not wanted.isdisjoint(sites)]
    return sorted({app, *holders[:TOGETHER]})


def _widen(
    columns: Columns, crowd: Crowd, apps: list[int], placed: list[Sites], room: F64, price: F64
) -> None:
    """Make columns of what ``apps`` might have where they alone moved: the cheapest at these prices."""
    room = _without(room, crowd, apps, placed)
    fits = (room[None] >= crowd.requests[apps][:, None] - EPSILON).all(axis=2)
    price = np.where(fits, price[apps], np.inf)
    found, _ = crowd.best(price, placed, apps=apps)
    for app, sites, own in zip(apps, found, price, strict=True):
        columns.add(app, placed[app])
        columns.add(app, sites)
        others = list(sites[:-1])
        for site in np.argsort(with_each(crowd.demands[app], others, own))[:CHOICES].tolist():
            columns.add(app, tuple(sorted({*others, site})))


def _without(room: F64, crowd: Crowd, apps: Iterable[int], placed: Sequence[Sites]) -> F64:
    """Return what is left [node, resource] where ``apps`` are nowhere."""
    room = room.copy()
    for app in apps:
        room[list(placed[app])] += crowd.requests[app]
    return room


def choose(
    columns: Columns, crowd: Crowd, apps: list[int], placed: list[Sites], room: F64, cases: int | None = None
) -> list[Sites]:
    """Return ``placed`` with the best columns for ``apps`` together, all others staying; ``room``
    [node, resource] is left by all.
    """
    room = _without(room, crowd, apps, placed)
    others = list(placed)
    for app in apps:
        others[app] = ()
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


def polish(problem: Problem, crowd: Crowd, placed: Sequence[Sites]) -> list[Sites]:
    """Move apps while that is cheaper: all look at once where they would best be, all others staying; then
    those move that gain most, unless one that they talk to has moved, or their place is taken.
    """
    room, placed = problem.capacity - problem.load(placed), list(placed)
    for _ in range(POLISHES):
        found = _wishes(problem, crowd, placed, room)
        gains = [
            (_own(problem, app, placed[app], placed) - _own(problem, app, sites, placed), app)
            for app, sites in enumerate(found)
            if sites and sites != placed[app]
        ]
        moved: set[int] = set()
        for gain, app in sorted(gains, reverse=True):
            beside = room[list(found[app])] + np.isin(found[app], placed[app])[:, None] * crowd.requests[app]
            partners = (other for bond in problem.bonds_of.get(app, ()) for other in (bond.one, bond.other))
            if gain <= EPSILON or not moved.isdisjoint(partners):
                continue
            if (beside < crowd.requests[app] - EPSILON).any():
                continue
            room[list(placed[app])] += crowd.requests[app]
            room[list(found[app])] -= crowd.requests[app]
            placed[app] = found[app]
            moved.add(app)
        if not moved:
            break
    return placed


def _wishes(problem: Problem, crowd: Crowd, placed: Sequence[Sites], room: F64) -> list[Sites]:
    """Return where each app would best be, all others staying."""
    fits: Bool = np.all(room[None] >= crowd.requests[:, None] - EPSILON, axis=2)
    for app, sites in enumerate(placed):
        fits[app, list(sites)] = True
    price = np.where(fits, 0.0, np.inf)
    rows: dict[int, list[F64]] = {}
    for bond in problem.bonds:
        one, other = list(placed[bond.one]), list(placed[bond.other])
        if one and other:
            price[bond.one] += bond.ms[:, other].min(axis=1) / len(one)
            rows.setdefault(bond.other, []).append(bond.ms[one] / len(one))
    return crowd.best(price, placed, {app: np.concatenate(own) for app, own in rows.items()})[0]
