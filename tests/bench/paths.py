"""How long the path search takes from 100 to 10,000 nodes, beside networkx and scipy, measured interleaved.

The command line of `make bench-paths`. All systems get the same costs: places in a plane, with noise.
``overlayd`` is what the planner calls for the default classes, ``overlayd-incremental`` one change of a link.
The peers know no bound of hops; for back-ups they search again without the relays of the earlier path, pair
by pair, which ends in bounded time for few nodes only. ``…-primary`` is their all-pairs search without
back-ups. I/O.
"""

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import dijkstra

from controller.planner.search import prepared
from controller.planner.table import PATHS
from controller.policy.costs import GAINS, RELAY_MS, Costs, costs_of
from controller.prediction.forecast import Forecast
from controller.topology.links import F32
from overlayd.model.service import DEFAULT_CLASSES, Objective

ROOT = Path(__file__).parents[2]
STRIPE = 128
"""So many sources are asked for at a time, where all answers together would be gigabytes."""
CHANGES = 40


@dataclass(frozen=True, slots=True)
class Case:
    """``seconds`` measures once."""

    system: str
    nodes: int
    relays: int
    classes: int
    seconds: Callable[[], float]


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench-paths", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often each case is measured (5)")
    parser.add_argument("--nodes", type=int, default=10_000, help="largest mesh (10,000)")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench", help="folder of the result")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds: at least 1")
    arguments.output.mkdir(parents=True, exist_ok=True)
    found: dict[tuple[str, int, int, int], list[float]] = {}
    for number in range(1, arguments.rounds + 1):
        for case in cases(arguments.nodes):
            taken = case.seconds()
            found.setdefault((case.system, case.nodes, case.relays, case.classes), []).append(taken)
            told = f"{case.system}, {case.nodes} nodes, {case.relays} relays, {case.classes} classes"
            print(f"round {number} of {arguments.rounds}: {told}: {taken:.4f} s", file=sys.stderr)
        file = arguments.output / "paths.json"
        file.write_text(json.dumps(document(found), indent=2) + "\n")
    return 0


def document(found: dict[tuple[str, int, int, int], list[float]]) -> dict[str, Any]:
    """Return the medians as cells, with the least and the most of the rounds."""
    keys = ("system", "nodes", "relays", "classes")
    return {
        "cells": [
            {
                **dict(zip(keys, case, strict=True)),
                "seconds": median(taken),
                "least": min(taken),
                "most": max(taken),
            }
            for case, taken in found.items()
        ]
    }


def cases(largest: int) -> list[Case]:
    """Return all cases up to so many nodes, small ones first."""
    made: list[Case] = []
    for nodes in (n for n in (25, 50, 100, 200, 500, 1000, 2000, 5000, 10_000) if n <= largest):
        one = [costs_of_latency(nodes)]
        if 100 <= nodes <= 1000:
            four = costs_of_all(nodes)
            made.append(Case("overlayd", nodes, nodes, 4, lambda four=four, n=nodes: ours(four, n)))
            made.append(
                Case("overlayd-incremental", nodes, nodes, 1, lambda one=one, n=nodes: incremental(one[0], n))
            )
        relays = min(nodes, 64)
        made.append(Case("overlayd", nodes, relays, 1, lambda one=one, k=relays: ours(one, k)))
        if nodes <= 1000:
            made.append(Case("scipy-primary", nodes, nodes, 1, lambda one=one: scipy_primary(one[0].link)))
        if nodes <= 50:
            made.append(Case("scipy", nodes, nodes, 1, lambda one=one: scipy_disjoint(one[0].link)))
        if nodes <= 200:
            made.append(
                Case("networkx-primary", nodes, nodes, 1, lambda one=one: networkx_primary(one[0].link))
            )
        if nodes <= 25:
            made.append(Case("networkx", nodes, nodes, 1, lambda one=one: networkx_disjoint(one[0].link)))
    return made


def ours(classes: list[Costs], relays: int) -> float:
    """A primary and two disjoint back-ups of all pairs and classes, from costs on."""
    n = len(classes[0].direct)
    everyone = np.linspace(0, n, relays, endpoint=False).astype(np.intp)
    found = np.empty((STRIPE, n, PATHS), np.float32), np.empty((STRIPE, n, PATHS, 2), np.int16)
    started = time.perf_counter()
    for costs in classes:
        search = prepared(costs, everyone)
        for start in range(0, n, STRIPE):
            stop = min(start + STRIPE, n)
            search.disjoint(start, stop, found[0][: stop - start], found[1][: stop - start], PATHS)
    return time.perf_counter() - started


