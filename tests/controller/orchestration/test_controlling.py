"""The control loops on real objects: apps come to run, are changed, move, lose their nodes, and end."""

from pathlib import Path

from controller.orchestration.objects.app import APP
from controller.orchestration.objects.pod import POD
from tests.controller.orchestration.stage import Stage


def test_an_app_comes_to_run_where_placement_says(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "paris", "tokyo")
    stage.apply("qc", replicas={"min": 2}, ports=[{"port": 8080}])
    stage.run(3)
    first, second = stage.pods()
    assert stage.nodes() == ["paris", "tokyo"]
    meta = first["metadata"]
    status = stage.app("qc")["status"]
    assert meta["name"].startswith(f"qc-{status['revision']}-")
    assert meta["labels"] == {"overlayd.io/app": "qc", "overlayd.io/revision": status["revision"]}
    assert meta["ownerReferences"][0]["uid"] == stage.app("qc")["metadata"]["uid"]
    assert meta["finalizers"] == ["overlayd.io/workload"]
    port = first["spec"]["containers"][0]["ports"][0]
    assert port["containerPort"] == 8080 and 20_000 <= port["hostPort"] <= 29_999
    assert (status["replicas"], status["readyReplicas"], status["updatedReplicas"]) == (2, 2, 2)
    assert status["observedGeneration"] == 1 and status["selector"] == "overlayd.io/app=qc"
    assert stage.condition("qc", "Available") == ("True", "EnoughServe")
    assert stage.condition("qc", "Placed") == ("True", "Placed")
    assert stage.condition("qc", "Progressing") == ("False", "Complete")
    assert second["metadata"]["annotations"]["overlayd.io/digest"]
    assert {reason for reason, _ in stage.events()} == {"Placed", "RolledOut"}


def test_nothing_is_written_where_nothing_happens(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "paris")
    stage.apply("qc")
    stage.run(3)
    version = stage.store.version()
    stage.run(30)
    assert stage.store.version() == version


def test_another_life_of_the_controller_changes_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "paris")
    stage.apply("qc")
    stage.run(3)
    version = stage.store.version()
    stage.begin()
    stage.run(30)
    assert stage.store.version() == version


def test_an_app_that_is_deleted_goes_after_its_pods(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "paris")
    stage.apply("qc")
    stage.run(3)
    stage.delete(APP, "qc")
    stage.run(1, kubelets=False)
    assert "deletionTimestamp" in stage.pods()[0]["metadata"] and stage.all(APP)
    stage.run(2)
    assert stage.all(POD) == [] and stage.all(APP) == []


def test_more_and_fewer_replicas_come_and_go(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "a", "b", "c")
    stage.apply("qc")
    stage.run(3)
    stage.apply("qc", replicas={"min": 3, "max": 3})
    stage.run(3)
    assert stage.nodes() == ["a", "b", "c"]
    stage.apply("qc", replicas={"min": 1, "max": 1})
    stage.run(3)
    assert stage.nodes() == ["a"]


def test_a_change_of_the_template_replaces_pods_one_after_another(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "a", "b")
    stage.apply("qc", replicas={"min": 2})
    stage.run(3)
    old = stage.app("qc")["status"]["revision"]
    stage.apply("qc", source={"image": "qc:v2"}, replicas={"min": 2})
    stage.run(1, kubelets=False)
    new = stage.app("qc")["status"]["revision"]
    assert new != old
    assert len(stage.pods(revision=new)) == 1, "one more than wanted, and it is not ready yet"
    assert len(stage.pods(revision=old)) == 2, "all old ones serve until it is"
    stage.run(6)
    assert [len(stage.pods(revision=one)) for one in (old, new)] == [0, 2]
    history = stage.app("qc")["status"]["history"]
    assert [(one["revision"], one["number"], one["image"]) for one in history] == [
        (new, 2, "qc:v2"), (old, 1, "qc:v1"),
    ]  # fmt: skip


def test_a_new_version_that_is_not_well_replaces_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "a")
    stage.apply("qc")
    stage.run(3)
    (old,) = stage.pods()
    stage.apply("qc", source={"image": "qc:bad"})
    stage.run(30, kubelets=False)
    assert len(stage.pods()) == 2 and old["metadata"]["name"] in {
        one["metadata"]["name"] for one in stage.pods()
    }
    assert stage.condition("qc", "Available")[0] == "True"


def test_an_app_goes_back_to_a_revision_of_its_history(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "a")
    stage.apply("qc", env=[{"name": "X", "value": "1"}])
    stage.run(3)
    stage.apply("qc", source={"image": "qc:v2"}, env=None)
    stage.run(6)
    stage.patch(APP, "qc", {"metadata": {"annotations": {"overlayd.io/rollback-to": "1"}}})
    stage.run(6)
    app = stage.app("qc")
    assert app["spec"]["source"] == {"image": "qc:v1"} and app["spec"]["env"] == [{"name": "X", "value": "1"}]
    assert "annotations" not in app["metadata"]
    assert [one["number"] for one in app["status"]["history"]] == [3, 2]
    (pod,) = stage.pods()
    assert pod["spec"]["containers"][0]["image"] == "qc:v1"


def test_a_worse_place_is_left_when_the_new_one_serves(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "a", "b")
    stage.apply("qc")
    stage.run(3)
    stage.around.order = ["b", "a"]
    stage.run(6, kubelets=False)
    assert stage.nodes() == ["a", "b"]
    stage.run(3)
    assert stage.nodes() == ["b"]
    assert ("Moved", "from a to b: 10 ms are expected there, 10 ms here") in stage.events()


def test_what_is_paused_stays_as_and_where_it_is(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "a", "b")
    stage.apply("qc")
    stage.run(3)
    names = {one["metadata"]["name"] for one in stage.pods()}
    stage.apply("qc", source={"image": "qc:v2"}, paused=True)
    stage.around.order = ["b", "a"]
    stage.run(10)
    assert {one["metadata"]["name"] for one in stage.pods()} == names
    assert stage.condition("qc", "Progressing") == ("False", "Paused")
    stage.apply("qc", source={"image": "qc:v2"}, paused=False)
    stage.run(10)
    assert stage.nodes() == ["b"] and {one["metadata"]["name"] for one in stage.pods()} != names
