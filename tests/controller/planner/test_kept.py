"""Searches that are brought up to date answer as new ones do; those that cannot be are made anew."""

from dataclasses import replace

import numpy as np
import pytest

from controller.planner.kept import FEW_LINKS, Kept, Searches
from controller.planner.plan import plan
from controller.planner.search import Search
from controller.planner.table import RouteTable
from controller.planner.whatif import Supposition, imagined
from controller.policy.costs import Costs
from controller.topology.links import F32
from overlayd.model.service import DEFAULT_CLASSES
from tests.controller.planner.test_plan import NOW_NS, nodes, random_forecast
from tests.controller.planner.test_search import GAIN

EVERYONE = 90


def costs_of(seed: int, capped: bool) -> Costs:
    """More relays than may be second ones."""
    random = np.random.default_rng(seed)
    link, rtt = random.uniform(1, 100, (2, EVERYONE, EVERYONE)).astype(np.float32)
    np.fill_diagonal(link, np.inf)
    cap = random.uniform(50, 150, (EVERYONE, EVERYONE)).astype(np.float32) if capped else None
    return Costs(link, link, link, link, 2.0, rtt, cap, GAIN)


def changed(costs: Costs, links: int, seed: int) -> Costs:
    random = np.random.default_rng(seed)

    def other(matrix: F32) -> F32:
        matrix = matrix.copy()
        for _ in range(links):
            a, b = random.choice(EVERYONE, 2, replace=False)
            matrix[a, b] = random.choice([np.inf, 1.0, 50.0, 300.0])
        return matrix

    link = other(costs.link)
    cap = None if costs.rtt_cap_ms is None else other(costs.rtt_cap_ms)
    return replace(costs, direct=link, link=link, rtt_ms=costs.rtt_ms, rtt_cap_ms=cap)


def assert_same(one: Search, other: Search) -> None:
    before = one.best()
    for found, expected in (
        (before, other.best()),
        (one.best(before.relays[:, :, None]), other.best(before.relays[:, :, None])),
    ):
        np.testing.assert_array_equal(found.relays, expected.relays)
        np.testing.assert_array_equal(found.cost, expected.cost)


@pytest.mark.parametrize("capped", [False, True])
def test_a_search_that_is_brought_up_to_date_answers_as_a_new_one(capped: bool) -> None:
    relays = np.arange(EVERYONE)
    searches, costs = Searches(), costs_of(1, capped)
    for _ in range(2):
        searches.search(0, costs, relays, 64).best()
    for seed in range(12):
        costs = changed(costs, 2, seed)
        kept = searches.search(0, costs, relays, 64)
        assert isinstance(kept, Search) and kept.costs is costs
        assert_same(kept, Search(costs, relays))


def test_where_few_links_changed_nothing_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    relays, made = np.arange(EVERYONE)[:60], list[int]()
    new = Search.__init__

    def noted(self: Search, *arguments: object) -> None:
        if len(arguments) < 4:
            made.append(1)
        new(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Search, "__init__", noted)
    searches, costs = Searches(), costs_of(2, False)
    for links, expected in ((0, 1), (3, 2), (3, 2), (3 * FEW_LINKS, 3), (3, 4), (3, 4)):
        costs = changed(costs, links, links)
        searches.search(0, costs, relays, 64)
        assert len(made) == expected
    for other, which in ((costs, relays[1:]), (replace(costs, relay=3.0), relays[1:])):
        before = len(made)
        searches.search(0, other, which, 64)
        assert len(made) == before + 1


def test_what_is_lent_is_lent_to_one_at_a_time() -> None:
    kept = Kept()
    with kept.borrowed() as first, kept.borrowed() as second:
        assert first is not second
    with kept.borrowed() as again:
        assert again is first


def test_a_plan_with_searches_of_other_plans_is_the_plan_without() -> None:
    n = 24
    forecast, vertices = random_forecast(3, n), nodes(n)
    table = RouteTable.empty(len(DEFAULT_CLASSES), n)
    searches = Searches()
    for what in (Supposition(), Supposition(links=((1, 2),)), Supposition(nodes=(4,)), Supposition()):
        now = imagined(forecast, what)
        new = plan(vertices, DEFAULT_CLASSES, now, table, NOW_NS)
        kept = plan(vertices, DEFAULT_CLASSES, now, table, NOW_NS, searches=searches)
        np.testing.assert_array_equal(kept.table.relays, new.table.relays)
