"""How sure it is that users are served as promised."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.orchestration.placement.quality import at_least, serving_of
from controller.orchestration.placement.wanted import Bounds
from controller.orchestration.placement.world import Users
from tests.controller.orchestration.placement.making import host, line


@given(
    st.lists(st.tuples(st.integers(1, 9), st.floats(0.0, 1.0)), min_size=1, max_size=6), st.floats(0.0, 1.0)
)
def test_the_chance_that_enough_users_are_served_is_that_of_all_cases(
    entries: list[tuple[int, float]], satisfy: float
) -> None:
    share = np.array([weight for weight, _ in entries], np.float64)
    share = np.round(1000.0 * share / share.sum()) / 1000.0
    share[0] += 1.0 - share.sum()  # in whole thousandths, as it counts
    satisfy = round(1000.0 * satisfy) / 1000.0
    likely = np.array([chance for _, chance in entries])
    tried = 0.0
    for case in product((0, 1), repeat=len(entries)):
        inside = np.array(case) == 1
        if share[inside].sum() >= satisfy - 1e-6:
            tried += float(np.prod(np.where(inside, likely, 1.0 - likely)))
    assert at_least(share, likely, satisfy) == pytest.approx(tried, abs=1e-6)


def test_the_nearer_to_the_bound_the_less_sure() -> None:
    world = line(*(host(name) for name in "abcd"), all={0: 1.0})
    serving = serving_of(world.groups["default/all"], Bounds(latency_ms=41.0), world)
    inside = serving.within[0]
    assert inside[0] > 0.999
    assert inside[2] == pytest.approx(0.5)  # expected are 41 ms
    assert inside[3] < 0.001
    assert (np.diff(inside) <= 0.0).all()


def test_the_last_mile_counts() -> None:
    world = line(host("a"), host("b"))
    users = Users(np.array([0]), np.ones(1), np.array([10.0]))
    serving = serving_of(users, Bounds(latency_ms=25.0), world)
    assert serving.ms[0].tolist() == [11.0, 31.0]
    assert serving.within[0, 0] > 0.99 > 0.01 > serving.within[0, 1]
