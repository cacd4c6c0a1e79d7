"""What Prometheus would read from a running controller, parsed again by Prometheus's own client."""

import asyncio
from collections import Counter
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from controller.api.metrics import FAMILIES
from overlayd.model.ids import ClassId, NodeId
from overlayd.protocol.controller import Switched
from tests.controller.client import agent, sample
from tests.controller.running import RunningController, controller
from tests.prometheus import pages

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def read(mesh: RunningController) -> Samples:
    bearer = {"Authorization": f"Bearer {mesh.state.admin_token}"}
    async with httpx.AsyncClient(base_url=mesh.api, headers=bearer, trust_env=False, timeout=60) as client:
        answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(answer.text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def of(found: Samples, name: str, **labels: str) -> float:
    return found.get((f"overlayd_controller_{name}", frozenset(labels.items())), 0.0)


def test_members_channels_links_and_routes_are_counted(tmp_path: Path) -> None:
    async def story() -> Samples:
        async with controller(tmp_path) as mesh:
            paris, rome = await mesh.join("paris"), await mesh.join("rome")
            direct, relayed = (rome.id,), (NodeId(9), rome.id)
            async with agent(mesh.url, paris) as one, agent(mesh.url, rome) as two:
                for end, peer in ((one, rome), (two, paris)):
                    await end.hello()
                    await end.report(sample(peer.id, 20.0))
                await one.say(Switched(rome.id, ClassId(0), direct, relayed, "engine", "the path died"))
                for _ in range(100):
                    found = await read(mesh)
                    if of(found, "routes") >= 2 and of(found, "route_changes_total", decider="engine"):
                        break
                    await asyncio.sleep(0.1)
                return found

    found = asyncio.run(story())
    assert of(found, "nodes") == 2
    assert of(found, "node_connected", node="rome") == 1
    assert of(found, "node_cert_expiry_timestamp_seconds", node="rome") > 1.7e9
    assert of(found, "links", state="confirmed") == 2
    assert of(found, "route_changes_total", decider="engine") == 1
    assert of(found, "decision_seconds_count") >= 1


def test_the_documentation_names_each_metric_with_its_labels() -> None:
    documented = [
        (one.name, one.kind, one.labels) for one in pages.metrics().values() if one.teller == "controller"
    ]
    assert documented == [(name, kind, labels) for name, kind, _, labels in FAMILIES]


def test_no_more_series_are_told_than_are_documented(tmp_path: Path) -> None:
    async def story() -> Samples:
        async with controller(tmp_path) as mesh:
            await mesh.join("paris")
            await mesh.join("rome")
            return await read(mesh)

    documented = pages.metrics()
    counted = Counter(pages.family(name, documented) for name, _ in asyncio.run(story()))
    for metric, count in counted.items():
        assert metric is not None and count <= metric.most({"N": 2}), metric


def test_prometheus_finds_members_by_their_overlay_address(tmp_path: Path) -> None:
    async def story() -> tuple[object, object, int]:
        async with controller(tmp_path) as mesh:
            await mesh.join("paris")
            await mesh.join("rome")
            bearer = {"Authorization": f"Bearer {mesh.state.admin_token}"}
            async with httpx.AsyncClient(
                base_url=mesh.api, headers=bearer, trust_env=False, timeout=60
            ) as client:
                as_it_is = await client.get("/v1/prometheus/targets")
                elsewhere = await client.get("/v1/prometheus/targets", params={"port": 9999})
                nowhere = await client.get("/v1/prometheus/targets", params={"port": 0})
                return as_it_is.json(), elsewhere.json()[1]["targets"], nowhere.status_code

    as_it_is, elsewhere, nowhere = asyncio.run(story())
    assert as_it_is == [
        {"targets": ["100.64.0.1:9460"], "labels": {"instance": "paris"}},
        {"targets": ["100.64.0.2:9460"], "labels": {"instance": "rome"}},
    ]
    assert (elsewhere, nowhere) == (["100.64.0.2:9999"], 422)
