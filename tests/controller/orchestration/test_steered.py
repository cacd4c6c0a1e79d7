"""Routes: their addresses, and what nodes are told of who serves them."""

from pathlib import Path
from typing import Any

from controller.orchestration.objects.approute import APP_ROUTE
from controller.orchestration.objects.schema import Object
from controller.orchestration.objects.steering import STEERING
from controller.orchestration.objects.usergroup import USER_GROUP
from controller.orchestration.serving.asking import Target
from controller.orchestration.serving.verbs import new_write
from overlayd.protocol.workload import Full, Wanted
from tests.controller.orchestration.stage import Stage

PORTS = [{"port": 8080}]


def route(stage: Stage, name: str, **spec: Any) -> None:
    body = {"metadata": {"name": name}, "spec": spec}
    stage.verbs.create(Target(APP_ROUTE, "default"), body, new_write("test"))


def steering(stage: Stage, node: str) -> dict[str, Object]:
    """What a node is told, by the route's name."""
    found = next(one for one in stage.all(STEERING) if one["metadata"]["name"] == node)
    return {one["name"].removeprefix("default/"): one for one in found["spec"].get("routes", [])}


def weights(stage: Stage, node: str, name: str = "web") -> dict[str, tuple[int, bool]]:
    """Weight and backup of each target, by its node."""
    at = {one["metadata"]["name"]: one["spec"]["nodeName"] for one in stage.pods()}
    targets = steering(stage, node)[name].get("targets", [])
    return {at[one["name"]]: (one["weight"], one.get("backup", False)) for one in targets}


def served(folder: Path, **spec: Any) -> Stage:
    """An app at ``a`` and ``b``, which users reach from ``a``, ``b`` and ``c``."""
    stage = Stage(folder, "a", "b", "c")
    stage.around.ms = {("a", "b"): 40.0, ("b", "a"): 40.0, ("c", "a"): 20.0, ("c", "b"): 21.0}
    stage.apply("qc", replicas={"min": 2}, ports=PORTS)
    route(stage, "web", app="qc", **spec)
    stage.run(4)
    return stage


def test_every_node_is_told_the_same_address_and_its_own_weights(tmp_path: Path) -> None:
    stage = served(tmp_path)
    told = [steering(stage, node)["web"] for node in "abc"]
    assert {(one["host"], one["address"], one["port"]) for one in told} == {
        ("web.default.mesh", "100.127.0.1", 80)
    }
    assert weights(stage, "a") == {"a": (256, False), "b": (256, True)}
    assert weights(stage, "b") == {"a": (256, True), "b": (256, False)}
    near, about_as_near = weights(stage, "c")["a"], weights(stage, "c")["b"]
    assert near == (256, False) and 180 < about_as_near[0] < 240
    targets = told[0]["targets"]
    assert {one["address"] for one in targets} == {"100.64.0.1", "100.64.0.2"}
    assert all(20_000 <= one["port"] < 30_000 for one in targets)
    status = stage.all(APP_ROUTE)[0]["status"]
    assert (status["address"], status["host"], status["instances"]) == ("100.127.0.1", "web.default.mesh", 2)


def test_weights_follow_the_way_and_small_changes_are_not_told(tmp_path: Path) -> None:
    stage = served(tmp_path)
    version = stage.store.version()
    stage.around.ms["c", "b"] = 21.3
    stage.run(2)
    assert stage.store.version() == version
    stage.around.ms["c", "a"] = 90.0
    stage.run(2)
    assert weights(stage, "c") == {"a": (256, True), "b": (256, False)}


def test_an_instance_that_is_not_ready_gets_nothing_new(tmp_path: Path) -> None:
    stage = served(tmp_path)
    stage.say(stage.pods()[0]["metadata"]["name"], ready=False)
    stage.run(2)
    assert sorted(weights(stage, "c").values()) == [(0, False), (256, False)]


