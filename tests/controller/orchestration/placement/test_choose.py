"""Where one app goes, by what is promised, by its policy, and by where it is."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from controller.orchestration.placement.choose import choose
from controller.orchestration.placement.demands import ask_of
from controller.orchestration.placement.filters import filters_of, possible
from controller.orchestration.placement.problem import cost_of
from controller.orchestration.placement.wanted import POLICIES, Bounds, Held, Wanted, weights_of
from controller.orchestration.placement.world import Taint, Users, World
from tests.controller.orchestration.placement.making import figures, host, line, web, within

CLOUD = {"overlayd.io/cloud": "true"}


def test_an_app_goes_near_its_users() -> None:
    world = line(host("a"), host("b"), host("c"), all={2: 3.0, 1: 1.0})
    choice = choose(web(), world)
    assert choice.nodes == ("c",)
    assert choice.expected is not None
    assert choice.expected.ms == pytest.approx(0.75 * 1.0 + 0.25 * 21.0)
    assert list(choice.scores) == ["c", "b", "a"]
    assert choice.gap == 0.0


def test_the_policy_says_whether_the_near_or_the_cheap_node_is_taken() -> None:
    near = host("near", price=0.10)
    cheap = host("cheap", price=0.01)
    sound = host("sound", price=0.30)
    world = line(replace(near, up=0.97), replace(cheap, up=0.97), sound, all={0: 1.0})
    taken = {
        policy: choose(web(weights=weights_of(policy)), world).nodes
        for policy in ("latency-first", "cost-first", "reliability-first")
    }
    assert taken == {
        "latency-first": ("near",),
        "cost-first": ("cheap",),
        "reliability-first": ("sound",),
    }
    own = weights_of("weighted", {"cost": 1.0})
    assert choose(web(weights=own), world).nodes == ("cheap",)


def test_replicas_are_added_until_the_promise_is_kept() -> None:
    world = line(*(host(name) for name in "abcde"), all={0: 1.0, 4: 1.0})
    one = choose(web(bounds=within(10.0)), world)
    assert len(one.nodes) == 1
    assert "50.0 % are expected, 45.0 % short" in one.problem
    both = choose(web(bounds=within(10.0), most=5), world)
    assert both.nodes == ("a", "e")
    assert both.problem == ""
    assert both.expected is not None
    assert both.expected.p_satisfied > 0.99


def test_replicas_are_spread_over_nodes_or_regions_or_not_at_all() -> None:
    world = line(host("a", region="x"), host("b", region="x"), host("c", region="y"), host("d"), all={0: 1.0})
    assert choose(web(least=2, most=2), world).nodes == ("a", "b")
    assert choose(web(least=2, most=2, spread="region"), world).nodes == ("a", "c")
    assert choose(web(least=3, most=3, spread="region"), world).nodes == ("a", "c", "d")
    short = choose(web(least=5, most=5), world)
    assert short.nodes == ("a", "b", "c", "d")
    assert "4 of 5 replicas have a place on nodes of their own, 1 short" in short.problem
    heap = choose(web(least=6, most=6, spread="none"), world)
    assert len(heap.nodes) == 6
    assert set(heap.nodes) == {"a", "b", "c", "d"}
    full = choose(web(requests={"cpu": 2500.0}, least=6, most=6, spread="none"), world)
    assert len(full.nodes) == 4
    assert "2 short" in full.problem


def test_the_cloud_takes_what_no_other_node_serves_well_enough() -> None:
    world = line(host("far"), host("mid"), host("cloud", labels=CLOUD), all={2: 1.0})
    asked = web(bounds=within(30.0), cloud=True)
    assert choose(asked, world).nodes == ("mid",)
    assert choose(replace(asked, bounds=within(10.0)), world).nodes == ("cloud",)
    assert choose(replace(asked, bounds=within(10.0), cloud=False), world).nodes == ("mid",)
    assert choose(web(selector=CLOUD), world).nodes == ("cloud",)


def test_a_node_that_asks_to_be_left_alone_is_taken_only_for_a_lot() -> None:
    world = line(host("a", taints=(Taint("old", effect="PreferNoSchedule"),)), host("b"), all={0: 1.0})
    assert choose(web(), world).nodes == ("b",)


def test_an_app_stays_for_a_small_gain_and_moves_for_a_large_one() -> None:
    world = line(host("a"), host("b"), host("c"), step_ms=4.0, all={0: 1.0})
    assert choose(web(), world, Held(("b",))).nodes == ("b",)
    assert choose(web(), world, Held(("c",))).nodes == ("a",)


def test_an_app_that_has_just_moved_moves_again_only_for_a_broken_promise() -> None:
    world = line(host("a"), host("b"), step_ms=12.0, all={0: 1.0})
    assert choose(web(), world, Held(("b",), age_s=10.0)).nodes == ("b",)
    assert choose(web(), world, Held(("b",), age_s=100.0)).nodes == ("a",)
    assert choose(web(bounds=within(8.0)), world, Held(("b",), age_s=10.0)).nodes == ("a",)


def test_an_app_leaves_a_node_that_is_gone_and_one_that_refuses_it() -> None:
    world = line(host("a", alive=False), host("b", region="far"), host("c"), all={0: 1.0})
    assert choose(web(), world, Held(("a",))).nodes == ("b",)
    assert choose(web(avoid_regions=("far",)), world, Held(("b",))).nodes == ("c",)
    assert choose(web(), world, Held(("nobody-knows-it",))).nodes == ("b",)


def test_one_of_several_replicas_is_replaced_and_the_others_stay() -> None:
    world = line(*(host(name) for name in "abcdef"), all={0: 1.0, 5: 1.0})
    asked = web(least=2, most=2, bounds=within(50.0))
    assert choose(asked, world, Held(("b", "e"))).nodes == ("b", "e")
    broken = replace(world, hosts=(*world.hosts[:4], replace(world.hosts[4], alive=False), world.hosts[5]))
    assert choose(asked, broken, Held(("b", "e"))).nodes == ("b", "f")


def test_an_app_is_drawn_to_those_it_talks_to() -> None:
    world = line(host("a"), host("b"), host("c"))
    world.placed["default/db"] = (2,)  # type: ignore[index]
    assert choose(Wanted("default/web", {"cpu": 1.0}, near=("default/db",)), world).nodes == ("c",)


def test_all_bounds_have_to_hold() -> None:
    world = line(host("a"), host("b"), host("c"), all={0: 1.0})
    figures = world.paths
    figures.jitter_ms[0, 0], figures.mbps[0, 1], figures.loss[0, 2] = 30.0, 10.0, 0.2
    asked = web(bounds=Bounds(jitter_ms=5.0, mbps=100.0, loss=0.02))
    shares = {name: score.share for name, score in choose(asked, world).scores.items()}
    assert shares["a"] == pytest.approx(0.0, abs=0.01)
    assert shares["b"] == 0.0
    assert shares["c"] == pytest.approx(1.0 - 0.1**0.1)


def test_experience_counts_before_what_is_expected() -> None:
    world = line(host("a"), host("b"), all={0: 1.0})
    seen = {(0, 30.0): np.array([0.5, np.nan], np.float32)}
    world = replace(world, paths=replace(world.paths, within=seen))
    choice = choose(web(bounds=within(30.0)), world)
    assert choice.nodes == ("b",)
    assert choice.scores["a"].share == pytest.approx(0.5)


def test_users_without_a_path_are_not_served() -> None:
    world = line(host("a"), host("b"), all={0: 1.0, 1: 1.0})
    world.paths.ms[0, 1] = world.paths.ms[1, 0] = np.nan
    choice = choose(web(bounds=within(100.0), most=2), world)
    assert choice.nodes == ("a", "b")
    alone = choose(web(bounds=within(100.0)), world)
    assert alone.expected is not None
    assert alone.expected.share == pytest.approx(0.5)


def test_an_app_without_users_is_placed_as_its_policy_says() -> None:
    world = line(host("a", price=1.0), host("b"), all={})
    assert choose(web(), world).nodes == ("b",)
    assert choose(Wanted("default/job", {"cpu": 100.0}), world).nodes == ("b",)
    assert choose(web(users="default/unknown", bounds=within(5.0)), world).expected is None


def some_world(seed: int) -> tuple[Wanted, World]:
    """Nodes and users on a square of 100 ms, and an app of up to three replicas with or without a bound."""
    rng = np.random.default_rng(seed)
    nodes, entries = int(rng.integers(2, 9)), int(rng.integers(1, 5))
    places = rng.random((nodes, 2)) * 100.0
    hosts = [
        host(
            f"n{node}",
            free={"cpu": float(rng.uniform(0.0, 2000.0)), "memory": 2.0**33},
            region=str(rng.choice(["x", "y", ""])),
            alive=bool(rng.random() < 0.9),
            price=float(rng.uniform(0.0, 0.5)),
            up=float(rng.uniform(0.9, 1.0)),
        )
        for node in range(nodes)
    ]
    ms = np.linalg.norm(places[:, None] - places[None], axis=-1) + 1.0
    users = Users(
        rng.choice(nodes, min(entries, nodes), replace=False),
        rng.random(min(entries, nodes)) + 0.1,
        rng.uniform(0.0, 10.0, min(entries, nodes)),
    )
    most = int(rng.integers(1, 4))
    asked = web(
        requests={"cpu": float(rng.uniform(100.0, 1000.0))},
        least=int(rng.integers(1, most + 1)),
        most=most,
        spread=str(rng.choice(["node", "region"])),
        weights=weights_of(str(rng.choice(list(POLICIES)))),
        bounds=within(float(rng.uniform(20.0, 80.0)), float(rng.uniform(0.5, 1.0)))
        if rng.random() < 0.7
        else Bounds(),
    )
    return asked, World(tuple(hosts), figures(ms, 5.0), {"default/all": users})


@pytest.mark.parametrize("few", [3000, 0])
def test_two_hundred_choices_are_as_good_as_the_best_of_all(
    few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ``few`` choices all are tried; otherwise sites are searched one by one."""
    monkeypatch.setattr("controller.orchestration.placement.sites.FEW", few)
    exact = far = 0
    for seed in range(200):
        asked, world = some_world(seed)
        choice = choose(asked, world)
        mask = possible(filters_of(asked, world, Held()), len(world.hosts))
        demand = ask_of(asked, world, Held(), mask).demand
        every = (
            sites
            for size in range(max(1, demand.least), demand.most + 1)
            for sites in combinations(np.flatnonzero(mask).tolist(), size)
        )
        least = min((cost_of(demand, sites) for sites in every), default=np.inf)
        assert bool(choice.nodes) == bool(np.isfinite(least))
        if not choice.nodes:
            exact += 1
            continue
        cost = cost_of(demand, tuple(world.index[name] for name in choice.nodes))
        exact += cost <= least * (1.0 + 1e-9)
        far += cost > least * 1.02
        assert least >= cost * (1.0 - choice.gap) - 1e-6
    assert exact == 200 if few else exact >= 198
    assert far == 0 if few else far <= 1
