"""What depends on others goes with them: in the background, in the foreground, or not at all, as with
Kubernetes' garbage collector.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from controller.orchestration.nodes.presence import Presence
from controller.orchestration.objects.app import APP
from controller.orchestration.objects.core import EVENT, NAMESPACE
from controller.orchestration.objects.kinds import Kind
from controller.orchestration.objects.node import NODE
from controller.orchestration.objects.pod import POD
from controller.orchestration.objects.policy import POLICY
from controller.orchestration.objects.problems import Problem
from controller.orchestration.objects.schema import Object
from controller.orchestration.objects.usergroup import USER_GROUP
from controller.orchestration.serving.asking import Target
from controller.orchestration.serving.mirror import Mirror
from controller.orchestration.serving.verbs import MERGE, Verbs, new_write
from controller.orchestration.store.store import Key, Store
from controller.registry import Metadata, Node, NodeSpec
from overlayd.model.ids import NodeId
from tests.controller.orchestration.stage import Stage
from tests.kubernetes.trial import KINDS


class Objects:
    """Objects of one store; those of `USER_GROUP` unless another kind is named."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = Store(path)
        self.verbs = Verbs(KINDS, self.store)
        self.verbs.begin()

    def make(
        self, name: str, *owners: Object, kind: Kind = USER_GROUP, holds: str = "", space: str = "default"
    ) -> Object:
        meta: Object = {"name": name, "ownerReferences": list(owners)}
        if holds:
            meta["finalizers"] = [holds]
        spec: Object = {"objective": "cost"} if kind is POLICY else {}
        target = Target(kind, space if kind.namespaced else None)
        return self.verbs.create(target, {"metadata": meta, "spec": spec}, new_write("test"))

    def delete(self, name: str, policy: str = "", kind: Kind = USER_GROUP) -> Object:
        options = {"propagationPolicy": policy} if policy else {}
        target = Target(kind, "default" if kind.namespaced else None, name)
        return self.verbs.delete(target, options, new_write("test"))

    def patch(self, name: str, meta: Object) -> Object:
        target = Target(USER_GROUP, "default", name)
        return self.verbs.patch(target, MERGE, {"metadata": meta}, new_write("test"))

    def read(self, name: str) -> Object:
        return self.verbs.read(Target(USER_GROUP, "default", name))

    def names(self, kind: Kind = USER_GROUP) -> list[str]:
        listed = self.store.select(kind.resource).bodies
        return [msgspec.json.decode(body)["metadata"]["name"] for body in listed]

    def seen(self, since: int) -> list[str]:
        """What watchers are told after a version."""
        told: list[str] = []
        for change in self.store.changes(since):
            type = "DELETED" if change.gone else "ADDED" if change.before is None else "MODIFIED"
            told.append(f"{type} {msgspec.json.decode(change.body)['metadata']['name']}")
        return told


@pytest.fixture
def objects(tmp_path: Path) -> Iterator[Objects]:
    made = Objects(tmp_path / "objects.db")
    yield made
    made.store.close()


def of(owner: Object, *, block: bool = True, uid: str = "") -> Object:
    meta = owner["metadata"]
    reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": meta["name"]}
    return {**reference, "uid": uid or meta["uid"], "blockOwnerDeletion": block}


def marks(value: Object) -> list[str]:
    assert "deletionTimestamp" in value["metadata"]
    return value["metadata"].get("finalizers", [])


# In the background


def test_what_depends_on_an_object_goes_after_it_down_to_the_last(objects: Objects) -> None:
    top = objects.make("top")
    middle = objects.make("middle", of(top))
    objects.make("leaf", of(middle))
    objects.make("other")
    since = objects.store.version()
    assert objects.delete("top")["status"] == "Success"
    assert objects.names() == ["other"]
    assert objects.seen(since) == ["DELETED top", "DELETED middle", "DELETED leaf"]


def test_what_has_another_owner_stays_and_depends_on_that_alone(objects: Objects) -> None:
    one, two = objects.make("one"), objects.make("two")
    objects.make("shared", of(one), of(two))
    objects.delete("one")
    assert objects.read("shared")["metadata"]["ownerReferences"] == [of(two)]
    objects.delete("two")
    assert objects.names() == []


def test_what_depends_on_an_object_waits_for_the_finalizers_of_that(objects: Objects) -> None:
    owner = objects.make("owner", holds="test/wait")
    objects.make("leaf", of(owner))
    objects.delete("owner")
    assert objects.names() == ["leaf", "owner"]
    objects.patch("owner", {"finalizers": None})
    assert objects.names() == []


def test_what_finalizers_hold_is_marked_and_no_more(objects: Objects) -> None:
    owner = objects.make("owner")
    objects.make("leaf", of(owner), holds="test/wait")
    objects.delete("owner")
    assert objects.names() == ["leaf"] and marks(objects.read("leaf")) == ["test/wait"]


