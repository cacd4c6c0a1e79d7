"""Properties of whole plans on random forecasts."""

import time

import numpy as np
import pytest

from controller.planner.explain import Explainer
from controller.planner.plan import plan
from controller.planner.search import ABSENT, NONE
from controller.planner.table import RouteTable
from controller.prediction.forecast import Forecast
from controller.topology.links import Vertex
from overlayd.model.ids import NodeId
from overlayd.model.service import DEFAULT_CLASSES

NOW_NS = 10**12


def random_forecast(seed: int, n: int) -> Forecast:
    random = np.random.default_rng(seed)
    q50 = random.uniform(5, 150, (n, n)).astype(np.float32)
    q50 = (q50 + q50.T) / 2
    spread = random.uniform(0, 10, (n, n)).astype(np.float32)
    loss = np.where(random.random((n, n)) < 0.1, random.uniform(0, 0.2, (n, n)), 0.001).astype(np.float32)
    known = random.random((n, n)) < 0.95
    np.fill_diagonal(known, False)
    alive = np.ones(n, np.bool_)
    held = np.zeros((n, n), np.int64)
    hidden = np.where(known, np.float32(0), np.float32(np.nan))
    return Forecast(
        q50 + hidden, q50 + spread + hidden, q50 + 2 * spread + hidden, loss, q50 + hidden, loss + hidden,
        known, known, random.random((n, n)) < 0.02, alive, held,
    )  # fmt: skip


def nodes(n: int) -> list[Vertex]:
    return [Vertex(NodeId(i + 1), f"n{i}", relay=i % 3 != 0) for i in range(n)]


@pytest.mark.parametrize("seed", range(10))
def test_the_paths_of_a_pair_share_no_relay_and_pass_no_end(seed: int) -> None:
    n = 12
    made = plan(nodes(n), DEFAULT_CLASSES, random_forecast(seed, n), RouteTable.empty(4, n), NOW_NS)
    for *_, source, destination in np.ndindex(made.changed.shape):
        for number in range(4):
            paths = [p for p in made.table.relays[number, source, destination].tolist() if p[0] != ABSENT]
            relays = [relay for path in paths for relay in path if relay >= 0]
            assert len(relays) == len(set(relays))
            assert not {source, destination}.intersection(relays)
            assert sum(path[0] == NONE for path in paths) <= 1
            assert all(relay % 3 != 0 for relay in relays)


@pytest.mark.parametrize("seed", range(5))
def test_planning_again_on_the_same_forecast_changes_nothing(seed: int) -> None:
    n = 12
    forecast = random_forecast(seed, n)
    first = plan(nodes(n), DEFAULT_CLASSES, forecast, RouteTable.empty(4, n), NOW_NS)
    again = plan(nodes(n), DEFAULT_CLASSES, forecast, first.table, NOW_NS + 10**9)
    assert not again.changed.any() and not again.news.any()


def test_every_route_can_be_explained_with_one_reason_per_candidate() -> None:
    n = 12
    made = plan(nodes(n), DEFAULT_CLASSES, random_forecast(3, n), RouteTable.empty(4, n), NOW_NS)
    explainer = Explainer(made, nodes(n), DEFAULT_CLASSES)
    for number, source, destination in np.ndindex(made.changed.shape):
        route = explainer.route(number, source, destination, 0.0)
        if route is None:
            continue
        assert route.paths == tuple(c.path for c in route.candidates[: len(route.paths)])
        assert len({c.path for c in route.candidates}) == len(route.candidates)
        assert all(c.reason for c in route.candidates)
        assert route.destination == route.paths[0][-1]


def test_fifty_nodes_with_four_classes_take_well_under_a_second() -> None:
    n = 50
    forecast = random_forecast(1, n)
    vertices = [Vertex(NodeId(i + 1), f"n{i}", relay=True) for i in range(n)]
    plan(vertices[:3], DEFAULT_CLASSES, random_forecast(1, 3), RouteTable.empty(4, 3), NOW_NS)
    started = time.process_time()
    plan(vertices, DEFAULT_CLASSES, forecast, RouteTable.empty(4, n), NOW_NS)
    assert time.process_time() - started < 1.0
