"""What is outside its class's bound is left, whatever promises of relayed paths are worth."""

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from controller.planner.plan import plan
from controller.planner.search import NONE
from controller.planner.table import RouteTable
from controller.policy.rules import PLAIN, Policy, Rules
from controller.prediction.forecast import Forecast
from controller.topology.links import Vertex
from overlayd.model.ids import NodeId
from overlayd.model.service import DEFAULT_CLASSES, Bound

NOW_NS = 10**12
N = 5
DIRECT, OVER_2, OVER_3 = ([relay, NONE] for relay in (NONE, 2, 3))
OVER_2_AND_3 = [2, 3]


def distrusted(rtt_ms: float = 30.0, loss: float = 0.0, others_loss: float = 0.0) -> Forecast:
    """A learned forecast that experience says nothing for yet; 0 → 1 has this RTT and loss, all other links
    20 ms.
    """
    rtt, lost = np.full((N, N), 20.0, np.float32), np.full((N, N), others_loss, np.float32)
    rtt[0, 1], lost[0, 1] = rtt_ms, loss
    known, nowhere = ~np.eye(N, dtype=np.bool_), np.zeros((N, N), np.bool_)
    alive, held = np.ones(N, np.bool_), np.zeros((N, N), np.int64)
    return Forecast(
        rtt, rtt, rtt, lost, rtt, lost, known, known, nowhere, alive, held,
        learned_ms=rtt, base_ms=rtt, trust=0.0,
    )  # fmt: skip


def primary(
    forecast: Forecast,
    before: list[int],
    policy: Policy = PLAIN,
    bound: Bound = Bound(),  # noqa: B008 (frozen)
    prices: Sequence[float] = (0.0,) * N,
) -> list[int]:
    """What the primary from 0 to 1 is after a decision; it was ``before``."""
    table = RouteTable.empty(1, N)
    table.relays[0, 0, 1, 0] = before
    service = msgspec.structs.replace(DEFAULT_CLASSES[0], bound=bound)
    vertices = [Vertex(NodeId(i + 1), f"n{i}", relay=True, price_per_gb=prices[i]) for i in range(N)]
    made = plan(vertices, (service,), forecast, table, NOW_NS, rules=Rules((policy,)))
    return made.table.relays[0, 0, 1, 0].tolist()


@pytest.mark.parametrize(
    ("forecast", "policy", "bound"),
    [
        (distrusted(loss=0.1), Policy(loss_ratio=0.02), Bound()),
        (distrusted(loss=0.1), PLAIN, Bound(link_loss_ratio=0.02)),
        (distrusted(rtt_ms=90), PLAIN, Bound(rtt_ms=80)),
    ],
)
def test_a_path_outside_its_bound_is_left_while_no_promise_is_believed(
    forecast: Forecast, policy: Policy, bound: Bound
) -> None:
    assert primary(forecast, DIRECT, policy, bound) == OVER_2


def test_for_a_gain_alone_no_path_is_left_while_no_promise_is_believed() -> None:
    assert primary(distrusted(rtt_ms=300), DIRECT) == DIRECT
    assert primary(distrusted(loss=0.04), DIRECT) == DIRECT, "within the bound of 5 % that classes have"


def test_a_dear_relay_is_left_for_a_cheap_one_while_no_promise_is_believed() -> None:
    prices = (0.02, 0.0, 0.09, 0.0, 0.03)
    forecast = distrusted(loss=0.1)  # so the direct path is no choice
    policy = Policy(price_per_gb=0.06, loss_ratio=0.02)
    assert primary(forecast, OVER_2, policy, prices=prices) == OVER_3


def test_where_all_paths_are_outside_the_bound_none_is_left_for_another() -> None:
    forecast = distrusted(loss=0.3, others_loss=0.1)
    assert primary(forecast, DIRECT, Policy(loss_ratio=0.02)) == DIRECT


def test_nothing_is_concluded_of_a_path_that_nobody_reports_on() -> None:
    forecast = distrusted(loss=0.1)
    forecast.alive[2:4] = False
    for link in ((2, 3), (3, 2)):
        forecast.known[link] = forecast.confirmed[link] = False
    policy = Policy(loss_ratio=0.02)
    assert primary(forecast, OVER_2_AND_3, policy) == OVER_2_AND_3
    forecast.alive[2] = True
    assert primary(forecast, OVER_2_AND_3, policy) == OVER_2, "who reports says that it is no link"
