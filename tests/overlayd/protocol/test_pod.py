"""A pod is read from what the API answers, and its status is written as Kubernetes names it."""

import msgspec

from overlayd.model.quantity import Amounts
from overlayd.protocol.pod import (
    Condition,
    Container,
    ContainerState,
    ContainerStatus,
    Env,
    Pod,
    PodSpec,
    PodStatus,
    Resources,
    Running,
    digest_of,
)

ANSWER = b"""{"apiVersion": "v1", "kind": "Pod",
 "metadata": {"name": "qc-1-abc", "namespace": "shop", "uid": "u", "resourceVersion": "7",
  "labels": {"overlayd.io/app": "qc"},
  "deletionTimestamp": "2026-01-01T00:00:00Z", "managedFields": [{"manager": "overlayd"}]},
 "spec": {"nodeName": "paris", "containers": [{"name": "main", "image": "qc:v3",
   "env": [{"name": "A", "value": "1"}],
   "ports": [{"containerPort": 80, "hostPort": 20001, "name": "web"}],
   "resources": {"requests": {"cpu": "500m"}, "limits": {"cpu": 1, "memory": "512Mi"}},
   "readinessProbe": {"httpGet": {"port": "web"}, "periodSeconds": 2}}], "dnsPolicy": "unknown here"},
 "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}"""


def test_an_answer_is_read_and_what_is_not_ours_is_passed_over() -> None:
    pod = msgspec.json.decode(ANSWER, type=Pod)
    (container,) = pod.spec.containers
    assert pod.ready() and pod.deleting()
    assert (pod.spec.node_name, container.ports[0].host_port, container.env) == (
        "paris",
        20001,
        (Env(name="A", value="1"),),
    )
    assert container.readiness_probe is not None and container.readiness_probe.http_get is not None
    assert container.readiness_probe.http_get.port == "web"


def test_what_only_has_a_limit_requests_as_much() -> None:
    pod = msgspec.json.decode(ANSWER, type=Pod)
    assert pod.requested() == Amounts(cpu_milli=500, memory_bytes=512 * 1024**2)


def test_a_status_is_written_in_the_names_of_kubernetes() -> None:
    running = ContainerState(running=Running(started_at="2026-01-01T00:00:00Z"))
    status = PodStatus(
        phase="Running", pod_ip="100.127.1.1", host_ip="100.127.1.1",
        conditions=(Condition(type="Ready", status="False", reason="ContainersNotReady"),),
        container_statuses=(ContainerStatus(name="main", image="qc:v3", image_id="sha256:1", state=running),),
    )  # fmt: skip
    assert msgspec.to_builtins(status) == {
        "phase": "Running",
        "podIP": "100.127.1.1",
        "hostIP": "100.127.1.1",
        "conditions": ({"type": "Ready", "status": "False", "reason": "ContainersNotReady"},),
        "containerStatuses": (
            {
                "name": "main", "ready": False, "restartCount": 0, "started": False,
                "image": "qc:v3", "imageID": "sha256:1", "containerID": "",
                "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}, "lastState": {},
            },
        ),
    }  # fmt: skip


def test_the_digest_changes_with_what_runs_and_with_nothing_else() -> None:
    def spec(**more: object) -> PodSpec:
        return msgspec.convert({"containers": [{"name": "main", "image": "a"}], **more}, PodSpec)

    assert (
        digest_of(spec())
        == digest_of(spec(nodeName="paris"))
        == digest_of(spec(terminationGracePeriodSeconds=5))
    )
    other = PodSpec(containers=(Container(name="main", image="a", resources=Resources(limits={"cpu": 1})),))
    assert len({digest_of(spec()), digest_of(spec(hostNetwork=True)), digest_of(other)}) == 3
