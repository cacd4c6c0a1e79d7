"""Where many apps go: within what there is, with and apart from each other, moved only for good reason."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from controller.orchestration.placement.together import place, recheck
from controller.orchestration.placement.wanted import Bounds, Held, Wanted
from controller.orchestration.placement.world import Host, Users, World
from tests.controller.orchestration.placement.making import figures, host, line, web, within


def crowd(seed: int, apps: int, nodes: int, room: float = 2.0) -> tuple[list[Wanted], World]:
    """Return apps of different groups, wishes and sizes; ``room``: so many times what they ask is there."""
    rng = np.random.default_rng(seed)
    places = rng.random((nodes, 2)) * 100.0
    ms = np.linalg.norm(places[:, None] - places[None], axis=-1) + 1.0
    groups = {
        f"default/g{group}": Users(
            rng.choice(nodes, min(3, nodes), replace=False),
            rng.random(min(3, nodes)) + 0.1,
            np.zeros(min(3, nodes)),
        )
        for group in range(4)
    }
    asked: list[Wanted] = []
    for app in range(apps):
        name, least = f"default/a{app}", int(rng.integers(1, 3))
        others = [f"default/a{other}" for other in rng.integers(0, apps, 2).tolist() if other != app]
        asked.append(
            Wanted(
                name,
                {"cpu": float(rng.uniform(100, 900)), "memory": float(rng.uniform(1, 9)) * 2**27},
                least,
                least + int(rng.integers(0, 2)),
                users=f"default/g{rng.integers(0, 4)}",
                bounds=within(float(rng.uniform(20, 60)), 0.9) if rng.random() < 0.6 else Bounds(),
                apart=tuple(others[:1]) if rng.random() < 0.2 else (),
                near=tuple(others[1:]) if rng.random() < 0.2 else (),
            )
        )
    total = {name: sum(one.requests[name] * one.most for one in asked) for name in ("cpu", "memory")}
    free = {name: amount * room / nodes for name, amount in total.items()}
    hosts = tuple(host(f"n{node}", free=free, capacity=free) for node in range(nodes))
    return asked, World(hosts, figures(ms, 4.0), groups)


def taken(asked: list[Wanted], placed: dict[str, tuple[str, ...]]) -> Counter[tuple[str, str]]:
    sums: Counter[tuple[str, str]] = Counter()
    for one in asked:
        for node in placed[one.name]:
            for name, amount in one.requests.items():
                sums[node, name] += amount  # type: ignore[assignment]
    return sums


def fits(asked: list[Wanted], world: World, placed: dict[str, tuple[str, ...]]) -> bool:
    sums = taken(asked, placed)
    return all(
        sums[one.name, name] <= free * (1.0 + 1e-9) for one in world.hosts for name, free in one.free.items()
    )


@settings(max_examples=25, deadline=None)
@example(seed=1, apps=9, nodes=4, room=2.0)  # two that keep apart, of which only the first one says so
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(2, 8), st.floats(0.3, 3.0))
def test_what_is_placed_fits_and_keeps_to_every_rule(seed: int, apps: int, nodes: int, room: float) -> None:
    asked, world = crowd(seed, apps, nodes, room)
    choices = place(asked, world).choices
    placed = {name: choice.nodes for name, choice in choices.items()}
    assert fits(asked, world, placed)
    for one in asked:
        there = placed[one.name]
        assert len(set(there)) == len(there) <= one.most
        assert all(not set(there) & set(placed[other]) for other in one.apart)
        assert there or choices[one.name].problem


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_what_was_just_placed_stays_where_it_is(seed: int) -> None:
    asked, world = crowd(seed, 8, 6)
    asked = [replace(one, near=(), apart=()) for one in asked]
    first = {name: choice.nodes for name, choice in place(asked, world).choices.items()}
    sums = taken(asked, first)
    left = tuple(
        replace(one, free={name: free - sums[one.name, name] for name, free in one.free.items()})
        for one in world.hosts
    )
    index = world.index
    placed = {name: tuple(index[node] for node in nodes) for name, nodes in first.items()}
    held = {name: Held(nodes) for name, nodes in first.items()}
    again = recheck(asked, replace(world, hosts=left, placed=placed), held).choices
    assert {name: choice.nodes for name, choice in again.items()} == first


def test_two_apps_that_want_one_node_share_it_out_by_what_each_loses() -> None:
    room = {"cpu": 500.0}
    world = line(host("a", free=room), host("b", free=room), host("c", free=room), all={0: 1.0})
    hard, soft = web(bounds=within(10.0)), replace(web(), name="default/soft")
    placed = place([soft, hard], world)
    assert placed.choices["default/web"].nodes == ("a",)
    assert placed.choices["default/soft"].nodes == ("b",)
    assert placed.gap == 0.0


def test_an_app_without_room_says_so_and_takes_no_other_along() -> None:
    world = line(host("a", free={"cpu": 700.0}), all={0: 1.0})
    both = [web(), replace(web(), name="default/other")]
    choices = place(both, world).choices
    nowhere = [choice for choice in choices.values() if not choice.nodes]
    assert len(nowhere) == 1
    assert "other apps have all the room" in nowhere[0].problem
    giant = replace(web(requests={"cpu": 9000.0}), name="default/giant")
    choices = place([web(), giant], world).choices
    assert choices["default/web"].nodes == ("a",)
    assert choices["default/giant"].problem.startswith("cpu excludes all 1 nodes")


def test_apps_that_go_together_or_apart_are_placed_after_each_other() -> None:
    world = line(host("a"), host("b"), host("c"), all={0: 1.0})
    db = replace(web(), name="default/db")
    cache = replace(web(together=("default/api",)), name="default/cache")
    api = replace(web(together=("default/db",)), name="default/api")
    noisy = replace(web(apart=("default/db",)), name="default/noisy")
    choices = place([cache, api, noisy, db], world).choices
    assert {name: choice.nodes for name, choice in choices.items()} == {
        "default/cache": ("a",),
        "default/api": ("a",),
        "default/noisy": ("b",),
        "default/db": ("a",),
    }


def test_apps_keep_apart_whichever_says_so_and_whoever_moves() -> None:
    world = line(host("a"), host("b"), host("c"), all={0: 1.0})
    quiet, noisy = web(), replace(web(apart=("default/web",)), name="default/noisy")
    held = {"default/web": Held(("b",)), "default/noisy": Held(("a",))}
    placed = replace(world, placed={"default/web": (1,), "default/noisy": (0,)})
    for apps in ([quiet, noisy], [noisy, quiet]):
        choices = recheck(apps, placed, held).choices
        assert choices["default/noisy"].nodes == ("a",)
        assert choices["default/web"].nodes == ("b",)
    both = {"default/web": Held(("a",)), "default/noisy": Held(("a",))}
    choices = recheck([quiet, noisy], replace(world, placed={name: (0,) for name in both}), both).choices
    assert len({*choices["default/web"].nodes, *choices["default/noisy"].nodes}) == 2


def test_an_app_moves_when_its_node_is_gone_and_the_others_stay() -> None:
    world = line(host("a", alive=False), host("b"), host("c"), all={0: 1.0, 2: 1.0})
    apps = [web(), replace(web(), name="default/other")]
    held = {"default/web": Held(("a",)), "default/other": Held(("c",))}
    placed = replace(world, placed={"default/web": (0,), "default/other": (2,)})
    choices = recheck(apps, placed, held).choices
    assert choices["default/web"].nodes[0] in ("b", "c")
    assert choices["default/other"].nodes == ("c",)


@pytest.mark.parametrize("nodes", [(), (Host("a", serves=False),)])
def test_where_nothing_can_run_every_app_is_told_so(nodes: tuple[Host, ...]) -> None:
    choices = place([web()], line(*nodes)).choices
    assert choices["default/web"].problem
