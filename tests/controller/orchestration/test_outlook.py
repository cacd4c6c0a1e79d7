"""What placement sees of a running controller: expected paths, experience, who is heard; nodes and users."""

import numpy as np
import pytest

from controller.orchestration.inventory import host_of, users_of
from controller.orchestration.outlook import Glance, Outlook
from controller.orchestration.placement.world import PathFigures, Taint
from controller.policy.costs import RELAY_MS
from overlayd.model.ids import NodeId
from tests.controller.core.world import World


def meshed(names: str = "abc", **rtts_ms: float) -> World:
    world = World(names)
    world.mesh(**rtts_ms)
    world.connect(*names)
    return world


def glance(world: World) -> Glance:
    return Outlook.glance(world.controller, world.now)


def figures(world: World, outlook: Outlook | None = None, *questions: tuple[int, float]) -> PathFigures:
    return (outlook or Outlook()).figures(glance(world), questions)


def test_before_anything_is_decided_only_a_node_itself_is_near() -> None:
    world = meshed("ab")
    world.controller.frame(world.now)
    seen = figures(world)
    assert np.isnan(seen.ms[0, 1])
    assert seen.ms[0, 0] < 1.0


def test_paths_are_expected_as_they_are_in_force_relays_included() -> None:
    world = meshed(ab=10, bc=20, ac=200)
    world.run(300)
    assert world.path("ac") == "abc"
    seen = figures(world)
    assert seen.ms[0, 1] == pytest.approx(10.0, rel=0.05)
    assert seen.ms[0, 2] == pytest.approx(30.0 + RELAY_MS, rel=0.05)
    assert 0.0 < seen.sd_ms[0, 2] < 10.0
    assert 0.0 <= seen.loss[0, 2] < 0.05


def test_a_path_that_became_long_is_expected_to_be_at_once() -> None:
    world = meshed("ab", ab=10)
    world.run(300)
    world.link("ab").rtt_ms = 110.0
    world.report("a", urgent=True)
    world.report("b", urgent=True)
    world.run(3)
    assert figures(world).ms[0, 1] > 100.0


def test_a_node_is_heard_while_any_other_hears_it() -> None:
    world = meshed(ab=10, bc=10, ac=10)
    world.run(120)
    assert glance(world).heard.all()
    world.silent.add("c")
    world.run(60)
    assert glance(world).heard.all()  # its own link to the controller is down; a and b still measure it
    world.link("ac").up = world.link("bc").up = False
    world.run(60)
    assert glance(world).heard.tolist() == [True, True, False]


def test_experience_grows_with_samples_and_survives_others_that_come_and_go() -> None:
    world, outlook = meshed(ab=50, bc=10, ac=80), Outlook()
    for _ in range(20):
        world.run(15)
        seen = figures(world, outlook, (0, 60.0), (0, 40.0))
    assert seen.within[0, 60.0][1] > 0.9 > 0.1 > seen.within[0, 40.0][1]
    assert seen.within[0, 60.0][0] > 0.9
    world.ids["d"] = NodeId(4)
    world.enrol("d")
    world.run(15)
    seen = figures(world, outlook, (0, 60.0))
    assert len(seen.ms) == 4
    assert seen.within[0, 60.0][1] > 0.9
    assert np.isnan(seen.within[0, 60.0][3])
    assert np.isnan(seen.ms[0, 3])


def test_the_same_sample_is_no_news_twice() -> None:
    world, outlook = meshed("ab", ab=50), Outlook()
    world.run(60)
    outlook.figures(glance(world), [(0, 60.0)])
    counted = outlook._likely._sums.copy()  # pyright: ignore[reportPrivateUsage]
    world.silent |= {"a", "b"}
    world.run(1)
    outlook.figures(glance(world), [(0, 60.0)])
    assert outlook._likely._sums[0, 1, 4] == counted[0, 1, 4]  # pyright: ignore[reportPrivateUsage]


def test_a_node_is_as_its_object_says_without_what_replicas_have() -> None:
    node = {
        "metadata": {
            "name": "paris",
            "labels": {"topology.kubernetes.io/region": "eu", "overlayd.io/price-per-hour": "0.04"},
        },
        "spec": {"taints": [{"key": "gpu", "value": "big", "effect": "NoExecute"}]},
        "status": {
            "conditions": [{"type": "Workloads", "status": "True"}],
            "capacity": {"cpuMilli": 4000, "memoryBytes": 2**33, "mbps": 100, "devices": {"gpu": 2}},
            "runtimes": {"docker": "20.10.24"},
        },
    }
    host = host_of(node, {"cpu": 500.0, "gpu": 1.0}, alive=True, reached=False)
    assert host.free == {"cpu": 3500.0, "memory": 2.0**33, "mbps": 100.0, "gpu": 1.0}
    assert (host.region, host.price, host.serves) == ("eu", 0.04, True)
    assert host.alive and not host.reached
    assert host.taints == (Taint("gpu", "big", "NoExecute"),)
    assert host.runtimes == {"docker"}
    plain = host_of(
        {"metadata": {"name": "bare", "labels": {"overlayd.io/price-per-hour": "cheap"}}}, {}, True, True
    )
    assert (plain.serves, plain.price) == (False, 0.0)


def test_users_enter_where_they_are_said_to_or_where_their_prefix_is_announced() -> None:
    nodes = [
        {"metadata": {"name": "a"}, "status": {"announced": ["10.0.0.0/8"]}},
        {"metadata": {"name": "b"}, "status": {"announced": ["10.1.0.0/16", "fd00::/8"]}},
    ]
    group = {
        "spec": {
            "ingress": [{"node": "a", "weight": 2, "lastMileMs": 3.5}, {"node": "gone"}],
            "prefixes": [
                {"cidr": "10.1.2.0/24"},
                {"cidr": "192.0.2.0/24"},
                {"cidr": "192.0.2.0/24", "node": "a"},
            ],
        }
    }
    users = users_of(group, {"a": 0, "b": 1}, nodes)
    assert users.nodes.tolist() == [0, 1, 0]
    assert users.weight.tolist() == [2.0, 1.0, 1.0]
    assert users.last_mile_ms.tolist() == [3.5, 0.0, 0.0]
    assert users.share.tolist() == [0.5, 0.25, 0.25]
