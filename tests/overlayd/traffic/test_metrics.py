"""What Prometheus is told of routes is what users met, and stands in the documentation."""

import asyncio
from pathlib import Path

from overlayd.protocol.steering import Target
from overlayd.traffic import metrics
from overlayd.traffic.counters import Counts
from overlayd.traffic.traffic import Traffic
from tests.overlayd.traffic.conftest import carried
from tests.overlayd.traffic.instances import instances
from tests.overlayd.traffic.test_streams import ask, route, steering, target
from tests.prometheus import pages

PATIENCE_S = 60.0


def values(traffic: Traffic) -> dict[tuple[str, str], float]:
    return {
        (sample.name, sample.labels.get("state", "")): sample.value
        for family in traffic.metrics()
        for sample in family.samples
    }


def test_the_documentation_names_each_metric_of_routes() -> None:
    documented = [(one.name, one.kind, one.labels) for one in pages.of_routes().values()]
    assert documented == [(one.name, one.kind, one.labels) for one in metrics.FAMILIES]


def test_no_more_series_are_told_than_are_documented() -> None:
    routes = [route(target(9001)), route(target(9002), name="default/udp", protocol="UDP")]
    told = metrics.told(routes, {("default:app", ""): Counts(3)}, frozenset(), 0)
    documented = pages.of_routes()
    for family in told:
        (name,) = {sample.name for sample in family.samples}
        assert len(family.samples) <= documented[name].most({"A": 2})


def test_instances_are_told_by_what_users_get_of_them() -> None:
    targets = [
        Target(name="a", address="10.0.0.1", port=1),
        Target(name="b", address="10.0.0.2", port=1, backup=True),
        Target(name="c", address="10.0.0.3", port=1, weight=0),
        Target(name="d", address="10.0.0.4", port=1),
    ]
    told = metrics.told([route(*targets)], {}, {("default:app", "10.0.0.4:1")}, 0)
    (family,) = [one for one in told if one.name == "overlayd_approute_instances"]
    counted = {sample.labels["state"]: sample.value for sample in family.samples}
    assert counted == {"used": 1, "backup": 1, "draining": 1, "ejected": 1}


def test_requests_retries_and_who_is_left_out_are_told(runtime_dir: Path) -> None:
    async def scenario() -> None:
        async with carried(runtime_dir) as traffic:
            await traffic.apply(steering(route(target(9001), target(9002))))  # nobody listens at the second
            await ask(80, 20)
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    await traffic.demand()
                    found = values(traffic)
                    if found["overlayd_approute_instances", "ejected"]:
                        break
            assert found["overlayd_approute_requests_total", ""] == 20
            assert found["overlayd_approute_errors_total", ""] == 0
            assert found["overlayd_approute_ejections_total", ""] >= 1
            assert sum(value for (name, _), value in found.items() if name.endswith("_instances")) == 2
            assert found["overlayd_approute_sent_bytes_total", ""] > 0
            assert found["overlayd_traffic_problems", ""] == 0

    with instances(9001):
        asyncio.run(scenario())
