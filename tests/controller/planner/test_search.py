"""The search against networkx: the same costs and paths on random graphs, back-ups by successive removal."""

import itertools

import networkx as nx
import numpy as np
import pytest
from numpy.typing import NDArray

from controller.planner.search import ABSENT, NONE, Relays, Search, disjoint, path_sum
from controller.policy.costs import OUT_OF_BOUND, RELAY_MS, Costs, Gain
from controller.topology.links import Bool

GAIN = Gain(0.1, 5.0)
GRAPHS = 1000
BATCH = 50


def random_costs(seed: int) -> tuple[Costs, Bool]:
    """Return a random sparse directed graph, with a cap for odd seeds, and which of its nodes are relays."""
    random = np.random.default_rng(seed)
    n = int(random.integers(2, 9))
    link = random.uniform(1, 100, (n, n)).astype(np.float32)
    link[random.random((n, n)) < random.uniform(0, 0.6)] = np.inf
    np.fill_diagonal(link, np.inf)
    rtt = random.uniform(1, 100, (n, n)).astype(np.float32)
    cap = random.uniform(50, 150, (n, n)).astype(np.float32) if seed % 2 else None
    return Costs(link, link, link, link, 2.0, rtt, cap, GAIN), random.random(n) < 0.7


def all_paths(costs: Costs, relays: Bool, source: int, destination: int) -> list[tuple[float, list[int]]]:
    """Return all simple paths of at most two relays, each with its cost, by enumeration in networkx."""
    graph = nx.DiGraph()
    graph.add_nodes_from(range(len(relays)))
    for a, b in itertools.permutations(range(len(relays)), 2):
        inner = [node for node in (a, b) if node not in (source, destination)]
        if np.isfinite(costs.link[a, b]) and all(relays[node] for node in inner):
            graph.add_edge(a, b)
    found: list[tuple[float, list[int]]] = []
    for path in nx.all_simple_paths(graph, source, destination, cutoff=3):
        hops = list(itertools.pairwise(path))
        cost = sum(float(costs.link[hop]) for hop in hops) + costs.relay * (len(hops) - 1)
        if costs.rtt_cap_ms is not None:
            rtt = sum(float(costs.rtt_ms[hop]) for hop in hops) + RELAY_MS * (len(hops) - 1)
            cost += OUT_OF_BOUND * (rtt > float(costs.rtt_cap_ms[source, destination]))
        found.append((cost, path[1:-1]))
    return found


@pytest.mark.parametrize("first", range(0, GRAPHS, BATCH))
def test_primary_and_disjoint_back_ups_are_those_that_networkx_finds(first: int) -> None:
    for seed in range(first, first + BATCH):
        costs, relays = random_costs(seed)
        n = len(relays)
        search = Search(costs, np.flatnonzero(relays))
        found = [search.best()]
        for _ in range(2):
            found.append(search.best(np.stack([paths.relays for paths in found], axis=2)))
        for source, destination in itertools.permutations(range(n), 2):
            left = all_paths(costs, relays, source, destination)
            for paths in found:
                cost, relayed = min(left, default=(np.inf, [ABSENT]))
                assert paths.cost[source, destination] == pytest.approx(cost, rel=1e-5), seed
                chosen = paths.relays[source, destination].tolist()
                assert chosen == [*relayed, NONE, NONE][:2], seed
                left = [(c, p) for c, p in left if (p or relayed) and not set(p) & set(relayed)]


@pytest.mark.parametrize("seed", range(20))
def test_what_a_path_costs_is_the_sum_along_it(seed: int) -> None:
    costs, relays = random_costs(2 * seed)
    found = Search(costs, np.flatnonzero(relays)).best()
    total = path_sum(costs.link, costs.direct, found.relays, costs.relay)
    there = found.relays[..., 0] != ABSENT
    assert np.isnan(total[~there]).all()
    np.testing.assert_allclose(total[there], found.cost[there], rtol=1e-5)


def test_with_few_second_relays_single_relays_stay_exact() -> None:
    random = np.random.default_rng(7)
    n = 30
    link = random.uniform(1, 100, (n, n)).astype(np.float32)
    np.fill_diagonal(link, np.inf)
    costs = Costs(link, link, link, link, 2.0, link, None, GAIN)
    everyone = np.arange(n)
    few, exact = Search(costs, everyone, second=4).best(), Search(costs, everyone, second=n).best()
    single = (link[:, :, None] + link[None] + 2.0).min(axis=1)
    assert (few.cost <= single + 1e-3)[~np.eye(n, dtype=bool)].all()
    assert (few.cost >= exact.cost - 1e-3).all()


def test_paths_are_disjoint_if_they_share_neither_a_relay_nor_the_direct_link() -> None:
    def one(*relays: int) -> NDArray[np.int16]:
        return np.array(relays, np.int16).reshape(1, 1, 2)

    def among(*paths: Relays) -> bool:
        return bool(disjoint(paths[0], np.stack(paths[1:], axis=2))[0, 0])

    assert among(one(3, 4), one(5, NONE), one(NONE, NONE))
    assert not among(one(3, 4), one(5, NONE), one(4, NONE))
    assert not among(one(NONE, NONE), one(5, 6), one(NONE, NONE))
    assert among(one(NONE, NONE), one(5, 6), one(ABSENT, NONE))
    assert not among(one(ABSENT, NONE), one(5, 6))
