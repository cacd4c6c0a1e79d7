"""Pods as kubectl shows them, and what of a pod can be changed."""

from typing import Any

import msgspec
import pytest

from controller.orchestration.objects.lifecycle import Write, create, deleted, update
from controller.orchestration.objects.pod import POD
from controller.orchestration.objects.problems import Problem
from controller.orchestration.objects.selectors import parse
from controller.orchestration.objects.tables import row
from overlayd.protocol.pod import Pod

NOW = 1767225600.0  # 2026-01-01T00:00:00Z
MADE = "2025-12-31T23:50:00Z"
SPEC = {
    "nodeName": "paris",
    "containers": [{"name": "main", "image": "qc:v3"}, {"name": "side", "command": ["x"]}],
}
RUNNING = {"running": {"startedAt": MADE}}
DONE = {"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}
AGAIN = {
    "restartCount": 2,
    "state": RUNNING,
    "lastState": {"terminated": {"finishedAt": "2025-12-31T23:55:00Z"}},
}


def pod(statuses: list[dict[str, Any]] | None = None, **status: Any) -> dict[str, Any]:
    sent = {"metadata": {"name": "qc-1-abc", "finalizers": ["overlayd.io/workload"]}, "spec": SPEC}
    body = create(POD, sent, "shop", Write("test", MADE, "u", b"12345", "Strict"))
    body["metadata"]["resourceVersion"] = "5"
    return {**body, "status": {**body["status"], **status, "containerStatuses": statuses or []}}


def cells(value: dict[str, Any]) -> list[Any]:
    return row(POD, value, NOW, "None")["cells"]


def test_a_pod_begins_pending_and_is_read_by_its_node() -> None:
    made = pod()
    assert cells(made) == ["qc-1-abc", "0/2", "Pending", "0", "10m", "<none>", "paris", "<none>", "<none>"]
    read = msgspec.convert(made, Pod)
    assert read.spec.node_name == "paris" and read.spec.termination_grace_period_seconds == 30


@pytest.mark.parametrize(
    ("statuses", "status", "shown"),
    [
        ([{"ready": True, "state": RUNNING}, {"state": RUNNING}], {"phase": "Running"}, [
            "1/2", "Running", "0"]),
        ([{"state": {"waiting": {"reason": "ImagePullBackOff"}}}], {}, ["0/2", "ImagePullBackOff", "0"]),
        ([{"state": {"terminated": {"exitCode": 3}}}], {"phase": "Failed"}, ["0/2", "ExitCode:3", "0"]),
        ([{"state": {"terminated": {"exitCode": 137, "signal": 9}}}], {}, ["0/2", "Signal:9", "0"]),
        (
            [DONE, {"ready": True, "state": RUNNING}],
            {"phase": "Running"},
            ["1/2", "NotReady", "0"],
        ),
        (
            [DONE, {"ready": True, "state": RUNNING}],
            {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
            ["1/2", "Running", "0"],
        ),
        ([], {"phase": "Failed", "reason": "Evicted"}, ["0/2", "Evicted", "0"]),
        (
            [{"restartCount": 2, "state": RUNNING, "lastState": {"terminated": {"finishedAt":
                "2025-12-31T23:55:00Z"}}}],
            {"phase": "Running"},
            ["0/2", "Running", "2 (5m ago)"],
        ),
    ],
)  # fmt: skip
def test_a_pod_is_told_in_kubernetes_words(
    statuses: list[dict[str, Any]], status: dict[str, Any], shown: list[str]
) -> None:
    assert cells(pod(statuses, **status))[1:4] == shown


def test_a_pod_that_goes_is_told_so() -> None:
    going = deleted(POD, pod(phase="Running"), Write("test", MADE, "u", b""))
    assert going is not None and cells(going)[2] == "Terminating"
    lost = {**going, "status": {"phase": "Running", "reason": "NodeLost"}}
    assert cells(lost)[2] == "Unknown"


def test_a_deletion_gives_a_pod_its_own_time_or_what_it_says_and_later_only_less() -> None:
    first = deleted(POD, pod(), Write("test", MADE, "u", b""))
    assert first is not None and first["metadata"]["deletionGracePeriodSeconds"] == 30
    hurried = deleted(POD, first, Write("test", "2026-01-01T00:00:00Z", "u", b"", grace_s=0))
    assert hurried is not None and hurried["metadata"]["deletionGracePeriodSeconds"] == 0
    assert hurried["metadata"]["deletionTimestamp"] == MADE
    assert deleted(POD, hurried, Write("test", MADE, "u", b"", grace_s=60)) is hurried


def test_what_a_pod_runs_cannot_be_changed() -> None:
    live = pod()
    other = {**live, "spec": {**SPEC, "nodeName": "tokyo"}}
    with pytest.raises(Problem) as problem:
        update(POD, live, other, Write("test", MADE, "u", b""))
    assert problem.value.code == 422 and "may not change fields of spec" in problem.value.message


def test_pods_are_selected_by_node_phase_and_name() -> None:
    made = pod()
    for fields, taken in (
        ("spec.nodeName=paris", True),
        ("spec.nodeName=tokyo", False),
        ("status.phase=Pending,metadata.name=qc-1-abc", True),
        ("status.phase!=Pending", False),
    ):
        assert parse(POD, "", fields).takes(made) is taken