def incremental(costs: Costs, nodes: int) -> float:
    """The median of changes of one link: half of them between relays that are used most."""
    search = prepared(costs, np.arange(nodes))
    search.paths()
    random = np.random.default_rng(1)
    used = search.second_relays()
    taken: list[float] = []
    for number in range(CHANGES):
        among = used if number % 2 else range(nodes)
        a, b = (int(node) for node in random.choice(np.array(among), 2, replace=False))
        cost = float(costs.link[a, b]) * random.uniform(0.5, 2.0)
        started = time.perf_counter()
        search.update(a, b, cost, cost)
        taken.append(time.perf_counter() - started)
    return median(taken)


def scipy_primary(link: F32) -> float:
    weights = _for_peers(link)
    started = time.perf_counter()
    dijkstra(weights, return_predecessors=True)
    return time.perf_counter() - started


def scipy_disjoint(link: F32) -> float:
    weights = _for_peers(link)
    started = time.perf_counter()
    _, before = dijkstra(weights, return_predecessors=True)
    for source, destination in itertools.permutations(range(len(link)), 2):
        tree, left = before[source], weights
        for _ in range(2):
            path = _walk(tree, source, destination)
            left = left.copy()
            left[path[1:-1], :] = left[:, path[1:-1]] = 0.0
            if len(path) == 2:
                left[source, destination] = 0.0
            _, tree = dijkstra(left, indices=source, return_predecessors=True)
    return time.perf_counter() - started


def networkx_primary(link: F32) -> float:
    graph = _graph(link)
    started = time.perf_counter()
    for _ in nx.all_pairs_dijkstra_path(graph):
        pass
    return time.perf_counter() - started


def networkx_disjoint(link: F32) -> float:
    graph = _graph(link)
    started = time.perf_counter()
    for source, paths in nx.all_pairs_dijkstra_path(graph):
        for destination, first in paths.items():
            left, path = graph.copy(), first
            for _ in range(2 if source != destination else 0):
                left.remove_nodes_from(path[1:-1])
                if len(path) == 2:
                    left.remove_edge(source, destination)
                path = nx.bidirectional_dijkstra(left, source, destination)[1]
    return time.perf_counter() - started


def costs_of_latency(nodes: int) -> Costs:
    """One class without a cap: for very many nodes there is room for one matrix only."""
    link = _rtts(nodes)
    return Costs(link, link, link, link, RELAY_MS, link, None, GAINS[Objective.LATENCY])


def costs_of_all(nodes: int) -> list[Costs]:
    """The default classes, as the planner makes them from a forecast."""
    random = np.random.default_rng(nodes)
    rtt = np.where(np.isfinite(rtt := _rtts(nodes)), rtt, np.float32(np.nan))
    spread = random.exponential(0.1, (nodes, nodes)).astype(np.float32)
    loss = np.where(random.random((nodes, nodes)) < 0.05, random.uniform(0, 0.1, (nodes, nodes)), 0.001)
    known = ~np.eye(nodes, dtype=np.bool_)
    forecast = Forecast(
        rtt, rtt * (1 + spread), rtt * (1 + 2 * spread),
        loss.astype(np.float32), rtt, loss.astype(np.float32),
        known, known, ~known, np.ones(nodes, np.bool_), np.zeros((nodes, nodes), np.int64),
    )  # fmt: skip
    price = random.uniform(0.01, 0.1, nodes).astype(np.float32)
    search = prepared(costs_of_latency(nodes), np.arange(nodes))
    quickest = np.frombuffer(search.best()[0], np.float32).reshape(nodes, nodes)
    return [costs_of(service, forecast, price, quickest) for service in DEFAULT_CLASSES]


def _rtts(nodes: int) -> F32:
    """Places in a plane 100 ms wide, and detours of the underlay."""
    random = np.random.default_rng(nodes)
    places = random.uniform(0, 100, (nodes, 2)).astype(np.float32)
    link = np.empty((nodes, nodes), np.float32)
    for row in range(nodes):
        away = np.hypot(*(places - places[row]).T)
        link[row] = 1 + away * random.lognormal(0.2, 0.3, nodes)
    np.fill_diagonal(link, np.inf)
    return link


def _for_peers(link: F32) -> NDArray[np.float64]:
    return np.where(np.isfinite(link), link + RELAY_MS, 0.0)


def _graph(link: F32) -> "nx.DiGraph[int]":
    graph: nx.DiGraph[int] = nx.DiGraph()
    weights = _for_peers(link)
    graph.add_weighted_edges_from((a, b, float(weights[a, b])) for a, b in np.argwhere(weights).tolist())
    return graph


def _walk(tree: NDArray[np.int32], source: int, destination: int) -> list[int]:
    path = [destination]
    while path[-1] != source:
        path.append(int(tree[path[-1]]))
    return path[::-1]


if __name__ == "__main__":
    sys.exit(main())
