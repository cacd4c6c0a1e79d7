"""Where an app may not run, why, and by how much."""

import pytest

from controller.orchestration.placement.choose import choose
from controller.orchestration.placement.wanted import Held, Toleration, Wanted
from controller.orchestration.placement.world import Host, Taint
from tests.controller.orchestration.placement.making import host, line, web

SMALL = {"cpu": 200.0, "memory": 2.0**30}


@pytest.mark.parametrize(
    ("refused", "asked", "told"),
    [
        (host("b", alive=False), {}, "alive: it is not there"),
        (host("b", reached=False), {}, "reached: only the mesh hears it; nothing can be begun there"),
        (host("b", serves=False), {}, "workload: it runs no applications"),
        (host("b", free=SMALL), {}, "cpu: 500m asked, 200m free, 300m short"),
        (
            host("b", free=SMALL),
            {"requests": {"memory": 2.0**31}},
            "memory: 2048Mi asked, 1024Mi free, 1024Mi short",
        ),
        (host("b"), {"requests": {"gpu": 1.0}}, "gpu: 1 asked, 0 free, 1 short"),
        (host("b"), {"selector": {"disk": "ssd"}}, "nodeSelector: it has no label disk"),
        (
            host("b", labels={"disk": "hdd"}),
            {"selector": {"disk": "ssd"}},
            "nodeSelector: label disk is 'hdd', not 'ssd'",
        ),
        (host("b", taints=(Taint("gpu"),)), {}, "taints: gpu:NoSchedule is not tolerated"),
        (host("b", region="far"), {"regions": ("near",)}, "regions.only: it is in far, not in near"),
        (host("b"), {"regions": ("near",)}, "regions.only: it is in no region, not in near"),
        (
            host("b", region="far"),
            {"avoid_regions": ("far",)},
            "regions.avoid: it is in far, which is avoided",
        ),
        (host("b", price=0.3), {"max_price": 0.2}, "maxPrice: 0.3 an hour, 0.1 above 0.2"),
        (
            host("b", labels={"overlayd.io/cloud": ""}),
            {},
            "fallback: it is the cloud, which is not asked",
        ),
    ],
)
def test_a_node_is_refused_with_the_reason_and_by_how_much(
    refused: Host, asked: dict[str, object], told: str
) -> None:
    good = host(
        "a", labels={"disk": "ssd"}, region="near", capacity={"gpu": 1.0}, free={"gpu": 1.0} | _plenty()
    )
    choice = choose(web(**asked), line(good, refused, all={1: 1.0}))
    assert choice.nodes == ("a",)
    assert choice.refused == {"b": told}
    assert choice.problem == ""


def _plenty() -> dict[str, float]:
    return {"cpu": 1e6, "memory": 2.0**40}


def test_what_an_app_has_itself_is_free_for_it() -> None:
    world = line(host("a", free={"cpu": 100.0}), all={0: 1.0})
    assert choose(web(), world).nodes == ()
    assert choose(web(), world, Held(("a",))).nodes == ("a",)


def test_bandwidth_that_nobody_limits_is_there() -> None:
    world = line(host("a"), host("b", free={"cpu": 1e6, "mbps": 10.0}), all={1: 1.0})
    choice = choose(web(requests={"mbps": 100.0}), world)
    assert choice.nodes == ("a",)
    assert choice.refused == {"b": "mbps: 100 Mbit/s asked, 10 Mbit/s free, 90 Mbit/s short"}


@pytest.mark.parametrize(
    "toleration",
    [
        Toleration(operator="Exists"),
        Toleration("gpu", "Exists"),
        Toleration("gpu", "Equal", "big"),
        Toleration("gpu", "Exists", effect="NoExecute"),
    ],
)
def test_a_taint_that_is_tolerated_keeps_nobody_off(toleration: Toleration) -> None:
    world = line(host("a", taints=(Taint("gpu", "big", "NoExecute"),)), all={0: 1.0})
    assert choose(web(), world).nodes == ()
    assert choose(web(tolerations=(Toleration("gpu", "Equal", "small"),)), world).nodes == ()
    assert choose(web(tolerations=(toleration,)), world).nodes == ("a",)


def test_apps_go_with_or_apart_from_others() -> None:
    world = line(host("a"), host("b"), host("c"), all={0: 1.0})
    world.placed["default/db"] = (1,)  # type: ignore[index]
    assert choose(web(together=("default/db",)), world).nodes == ("b",)
    assert choose(web(), world).nodes == ("a",)
    world.placed["default/db"] = (0,)  # type: ignore[index]
    assert choose(web(apart=("default/db",)), world).nodes == ("b",)
    lost = choose(web(together=("default/gone",)), world)
    assert lost.nodes == ()
    assert "affinity.with excludes all 3 nodes" in lost.problem
    assert "default/gone runs nowhere" in lost.problem


def test_the_constraint_that_excludes_all_is_named_with_the_least_that_is_missing() -> None:
    nodes = [host("a", free={"cpu": 100.0}), host("b", free={"cpu": 400.0}), host("c", alive=False, free={})]
    choice = choose(web(), line(*nodes, all={0: 1.0}))
    assert choice.nodes == ()
    assert choice.problem == "cpu excludes all 3 nodes, least b: 500m asked, 400m free, 100m short"
    assert set(choice.refused) == {"a", "b", "c"}


def test_constraints_that_exclude_all_only_together_are_named_with_the_nearest_node() -> None:
    nodes = [host("a", free={"cpu": 100.0}), host("b", price=2.0), host("c", price=3.0, alive=False)]
    choice = choose(web(max_price=1.0), line(*nodes, all={0: 1.0}))
    assert choice.problem == (
        "no one constraint excludes all 3 nodes, but together they do (alive 1, cpu 1, maxPrice 2); "
        "nearest is a: cpu: 500m asked, 100m free, 400m short"
    )


def test_without_nodes_nothing_is_placed() -> None:
    assert choose(Wanted("default/web"), line()).problem == "there is no node"