def test_an_owner_that_was_never_there_or_is_another_by_now_takes_what_names_it_along(
    objects: Objects,
) -> None:
    owner = objects.make("owner")
    since = objects.store.version()
    made = objects.make("leaf", of(owner, uid="11111111-1111-1111-1111-111111111111"))
    assert made["metadata"]["name"] == "leaf", "it was made"
    assert objects.seen(since) == ["ADDED leaf", "DELETED leaf"]
    objects.make("late")
    objects.patch("late", {"ownerReferences": [of({**owner, "metadata": {"name": "none", "uid": "x"}})]})
    assert objects.names() == ["owner"]


def test_an_owner_of_a_kind_that_is_not_known_here_is_let_be(objects: Objects) -> None:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": "1"}
    objects.make("leaf", reference)
    assert objects.names() == ["leaf"]


def test_an_owner_without_a_namespace_has_dependents_in_any_and_none_the_other_way(
    objects: Objects,
) -> None:
    policy = objects.make("p", kind=POLICY)
    leaf = objects.make("leaf", of(policy))
    objects.make("q", of(leaf), kind=POLICY)
    objects.delete("p", kind=POLICY)
    assert objects.names() == [] and objects.names(POLICY) == ["q"]


def test_an_owner_in_another_namespace_is_none(objects: Objects) -> None:
    objects.verbs.create(Target(NAMESPACE, None), {"metadata": {"name": "shop"}}, new_write("test"))
    owner = objects.make("owner")
    objects.make("leaf", of(owner), space="shop")
    assert objects.names() == ["owner"]


# In the foreground


def test_in_the_foreground_an_owner_goes_last(objects: Objects) -> None:
    owner = objects.make("owner")
    middle = objects.make("middle", of(owner))
    objects.make("leaf", of(middle))
    since = objects.store.version()
    assert marks(objects.delete("owner", "Foreground")) == ["foregroundDeletion"]
    assert objects.names() == []
    told = ["MODIFIED owner", "MODIFIED middle", "DELETED leaf", "DELETED middle", "DELETED owner"]
    assert objects.seen(since) == told


def test_in_the_foreground_an_owner_waits_for_what_blocks_it_and_for_nothing_else(objects: Objects) -> None:
    owner = objects.make("owner")
    objects.make("blocks", of(owner), holds="test/wait")
    objects.make("lets", of(owner, block=False), holds="test/wait")
    objects.delete("owner", "Foreground")
    assert objects.names() == ["blocks", "lets", "owner"]
    objects.patch("blocks", {"finalizers": None})
    assert objects.names() == ["lets"]


def test_in_the_foreground_what_has_another_owner_lets_go_of_the_one(objects: Objects) -> None:
    one, two = objects.make("one"), objects.make("two")
    objects.make("shared", of(one), of(two))
    objects.delete("one", "Foreground")
    assert objects.names() == ["shared", "two"]


def test_owners_in_a_circle_go(objects: Objects) -> None:
    one = objects.make("one")
    two = objects.make("two", of(one))
    objects.patch("one", {"ownerReferences": [of(two)]})
    objects.delete("one", "Foreground")
    assert objects.names() == []


def test_a_long_chain_goes(objects: Objects) -> None:
    owner = objects.make("n0")
    for number in range(1, 400):
        owner = objects.make(f"n{number}", of(owner))
    objects.delete("n0", "Foreground")
    assert objects.names() == []


# Not at all


def test_orphans_stay_and_depend_on_nobody(objects: Objects) -> None:
    owner = objects.make("owner")
    objects.make("leaf", of(owner))
    since = objects.store.version()
    assert marks(objects.delete("owner", "Orphan")) == ["orphan"]
    assert objects.names() == ["leaf"]
    assert "ownerReferences" not in objects.read("leaf")["metadata"]
    assert objects.seen(since) == ["MODIFIED owner", "MODIFIED leaf", "DELETED owner"]


def test_what_finalizers_say_holds_where_a_deletion_says_nothing(objects: Objects) -> None:
    owner = objects.make("owner", holds="orphan")
    objects.make("leaf", of(owner))
    objects.delete("owner")
    assert objects.names() == ["leaf"]


def test_what_a_deletion_says_goes_before_finalizers(objects: Objects) -> None:
    owner = objects.make("owner", holds="orphan")
    objects.make("leaf", of(owner))
    objects.delete("owner", "Background")
    assert objects.names() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"propagationPolicy": "Soon"},
            'propagationPolicy: Unsupported value: "Soon": supported values: "Foreground", "Background", '
            '"Orphan", "nil"',
        ),
        (
            {"propagationPolicy": "Orphan", "orphanDependents": True},
            "propagationPolicy: Invalid value: orphanDependents and deletionPropagation cannot be both set",
        ),
    ],
)
def test_a_propagation_that_there_is_not_is_told(
    objects: Objects, options: dict[str, Any], message: str
) -> None:
    objects.make("one")
    with pytest.raises(Problem) as told:
        objects.verbs.delete(Target(USER_GROUP, "default", "one"), options, new_write("test"))
    assert told.value.code == 422 and message in told.value.message
    assert objects.names() == ["one"]


def test_a_dry_run_deletes_nothing(objects: Objects) -> None:
    owner = objects.make("owner")
    objects.make("leaf", of(owner))
    target = Target(USER_GROUP, "default", "owner")
    for policy in ("Background", "Foreground", "Orphan"):
        objects.verbs.delete(target, {"propagationPolicy": policy}, new_write("test"), dry_run=True)
    assert objects.names() == ["leaf", "owner"]


