"""What is said of a change's worth is what the decision went by."""

from dataclasses import replace

import pytest

from controller.planner.explain import Explainer
from controller.planner.plan import plan
from controller.planner.search import NONE
from controller.planner.table import RouteTable
from controller.planner.worth import WORTH_MS
from controller.prediction.forecast import Forecast
from controller.topology.links import Vertex
from overlayd.model.ids import NodeId
from overlayd.model.route import Route
from overlayd.model.service import DEFAULT_CLASSES, Objective
from tests.controller.planner.test_bounds import NOW_NS, N, distrusted

INTERACTIVE = DEFAULT_CLASSES[0]
JITTERY = next(service for service in DEFAULT_CLASSES if service.objective is Objective.JITTER)


def told(forecast: Forecast, service: object = INTERACTIVE) -> Route:
    """The route from 0 to 1 after a decision; it was direct, which takes as long as the forecast says."""
    table = RouteTable.empty(1, N)
    table.relays[0, 0, 1, 0] = [NONE, NONE]
    vertices = [Vertex(NodeId(i + 1), f"n{i}", relay=True) for i in range(N)]
    made = plan(vertices, (service,), forecast, table, NOW_NS)  # type: ignore[arg-type]
    route = Explainer(made, vertices, (service,)).route(0, 0, 1, 0.0)  # type: ignore[arg-type]
    assert route is not None
    return route


@pytest.mark.parametrize(
    ("trust", "said"),
    [
        (1.0, "no relayed path is better by 14.0 ms, its lasting part counted twice"),
        (0.8, "better by 14.0 ms, its lasting part counted twice; 80 % of a promise is believed"),
        (0.05, "only 5 % of what relayed paths promised came true lately"),
    ],
)
def test_a_learned_forecast_says_what_a_change_is_worth_to_it(trust: float, said: str) -> None:
    assert said in told(replace(distrusted(rtt_ms=46.0), trust=trust)).reason


def test_without_a_learned_forecast_shares_and_least_gains_are_told() -> None:
    plain = replace(distrusted(rtt_ms=44.0), learned_ms=None, base_ms=None, trust=1.0)
    assert "no relayed path is better by 10 % and 5.0 ms, or 8.0 ms" in told(plain).reason


def test_what_lasts_counts_for_classes_that_want_low_latency_alone() -> None:
    reason = told(replace(distrusted(rtt_ms=41.0), trust=1.0), JITTERY).reason
    assert "better by 10 % and 2.0 ms of variation" in reason


def test_the_words_name_the_limit_that_moves_a_route() -> None:
    """Relayed, 42 ms: a gain that lasts is counted twice."""
    below = replace(distrusted(rtt_ms=42.0 + WORTH_MS / 2 - 0.1), trust=1.0)
    above = replace(distrusted(rtt_ms=42.0 + WORTH_MS / 2 + 0.1), trust=1.0)
    assert told(below).paths[0] == (NodeId(2),)
    assert len(told(above).paths[0]) == 2
