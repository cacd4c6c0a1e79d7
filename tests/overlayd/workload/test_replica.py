"""A copy of objects: a list, then changes; what is not understood does not go."""

import json

import msgspec
import pytest

from overlayd.protocol.pod import Pod
from overlayd.workload.replica import Expired, Replica


def pod(name: str, version: int, **spec: object) -> dict[str, object]:
    return {"metadata": {"name": name, "namespace": "default", "resourceVersion": str(version)},
            "spec": {"containers": [], **spec}}  # fmt: skip


def listed(version: int, *items: object) -> bytes:
    return json.dumps({"metadata": {"resourceVersion": str(version)}, "items": items}).encode()


def event(type_: str, value: object) -> bytes:
    return json.dumps({"type": type_, "object": value}).encode()


def names(replica: Replica[Pod]) -> list[str]:
    return [one.metadata.name for one in replica.objects()]


def test_a_list_and_what_changes_after_it_make_the_copy() -> None:
    replica = Replica(Pod)
    replica.listed(listed(3, pod("b", 2), pod("a", 1)))
    assert names(replica) == ["a", "b"] and replica.version == "3"
    assert replica.changed(event("ADDED", pod("c", 4)))
    assert replica.changed(event("MODIFIED", pod("a", 5, nodeName="paris")))
    assert replica.changed(event("DELETED", pod("b", 6)))
    assert names(replica) == ["a", "c"] and replica.version == "6"
    assert replica.objects()[0].spec.node_name == "paris"


def test_a_bookmark_moves_the_version_alone() -> None:
    replica = Replica(Pod)
    replica.listed(listed(3, pod("a", 1)))
    assert not replica.changed(event("BOOKMARK", {"metadata": {"resourceVersion": "9"}}))
    assert names(replica) == ["a"] and replica.version == "9"


def test_a_new_list_takes_the_place_of_the_old() -> None:
    replica = Replica(Pod)
    replica.listed(listed(3, pod("a", 1)))
    replica.listed(listed(9, pod("b", 8)))
    assert names(replica) == ["b"]


def test_what_is_not_understood_stays_as_it_was_understood_last() -> None:
    replica = Replica(Pod)
    replica.listed(listed(3, pod("a", 1, nodeName="paris")))
    replica.changed(event("MODIFIED", pod("a", 4, containers="of another time")))
    assert replica.objects()[0].spec.node_name == "paris" and ("default", "a") in replica.unread
    replica.listed(listed(5, pod("a", 4, containers="of another time"), pod("b", 5, containers=1)))
    assert names(replica) == ["a"] and len(replica.unread) == 2
    replica.changed(event("MODIFIED", pod("a", 6)))
    assert ("default", "a") not in replica.unread and replica.objects()[0].spec.node_name == ""
    replica.changed(event("DELETED", pod("b", 7)))
    assert replica.unread == {}


def test_a_watch_that_cannot_go_on_says_so() -> None:
    replica = Replica(Pod)
    replica.listed(listed(3))
    with pytest.raises(Expired, match="too old"):
        replica.changed(event("ERROR", {"code": 410, "message": "too old resource version"}))
    with pytest.raises(msgspec.DecodeError):
        replica.listed(b"no list")
    assert replica.version == "3"
