"""Where apps go when they compete: beside an exhaustive search, and at sizes that none can do."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from controller.orchestration.placement.problem import (
    NOWHERE_MS,
    Bond,
    Demand,
    Problem,
    Sites,
    bond_cost,
    cost_of,
)
from controller.orchestration.placement.solve import solve

GROUPS = 4


def some_problem(
    seed: int, apps: int, nodes: int, bonds: int = 0, room: float = 2.0, most: int = 1, groups: int = GROUPS
) -> Problem:
    """Users and nodes on a square of 100 ms; ``room``: so many times what all ask is there."""
    rng = np.random.default_rng(seed)
    places, users = rng.random((nodes, 2)) * 100.0, rng.random((groups, 2)) * 100.0
    away_ms = np.linalg.norm(users[:, None] - places[None], axis=-1) + 5.0
    apart_ms = np.linalg.norm(places[:, None] - places[None], axis=-1)
    demands: list[Demand] = []
    for _ in range(apps):
        share = rng.dirichlet(np.full(groups, 0.3))[:, None]
        replicas = int(rng.integers(1, most + 1))
        site_ms = rng.uniform(0.0, 8.0, nodes)
        site_ms[rng.random(nodes) < 0.2] = np.inf
        within = share / (1.0 + np.exp((away_ms - rng.uniform(20.0, 80.0)) / 6.0))
        demands.append(
            Demand(
                requests=rng.uniform(0.2, 1.0, 2),
                users_ms=share * away_ms,
                within=within,
                site_ms=site_ms,
                promised=float(rng.choice([0.0, 0.8, 0.95])),
                least=int(rng.integers(1, replicas + 1)),
                most=replicas,
            )
        )
    asked = sum(demand.requests * (demand.least + demand.most) / 2 for demand in demands)
    capacity = rng.uniform(0.5, 1.5, (nodes, 2)) * asked * room / nodes
    pairs = [rng.choice(apps, 2, replace=False).tolist() for _ in range(bonds)]
    talks = tuple(Bond(one, other, apart_ms * rng.uniform(0.1, 1.0)) for one, other in pairs)
    return Problem(tuple(demands), capacity, talks)


def choices_of(demand: Demand) -> Iterator[Sites]:
    possible = [node for node in range(demand.nodes) if np.isfinite(demand.site_ms[node])]
    yield ()
    for size in range(demand.least, demand.most + 1):
        yield from itertools.combinations(possible, size)


def small_problem(seed: int) -> Problem:
    """Return one that can be tried in all ways."""
    rng = np.random.default_rng(1000 + seed)
    return some_problem(
        seed,
        apps=int(rng.integers(2, 6)),
        nodes=int(rng.integers(3, 8)),
        bonds=int(rng.integers(0, 4)),
        room=float(rng.uniform(0.9, 3.0)),
        most=2,
    )


def least_cost(problem: Problem) -> float:
    """Try everything, app by app, leaving what already costs more than the best so far."""
    choices = [
        sorted(((cost_of(demand, sites), sites) for sites in choices_of(demand)), key=lambda one: one[0])
        for demand in problem.demands
    ]
    rest = np.cumsum([0.0, *(own[0][0] for own in reversed(choices))])[::-1]
    best = np.inf

    def go_on(placed: list[Sites], load: np.ndarray, cost: float) -> None:
        nonlocal best
        app = len(placed)
        if cost + rest[app] >= best:
            return
        if app == len(choices):
            best = cost
            return
        for own, sites in choices[app]:
            more = load.copy()
            more[list(sites)] += problem.demands[app].requests
            if (more > problem.capacity + 1e-9).any():
                continue
            talk = sum(
                bond_cost(bond, [*placed, sites][bond.one], [*placed, sites][bond.other])
                for bond in problem.bonds_of.get(app, ())
                if max(bond.one, bond.other) == app
            )
            go_on([*placed, sites], more, cost + own + talk)

    go_on([], np.zeros_like(problem.capacity), 0.0)
    return float(best)


def test_two_hundred_small_problems_are_solved_as_well_as_by_trying_everything() -> None:
    for seed in range(200):
        problem = small_problem(seed)
        found = solve(problem)
        assert problem.fits(found.sites)
        assert found.cost_ms == pytest.approx(problem.cost(found.sites))
        assert found.cost_ms <= least_cost(problem) * (1.0 + 1e-9)


@pytest.mark.parametrize("most", [1, 3])
def test_what_is_too_large_to_try_is_near_what_nothing_undercuts(most: int) -> None:
    problem = some_problem(1, apps=120, nodes=60, most=most, groups=10)
    found = solve(problem)
    assert problem.fits(found.sites)
    assert all(found.sites)
    assert found.gap < 0.05


def test_prices_and_small_programs_come_near_the_exhaustive_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.orchestration.placement.solve.FEW", 0)
    far = 0
    for seed in range(60):
        problem = some_problem(seed, apps=5, nodes=6, bonds=1, room=3.0, most=2)
        found = solve(problem)
        least = least_cost(problem)
        assert problem.fits(found.sites)
        assert found.bound_ms <= least + 1e-6
        far += found.cost_ms > least * 1.02
    assert far <= 3


def test_an_app_that_fits_nowhere_is_placed_nowhere_and_takes_no_other_along() -> None:
    problem = some_problem(3, apps=3, nodes=4)
    giant = replace(problem.demands[0], requests=np.full(2, 1e6))
    found = solve(Problem((*problem.demands, giant), problem.capacity))
    assert found.sites[-1] == ()
    assert found.sites[:-1] == solve(problem).sites
    assert found.cost_ms > NOWHERE_MS


def test_apps_that_talk_are_drawn_together() -> None:
    nodes = 5
    everywhere = Demand(np.ones(1), np.ones((1, nodes)), np.ones((1, nodes)), np.zeros(nodes))
    apart_ms = np.abs(np.subtract.outer(np.arange(nodes), np.arange(nodes))) * 10.0
    held = Demand(np.ones(1), np.ones((1, nodes)), np.ones((1, nodes)), np.array([np.inf] * 4 + [0.0]))
    found = solve(Problem((everywhere, held), np.ones((nodes, 1)), (Bond(0, 1, apart_ms),)))
    assert found.sites == ((3,), (4,))
