"""Nodes that nobody sees: who goes on, who is replaced, and what becomes of it when they are seen again."""

from pathlib import Path

import pytest

from controller.orchestration.objects.app import APP
from controller.orchestration.objects.pod import POD
from controller.orchestration.serving.asking import Target
from controller.orchestration.serving.verbs import new_write
from overlayd.model.lease import LEASE_S, longest_lease_s, wait_s
from overlayd.protocol.pod import FINALIZER
from tests.controller.orchestration.stage import Stage


def lost(folder: Path, **autonomy: object) -> Stage:
    """An app runs on ``a``, which nobody sees any more."""
    stage = Stage(folder, "a", "b")
    stage.apply("qc", autonomy={"replaceAfter": "60s", **autonomy})
    stage.run(3)
    assert stage.nodes() == ["a"]
    stage.silent.add("a")
    return stage


def test_another_is_started_after_a_while_and_the_first_is_kept(tmp_path: Path) -> None:
    stage = lost(tmp_path)
    stage.run(55)
    assert stage.nodes() == ["a"]
    stage.run(10)
    assert stage.nodes() == ["a", "b"]
    assert ("Moved", "from a to b: nobody sees a any more") in stage.events()
    assert stage.app("qc")["status"]["readyReplicas"] == 1


def test_when_the_node_is_seen_again_one_of_both_goes_and_the_other_is_not_restarted(tmp_path: Path) -> None:
    stage = lost(tmp_path)
    stage.run(70)
    stage.silent.clear()
    stage.around.order = ["b", "a"]
    stage.run(5)
    assert stage.nodes() == ["b"]


def test_a_node_that_comes_back_in_time_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    stage = lost(tmp_path)
    before = stage.pods()[0]["metadata"]["name"]
    stage.run(50)
    stage.silent.clear()
    stage.run(100)
    assert [pod["metadata"]["name"] for pod in stage.pods()] == [before]


def test_a_node_that_others_of_the_mesh_hear_is_alive(tmp_path: Path) -> None:
    stage = lost(tmp_path)
    stage.around.mesh.add("a")
    stage.run(200)
    assert stage.nodes() == ["a"] and stage.app("qc")["status"]["readyReplicas"] == 1


def test_a_singleton_is_started_elsewhere_only_when_the_first_has_ended(tmp_path: Path) -> None:
    stage = lost(tmp_path, secondCopy=False)
    (pod,) = stage.pods()
    assert pod["metadata"]["annotations"]["overlayd.io/lease-seconds"] == str(longest_lease_s(60))
    assert stage.loops.leases.answer("a", stage.now_ns) == (pod["metadata"]["uid"],)
    stage.run(58)
    assert stage.nodes() == ["a"]
    stage.run(5)
    assert stage.nodes() == ["b"], "the first is given up, not kept"
    assert pod["metadata"]["uid"] not in stage.loops.leases.answer("a", stage.now_ns)


def test_a_singleton_is_not_begun_again_where_only_the_mesh_hears_the_node(tmp_path: Path) -> None:
    stage = lost(tmp_path, secondCopy=False)
    stage.around.mesh.add("a")
    made: set[str] = set()
    for _ in range(120):
        stage.run(1)
        made |= {pod["metadata"]["uid"] for pod in stage.pods()}
    assert len(made) == 2 and stage.nodes() == ["b"]


def test_a_lease_is_not_shorter_than_one_that_can_be_renewed(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "a", "b")
    stage.apply("qc", autonomy={"offline": "stop", "replaceAfter": "5s"})
    stage.run(3)
    assert stage.pods()[0]["metadata"]["annotations"]["overlayd.io/lease-seconds"] == str(LEASE_S)
    stage.silent.add("a")
    stage.run(wait_s(LEASE_S) - 2)
    assert stage.nodes() == ["a"]
    stage.run(5)
    assert stage.nodes() == ["b"]


def test_a_controller_that_begins_anew_waits_as_long_again(tmp_path: Path) -> None:
    stage = lost(tmp_path, secondCopy=False)
    stage.run(50)
    stage.begin()
    stage.run(55)
    assert stage.nodes() == ["a"]
    stage.run(10)
    assert stage.nodes() == ["b"]


def test_a_singleton_moves_by_going_before_it_comes(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "a", "b")
    stage.apply("qc", autonomy={"secondCopy": False})
    stage.run(3)
    stage.around.order = ["b", "a"]
    for _ in range(10):
        stage.run(1, kubelets=False)
        assert len(stage.pods()) <= 1
    stage.run(3)
    assert stage.nodes() == ["b"]


def test_a_node_that_is_removed_from_the_mesh_takes_its_pods_along(tmp_path: Path) -> None:
    stage = lost(tmp_path)
    stage.around.nodes = ["b"]
    stage.run(3)
    assert stage.nodes() == ["b"]


def test_an_app_is_deleted_though_a_node_of_it_is_gone_for_good(tmp_path: Path) -> None:
    stage = lost(tmp_path)
    stage.delete(APP, "qc")
    stage.run(100)
    assert stage.all(APP), "the node may come back, and has to stop it then"
    stage.around.nodes = ["b"]
    stage.run(3)
    assert stage.all(APP) == [] and stage.all(POD) == []


def test_pods_of_no_app_go_with_their_node_but_what_others_hold_them_for(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "a", "b")
    for name, *more in (("mine", "test/wait"), ("plain",), ("there",)):
        body = {
            "metadata": {"name": name, "finalizers": [FINALIZER, *more]},
            "spec": {"nodeName": "b" if name == "there" else "a", "containers": [{"name": "main"}]},
        }
        stage.verbs.create(Target(POD, "default"), body, new_write("test"))
    stage.silent.add("a")
    stage.run(500)
    assert len(stage.pods()) == 3, "the node may come back"
    stage.around.nodes = ["b"]
    stage.run(3)
    left = {one["metadata"]["name"]: one["metadata"]["finalizers"] for one in stage.pods()}
    assert left == {"mine": ["test/wait"], "there": [FINALIZER]}
    version = stage.store.version()
    stage.run(3)
    assert stage.store.version() == version, "nothing is written while nothing changes"


def test_a_port_that_another_has_is_said(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "a")
    stage.apply("one", ports=[{"port": 80, "hostPort": 80}])
    stage.apply("two", ports=[{"port": 80, "hostPort": 80}])
    stage.run(3)
    assert stage.condition("two", "Placed") == ("False", "PortTaken")
    stage.delete(APP, "one")
    stage.run(40)
    assert stage.condition("two", "Placed") == ("True", "Placed")


@pytest.mark.parametrize("surge", [0, 1])
def test_a_fixed_port_is_handed_over_on_the_same_node(tmp_path: Path, surge: int) -> None:
    stage = Stage(tmp_path, "a")
    update = {"maxSurge": surge, "maxUnavailable": 1 - surge}
    stage.apply("qc", ports=[{"port": 80, "hostPort": 80}], update=update)
    stage.run(3)
    stage.apply("qc", source={"image": "qc:v2"}, ports=[{"port": 80, "hostPort": 80}], update=update)
    stage.run(10)
    (pod,) = stage.pods()
    assert pod["spec"]["containers"][0]["image"] == "qc:v2"
