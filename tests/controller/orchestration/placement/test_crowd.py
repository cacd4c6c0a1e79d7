"""Sites of many apps at once: as good as trying everything, or nearly so where few nodes are looked at."""

from itertools import combinations

import numpy as np
import pytest

from controller.orchestration.placement.crowd import Crowd
from controller.orchestration.placement.problem import Demand, Sites, cost_of
from controller.orchestration.placement.sites import floor
from tests.controller.orchestration.placement.test_solve import some_problem


def cheapest(demand: Demand, price_ms: np.ndarray) -> float:
    """Try everything."""
    sizes = range(demand.least, demand.most + 1)
    every = (sites for size in sizes for sites in combinations(demand.possible, size))
    return min(cost_of(demand, sites) + price_ms[list(sites)].sum() for sites in every)


def test_a_crowd_finds_what_trying_everything_does() -> None:
    problem = some_problem(5, apps=60, nodes=12, most=3, groups=5)
    price = np.random.default_rng(5).uniform(0.0, 20.0, (60, 12))
    sites, cost = Crowd(problem.demands).best(price)
    least = [cheapest(demand, own) for demand, own in zip(problem.demands, price, strict=True)]
    found = [
        cost_of(demand, there) + own[list(there)].sum()
        for demand, there, own in zip(problem.demands, sites, price, strict=True)
    ]
    assert found == pytest.approx(cost.tolist())
    assert np.mean(np.array(found) > np.array(least) + 1e-6) <= 0.05
    assert sum(found) <= 1.005 * sum(least)


def test_of_many_nodes_few_are_looked_at_and_little_is_lost() -> None:
    problem = some_problem(6, apps=40, nodes=300, most=3, groups=8)
    price = np.random.default_rng(6).uniform(0.0, 20.0, (40, 300))
    few, all_ = (Crowd(problem.demands, narrow=narrow).best(price)[1] for narrow in (True, False))
    assert few.sum() <= 1.01 * all_.sum()


def test_no_two_replicas_are_in_one_zone_and_rows_of_others_count_as_users() -> None:
    nodes = 4
    demand = Demand(
        np.ones(1), np.ones((1, nodes)), np.ones((1, nodes)), np.arange(4.0), least=2, most=2,
        zone=np.array([0, 0, 1, 1]),
    )  # fmt: skip
    crowd = Crowd([demand])
    assert crowd.best(np.zeros((1, nodes)))[0] == [(0, 2)]
    far = np.array([[50.0, 50.0, 50.0, 0.0]])
    sites, cost = crowd.best(np.zeros((1, nodes)), rows={0: far})
    assert (sites, cost.tolist()) == ([(0, 3)], [4.0])


def test_where_no_node_is_left_there_are_no_sites() -> None:
    problem = some_problem(7, apps=3, nodes=5, most=2)
    sites, cost = Crowd(problem.demands).best(np.full((3, 5), np.inf))
    assert sites == [()] * 3 and np.isinf(cost).all()


@pytest.mark.parametrize("left", [0, 20_000])
def test_what_no_choice_undercuts_is_the_best_choice_where_few_are_left(left: int) -> None:
    problem = some_problem(8, apps=30, nodes=30, most=3, groups=5)
    known: list[Sites] = [tuple(demand.possible[: demand.least]) for demand in problem.demands]
    none = np.zeros(30)
    for demand, sites in zip(problem.demands, known, strict=True):
        least = cheapest(demand, none)
        best, cost, below = floor(demand, sites, none, left)
        assert cost_of(demand, best) == pytest.approx(cost)
        assert below <= least + 1e-6 <= cost + 2e-6
        if left:
            assert cost == pytest.approx(least) == pytest.approx(below)
