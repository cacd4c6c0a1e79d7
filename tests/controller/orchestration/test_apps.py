"""Apps and routes: what may be said of them, what is told where it may not, and how it is read."""

from typing import Any

import pytest

from controller.orchestration.objects.app import APP
from controller.orchestration.objects.approute import APP_ROUTE
from controller.orchestration.objects.kinds import Kind
from controller.orchestration.objects.lifecycle import Write, create
from controller.orchestration.objects.problems import Problem
from controller.orchestration.objects.reading import AppSpec, Health, Port, RouteSpec, Unreadable, revision_of
from overlayd.model.quantity import Amounts

EXAMPLE: dict[str, Any] = {
    "source": {"image": "qc:v3"},
    "replicas": {"min": 1, "max": 6, "spread": "node"},
    "resources": {"requests": {"cpu": "500m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}},
    "placement": {
        "policy": "latency-first",
        "near": {"users": "qingdao"},
        "fallback": "cloud",
        "network": {"latencyMs": 20, "jitterMs": 5, "mbps": 100, "satisfy": 0.95},
    },
    "autonomy": {"offline": "keep", "replaceAfter": "10m"},
}
SOURCE = {"source": {"image": "a"}}


def made(kind: Kind, spec: dict[str, Any]) -> dict[str, Any]:
    write = Write("test", "2026-01-01T00:00:00Z", "u", b"12345", "Strict")
    return create(kind, {"metadata": {"name": "qc"}, "spec": spec}, "shop", write)


def faults(kind: Kind, spec: dict[str, Any]) -> list[str]:
    with pytest.raises(Problem) as problem:
        made(kind, spec)
    assert problem.value.code == 422, problem.value
    return [f"{one['field']}: {one['message']}" for one in (problem.value.details or {})["causes"]]


def test_an_app_is_read_in_units() -> None:
    app = AppSpec.of(made(APP, EXAMPLE))
    (main,) = app.containers
    assert (app.key, app.least, app.most, app.spread, app.stop_s) == ("shop/qc", 1, 6, "node", 30.0)
    assert main.requests == app.requests == Amounts(cpu_milli=500, memory_bytes=256 << 20)
    assert main.limits == Amounts(memory_bytes=512 << 20)
    assert app.placement.users == "shop/qingdao" and app.placement.cloud
    assert app.placement.bounds.latency_ms == 20 and app.placement.bounds.loss is None
    assert app.autonomy.keep and not app.autonomy.singleton and app.autonomy.replace_after_s == 600.0


def test_what_is_left_out_has_the_defaults_that_explain_tells() -> None:
    app = AppSpec.of(made(APP, SOURCE))
    assert (app.least, app.most, app.placement.policy, app.placement.bounds.satisfy) == (
        1,
        1,
        "latency-first",
        0.95,
    )
    assert (app.update.max_surge, app.update.steps, app.paused) == (1, (0.1, 0.5), False)
    sleeping = AppSpec.of(made(APP, SOURCE | {"replicas": {"min": 0}}))
    assert (sleeping.least, sleeping.most) == (0, 1)


def test_containers_share_what_is_said_of_the_app() -> None:
    spec = {
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
        "containers": [
            {"name": "web", "image": "w", "ports": [{"port": 80, "hostPort": 8080}], "health": {"http": {
                "path": "/up"}}},
            {"name": "job", "command": ["/bin/job"], "env": [{"name": "B", "value": "3"}],
             "resources": {"limits": {"cpu": 1, "mbps": 10.5, "devices": {"gpu": 1}}}},
        ],
        "secrets": [{"name": "db", "file": "/etc/db"}],
        "volumes": [{"name": "data", "mountPath": "/data", "sizeLimit": "1Gi"}],
    }  # fmt: skip
    app = AppSpec.of(made(APP, spec))
    web, job = app.containers
    assert web.ports == (Port("main", 80, "TCP", 8080),) and app.host_ports == (8080,)
    assert web.health == Health("http", path="/up")
    assert job.env == (("A", "1"), ("B", "3")) and job.image is None
    assert app.requests == Amounts(cpu_milli=1000, mbps=10.5, devices={"gpu": 1})
    assert app.secrets[0].mount_path == "/run/secrets/db" and app.volumes[0].size_bytes == 1 << 30


def test_a_revision_changes_with_what_runs_and_with_nothing_else() -> None:
    first = made(APP, EXAMPLE)["spec"]
    moved = made(
        APP, EXAMPLE | {"replicas": {"min": 3}, "placement": {"policy": "balanced"}, "paused": True}
    )["spec"]
    other = made(APP, EXAMPLE | {"source": {"image": "qc:v4"}})["spec"]
    assert revision_of(first) == revision_of(moved) != revision_of(other)


def test_an_app_that_must_not_run_twice_is_stopped_where_nobody_sees_it() -> None:
    app = AppSpec.of(made(APP, SOURCE | {"autonomy": {"secondCopy": False}}))
    assert app.autonomy.singleton and not app.autonomy.keep


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({}, "spec: Invalid value: needs exactly one of source and containers"),
        (
            SOURCE | {"containers": [{"name": "a", "image": "a"}]},
            "spec: Invalid value: needs exactly one of source and containers",
        ),
        ({"source": {"args": ["x"]}}, "spec.source: Invalid value: needs an image, or a command to run as "
            "a process"),
        (
            {"containers": [{"name": "a", "image": "a"}], "ports": [{"port": 1}]},
            "spec: Invalid value: with containers, ports, health and resources are said of each",
        ),
        (SOURCE | {"replicas": {"min": 3, "max": 2}}, "spec.replicas.max: Invalid value: must not be less "
            "than min"),
        (
            SOURCE | {"resources": {"requests": {"cpu": "5 00m"}}},
            'spec.resources.requests.cpu: Invalid value: "5 00m": must be a quantity, such as 2 or 500m',
        ),
        (
            SOURCE | {"resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "512Mi"}}},
            "spec.resources.limits.memory: Invalid value: must not be less than what is requested",
        ),
        (
            SOURCE | {"autonomy": {"replaceAfter": "ten minutes"}},
            'spec.autonomy.replaceAfter: Invalid value: "ten minutes": must be a time from 5s to 168h',
        ),
        (SOURCE | {"autonomy": {"replaceAfter": "1s"}}, "must be a time from 5s to 168h"),
        (
            SOURCE | {"autonomy": {"secondCopy": False, "replaceAfter": "40s"}},
            "spec.autonomy.replaceAfter: Invalid value: must be at least 45s for an app that must not run "
            "twice",
        ),
        (
            SOURCE | {"autonomy": {"secondCopy": False, "offline": "keep"}},
            "spec.autonomy.offline: Invalid value: an app that must not run twice cannot be kept",
        ),
        (
            SOURCE | {"autonomy": {"secondCopy": False}, "replicas": {"min": 1, "max": 2}},
            "spec.replicas: Invalid value: an app without a secondCopy has at most one replica",
        ),
        (
            SOURCE | {"placement": {"policy": "weighted"}},
            "spec.placement.weights: Invalid value: are needed with policy weighted, and with no other",
        ),
        (
            SOURCE | {"placement": {"policy": "weighted", "weights": {"cost": 0}}},
            "spec.placement.weights: Invalid value: at least one weight has to be above 0",
        ),
        (SOURCE | {"placement": {"network": {"latencyMs": 20}}}, "spec.placement.network: Invalid value: "
            "needs users"),
        (
            SOURCE | {"placement": {"near": {"users": "q"}, "network": {"satisfy": 1.5}}},
            "spec.placement.network.satisfy: Invalid value: 1.5: spec.placement.network.satisfy in body "
            "should be",
        ),
        (
            SOURCE | {"placement": {"regions": {"only": ["eu"], "avoid": ["eu"]}}},
            "spec.placement.regions.avoid: Invalid value: a region cannot be in both",
        ),
        (SOURCE | {"health": {"tcp": {}, "http": {}}}, "spec.health: Invalid value: needs exactly one of "
            "http, tcp"),
        (SOURCE | {"update": {"maxSurge": 0}}, "spec.update: Invalid value: maxUnavailable and maxSurge "
            "cannot both"),
        (SOURCE | {"update": {"canary": {}}}, "spec.update.canary: Invalid value: needs strategy canary"),
        (SOURCE | {"volumes": [{"name": "a", "mountPath": "data"}]}, "spec.volumes[0].mountPath: Invalid "
            "value"),
        (SOURCE | {"env": [{"name": "1A"}]}, 'spec.env[0].name: Invalid value: "1A": must be letters'),
        (SOURCE | {"ports": [{"port": 80}, {"port": 81}]}, 'spec.ports[1]: Duplicate value: {"name":"main"}'),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told_with_its_field(spec: dict[str, Any], said: str) -> None:
    told = faults(APP, spec)
    assert any(said in one for one in told), told


def test_a_route_is_read_with_its_name_in_the_zone() -> None:
    route = RouteSpec.of(made(APP_ROUTE, {"app": "qc", "outlier": {"eject": "1m"}}))
    assert (route.backends, route.host, route.port) == ((("qc", 1),), "qc.shop.mesh", 80)
    assert (route.eject_s, route.consecutive_errors, route.timeout_s) == (60.0, 5, 30.0)
    shared = RouteSpec.of(
        made(APP_ROUTE, {"backends": [{"app": "a", "weight": 3}, {"app": "b"}], "host": "x.mesh"})
    )
    assert (shared.backends, shared.host) == ((("a", 3), ("b", 1)), "x.mesh")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({}, "spec: Invalid value: needs exactly one of app and backends"),
        ({"backends": [{"app": "a", "weight": 0}]}, "spec.backends: Invalid value: at least one weight"),
        ({"app": "a", "host": "example.com"}, "must be a name that ends in .mesh"),
        ({"app": "a", "targetPort": 70000}, "spec.targetPort: Invalid value: 70000: must be a port from 1 "
            "to 65535"),
        ({"app": "a", "protocol": "UDP", "outlier": {}}, "spec.outlier: Invalid value: cannot be seen with "
            "UDP"),
    ],
)  # fmt: skip
def test_what_a_route_cannot_be_is_told_with_its_field(spec: dict[str, Any], said: str) -> None:
    told = faults(APP_ROUTE, spec)
    assert any(said in one for one in told), told


def test_an_object_of_another_shape_is_named() -> None:
    with pytest.raises(Unreadable, match="App 'qc' is not as it should be"):
        AppSpec.of({"kind": "App", "metadata": {"name": "qc", "namespace": "shop"}, "spec": {}})
