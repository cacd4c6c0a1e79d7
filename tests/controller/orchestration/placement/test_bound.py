"""What `make bench-placement` holds placements against: nothing undercuts it, as trying everything shows."""

import numpy as np
import pytest

from controller.orchestration.placement.columns import Columns
from controller.orchestration.placement.crowd import Crowd
from controller.orchestration.placement.prices import find_prices
from tests.bench.placing_bound import bound
from tests.controller.orchestration.placement.test_solve import least_cost, some_problem


@pytest.mark.parametrize("priced", [True, False])
def test_no_placement_of_apps_that_talk_undercuts_the_bound(priced: bool) -> None:
    near = 0
    for seed in range(40):
        problem = some_problem(seed, apps=4, nodes=6, bonds=3, room=3.0, most=2)
        columns, crowd = Columns(problem), Crowd(problem.demands)
        worth = find_prices(columns, crowd).worth_ms
        if not priced:
            worth = np.random.default_rng(seed).uniform(0.0, 5.0, worth.shape)
        below, least = bound(problem, columns, crowd, worth), least_cost(problem)
        assert below <= least + 1e-6
        near += below > 0.9 * least
    assert not priced or near >= 20
