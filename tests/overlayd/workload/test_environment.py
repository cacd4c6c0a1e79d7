"""What a container is started with."""

import msgspec
import pytest

from overlayd.protocol.pod import Container
from overlayd.workload.environment import Mount, expanded, mounts, port_of, variables
from overlayd.workload.limits import Limits, limits_of
from tests.overlayd.workload.pods import pod


def container(**values: object) -> Container:
    return msgspec.convert({"name": "main", **values}, Container)


PORTS = [{"name": "web-ui", "containerPort": 80, "hostPort": 20001}, {"containerPort": 90, "hostPort": 20002}]


def test_a_process_listens_at_the_ports_of_the_host_and_a_container_at_its_own() -> None:
    process, image = container(ports=PORTS), container(ports=PORTS, image="a")
    assert [variables(pod(), one, "100.127.0.1")["PORT"] for one in (process, image)] == ["20001", "80"]
    assert variables(pod(), process, "")["PORT_WEB_UI"] == "20001"
    assert [port_of(process, named) for named in ("web-ui", 80, 90, 7000)] == [20001, 20001, 20002, 7000]
    assert port_of(image, "web-ui") == 80
    with pytest.raises(ValueError, match="no port 'nosuch'"):
        port_of(process, "nosuch")


def test_what_the_pod_says_goes_before_and_may_refer() -> None:
    said = variables(
        pod(),
        container(
            ports=PORTS,
            env=[{"name": "URL", "value": "http://$(POD_IP):$(PORT)"}, {"name": "PORT", "value": "1"}],
        ),
        "100.127.0.1",
    )
    assert (said["URL"], said["PORT"], said["POD_NAME"]) == ("http://100.127.0.1:20001", "1", "web")


def test_references_are_those_of_kubernetes() -> None:
    assert expanded("$(A)-$(B)-$$(A)-$A", {"A": "1"}) == "1-$(B)-$(A)-$A"


def test_mounts_stay_within_their_volume() -> None:
    at = {"name": "v", "mountPath": "/data", "readOnly": True, "subPath": "in"}
    assert mounts(container(volumeMounts=[at]), {"v": "/src"}) == [Mount("/src/in", "/data", True)]
    for wrong in ("../other", "/etc"):
        with pytest.raises(ValueError, match="leaves the volume"):
            mounts(container(volumeMounts=[{**at, "subPath": wrong}]), {"v": "/src"})
    with pytest.raises(ValueError, match="no volume 'v'"):
        mounts(container(volumeMounts=[at]), {})


def test_limits_are_those_of_the_resources() -> None:
    wanted = {"requests": {"cpu": "500m"}, "limits": {"cpu": "1500m", "memory": "64Mi"}}
    limits = limits_of(container(resources=wanted))
    assert limits == Limits(memory_bytes=64 << 20, cpu_milli=1500, shares=512)
    assert (limits.quota_us, Limits(shares=2).weight, Limits(shares=262144).weight) == (150_000, 1, 10_000)
    with pytest.raises(ValueError, match="quantity"):
        limits_of(container(resources={"limits": {"cpu": "much"}}))