def test_an_instance_that_is_to_go_gets_nothing_new_before_it_is_asked_to(tmp_path: Path) -> None:
    stage = served(tmp_path)
    stage.drain_s = 10.0
    stage.begin()
    stage.apply("qc", replicas={"min": 1}, ports=PORTS)
    stage.run(3)
    assert stage.nodes() == ["a", "b"] and weights(stage, "c")["b"] == (0, False)
    stage.run(10)
    assert stage.nodes() == ["a"] and weights(stage, "c") == {"a": (256, False)}


def test_a_canary_gets_its_part_however_far_it_is(tmp_path: Path) -> None:
    stage = served(tmp_path)
    update = {"strategy": "canary", "canary": {"steps": [20], "analysisSeconds": 600}}
    stage.apply("qc", source={"image": "qc:v2"}, replicas={"min": 2}, ports=PORTS, update=update)
    stage.run(3)
    canary = stage.app("qc")["status"]["revision"]
    targets = steering(stage, "c")["web"]["targets"]
    parts = {
        new: sum(t["weight"] for t in targets if (t["revision"] == canary) == new) for new in (True, False)
    }
    assert 0.18 < parts[True] / (parts[True] + parts[False]) < 0.22


def test_the_cloud_is_the_backup_where_it_is_asked_to_be(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "a", "b")
    stage.around.in_cloud = {"b"}
    stage.apply("qc", replicas={"min": 2}, ports=PORTS)
    route(stage, "web", app="qc", cloudBackup=True)
    stage.run(4)
    assert weights(stage, "b") == {"a": (256, False), "b": (256, True)}


def test_an_app_that_sleeps_is_started_by_a_request_and_stopped_when_there_are_none(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path, "a")
    stage.apply("qc", replicas={"min": 0}, ports=PORTS)
    route(stage, "web", app="qc")
    stage.run(3)
    assert stage.pods() == [] and steering(stage, "a")["web"]["wakes"] is True
    assert stage.condition("qc", "Placed") == ("True", "ScaledToZero")
    stage.loops.told("a", Wanted("default/web"))
    stage.run(3)
    assert stage.nodes() == ["a"] and weights(stage, "a") == {"a": (256, False)}
    stage.wait(320)
    assert stage.pods() == []


def test_a_route_for_some_users_is_told_only_where_they_enter(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "a", "b")
    group = {"metadata": {"name": "ours"}, "spec": {"ingress": [{"node": "a"}]}}
    stage.verbs.create(Target(USER_GROUP, "default"), group, new_write("test"))
    stage.apply("qc", ports=PORTS)
    route(stage, "web", app="qc", users=["ours"])
    route(stage, "open", app="qc")
    stage.run(4)
    assert sorted(steering(stage, "a")) == ["open", "web"] and sorted(steering(stage, "b")) == ["open"]


def test_a_name_belongs_to_the_route_that_had_it_first(tmp_path: Path) -> None:
    stage = served(tmp_path)
    route(stage, "again", app="qc", host="web.default.mesh")
    stage.run(2)
    statuses = {one["metadata"]["name"]: one["status"] for one in stage.all(APP_ROUTE)}
    (accepted,) = [one for one in statuses["again"]["conditions"] if one["type"] == "Accepted"]
    assert accepted["reason"] == "NameTaken"
    assert accepted["message"] == "web.default.mesh:80 is that of default/web"
    assert "address" not in statuses["again"] and sorted(steering(stage, "a")) == ["web"]


def test_a_node_that_leaves_the_mesh_is_told_nothing(tmp_path: Path) -> None:
    stage = served(tmp_path)
    stage.around.nodes = ["a", "b"]
    stage.run(2)
    assert sorted(one["metadata"]["name"] for one in stage.all(STEERING)) == ["a", "b"]


def test_an_instance_that_tells_that_it_is_full_gets_less(tmp_path: Path) -> None:
    stage = served(tmp_path)
    before = weights(stage, "c")["b"][0]
    (full,) = [pod["metadata"]["uid"] for pod in stage.pods() if pod["spec"]["nodeName"] == "a"]
    for _ in range(5):
        stage.loops.told("a", Full({full: 1.0}))
    stage.run(2)
    assert weights(stage, "c")["b"] == (256, False) and before < 240
    assert 80 < weights(stage, "c")["a"][0] < 150