def test_who_owns_whom_is_known_after_a_restart_and_of_an_older_database(tmp_path: Path) -> None:
    path = tmp_path / "objects.db"
    objects = Objects(path)
    objects.make("leaf", of(objects.make("owner")))
    objects.store.close()
    older = sqlite3.connect(path)
    older.executescript("DROP TABLE owned; PRAGMA user_version = 1;")
    older.close()
    again = Objects(path)
    again.delete("owner")
    assert again.names() == []
    again.store.close()


def test_what_an_older_program_left_behind_is_collected_at_the_start(objects: Objects) -> None:
    owner = objects.make("owner")
    objects.make("leaf", of(owner))
    objects.make("other", of(objects.make("lasting")))
    key = Key(USER_GROUP.resource, "default", "owner")
    objects.store.write(key, lambda _: None, 0)
    assert objects.names() == ["lasting", "leaf", "other"]
    objects.verbs.begin()
    assert objects.names() == ["lasting", "other"]


# What the controller shows


def member(name: str, uid: str) -> Node:
    spec = NodeSpec(NodeId(1), "", (), relay=False)
    return Node(Metadata(name, uid, "2026-01-01T00:00:00Z"), spec)


def test_what_depends_on_a_node_goes_when_it_leaves_the_mesh(objects: Objects) -> None:
    mirror = Mirror(objects.verbs, Presence(), {})
    mirror.reflect([member("paris", "1"), member("tokyo", "2")], 0)
    paris, tokyo = (objects.verbs.read(Target(NODE, None, name)) for name in ("paris", "tokyo"))
    objects.make("middle", of(paris))
    objects.make("shared", of(paris), of(tokyo))
    objects.make("held", of(paris), holds="test/wait")
    mirror.reflect([member("paris", "1"), member("tokyo", "2")], 0)
    assert objects.names() == ["held", "middle", "shared"]
    since = objects.store.version()
    mirror.reflect([member("tokyo", "2")], 0)
    seen = objects.seen(since)
    assert seen[0] == "DELETED paris"
    assert sorted(seen[1:]) == ["DELETED middle", "MODIFIED held", "MODIFIED shared"]
    assert objects.read("shared")["metadata"]["ownerReferences"] == [of(tokyo)]
    assert marks(objects.read("held")) == ["test/wait"]


def test_another_host_of_a_nodes_name_owns_nothing_of_the_first(objects: Objects) -> None:
    mirror = Mirror(objects.verbs, Presence(), {})
    mirror.reflect([member("paris", "1")], 0)
    objects.make("leaf", of(objects.verbs.read(Target(NODE, None, "paris"))))
    mirror.reflect([member("paris", "2")], 0)
    assert objects.names() == []
    assert objects.verbs.read(Target(NODE, None, "paris"))["metadata"]["uid"] == "2"


def test_what_depends_on_an_event_goes_with_its_hour(objects: Objects) -> None:
    about = {"kind": "UserGroup", "namespace": "default", "name": "x"}
    body: Object = {"metadata": {"name": "said"}, "involvedObject": about, "reason": "Said"}
    event = objects.verbs.create(Target(EVENT, "default"), body, new_write("test"))
    objects.make("leaf", of(event))
    objects.verbs.forget_events()
    assert objects.names() == ["leaf"] and objects.names(EVENT) == ["said"]
    with sqlite3.connect(objects.path) as database:
        database.execute("UPDATE changes SET at = at - 3601")
    objects.verbs.forget_events()
    assert objects.names() == [] and objects.names(EVENT) == []


# An app and its pods


def test_an_app_that_is_deleted_in_the_foreground_goes_after_its_pods(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "paris")
    stage.apply("qc")
    stage.run(3)
    target = Target(APP, "default", "qc")
    stage.verbs.delete(target, {"propagationPolicy": "Foreground"}, new_write("test"))
    (pod,) = stage.pods()
    assert "deletionTimestamp" in pod["metadata"], "its node is to end it"
    assert "foregroundDeletion" in stage.app("qc")["metadata"]["finalizers"]
    stage.run(3)
    assert stage.all(APP) == [] and stage.all(POD) == []


def test_pods_that_an_app_left_behind_go_on_and_are_taken_by_the_next_of_its_name(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "paris")
    stage.apply("qc")
    stage.run(3)
    (before,) = stage.pods()
    target = Target(APP, "default", "qc")
    stage.verbs.delete(target, {"propagationPolicy": "Orphan"}, new_write("test"))
    stage.run(3)
    assert stage.all(APP) == []
    (left,) = stage.pods()
    assert "deletionTimestamp" not in left["metadata"] and "ownerReferences" not in left["metadata"]
    stage.apply("qc")
    stage.run(3)
    (after,) = stage.pods()
    assert after["metadata"]["uid"] == before["metadata"]["uid"], "nothing was started anew"
    assert after["metadata"]["ownerReferences"][0]["uid"] == stage.app("qc")["metadata"]["uid"]
