"""The search against networkx: same costs on random graphs, back-ups by successive removal."""

import itertools
import math

import networkx as nx
import numpy as np
import pytest

from controller.planner import search as search_module
from controller.planner.search import ABSENT, NONE, Search, Taken, path_sum
from controller.policy.costs import OUT_OF_BOUND, RELAY_MS, Costs, Gain
from controller.topology.links import Bool

GAIN = Gain(0.1, 5.0)


def random_costs(seed: int, *, capped: bool = False) -> tuple[Costs, Bool]:
    """Return a random sparse directed graph and which of its nodes are relays."""
    random = np.random.default_rng(seed)
    n = int(random.integers(2, 9))
    link = random.uniform(1, 100, (n, n)).astype(np.float32)
    link[random.random((n, n)) < random.uniform(0, 0.6)] = np.inf
    np.fill_diagonal(link, np.inf)
    rtt = random.uniform(1, 100, (n, n)).astype(np.float32)
    cap = random.uniform(50, 150, (n, n)).astype(np.float32) if capped else None
    return Costs(link, link, link, link, 2.0, rtt, cap, GAIN), random.random(n) < 0.7


def oracle(
    costs: Costs, relays: Bool, source: int, destination: int, banned: set[int], no_direct: bool
) -> float:
    """Return the cheapest of all simple paths with at most two relays, by enumeration in networkx."""
    graph = nx.DiGraph()
    graph.add_nodes_from(i for i in range(len(relays)) if i not in banned)
    for a, b in itertools.permutations(graph.nodes, 2):
        inner = [node for node in (a, b) if node not in (source, destination)]
        if np.isfinite(costs.link[a, b]) and all(relays[node] for node in inner):
            graph.add_edge(a, b)
    best = math.inf
    for path in nx.all_simple_paths(graph, source, destination, cutoff=3):
        hops = list(itertools.pairwise(path))
        if len(hops) == 1 and no_direct:
            continue
        cost = sum(float(costs.link[hop]) for hop in hops) + costs.relay * (len(hops) - 1)
        if costs.rtt_cap_ms is not None:
            rtt = sum(float(costs.rtt_ms[hop]) for hop in hops) + RELAY_MS * (len(hops) - 1)
            cost += OUT_OF_BOUND * (rtt > float(costs.rtt_cap_ms[source, destination]))
        best = min(best, cost)
    return best


@pytest.mark.parametrize("capped", [False, True])
@pytest.mark.parametrize("seed", range(100))
def test_primary_and_disjoint_back_ups_cost_what_networkx_finds(
    seed: int, capped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_module, "PROMISING", seed % 4 + 1)  # small graphs, and still both branches
    costs, relays = random_costs(seed, capped=capped)
    n = len(relays)
    search = Search(costs, np.flatnonzero(relays))
    taken = Taken.nothing(n)
    used: dict[tuple[int, int], set[int]] = {pair: set() for pair in itertools.permutations(range(n), 2)}
    direct_used: set[tuple[int, int]] = set()
    for _ in range(3):
        found = search.best(taken)
        for source, destination in used:
            path = [int(k) for k in found.relays[source, destination] if k >= 0]
            assert not used[source, destination].intersection(path)
            expected = oracle(
                costs,
                relays,
                source,
                destination,
                used[source, destination],
                (source, destination) in direct_used,
            )
            assert found.cost[source, destination] == pytest.approx(expected, rel=1e-5)
            used[source, destination].update(path)
            if found.relays[source, destination, 0] == NONE:
                direct_used.add((source, destination))
        taken.add(found.relays)


@pytest.mark.parametrize("seed", range(20))
def test_what_a_path_costs_is_the_sum_along_it(seed: int) -> None:
    costs, relays = random_costs(seed)
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
