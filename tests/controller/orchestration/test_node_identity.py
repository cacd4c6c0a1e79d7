"""Nodes as clients of the API: known by the mesh's certificates, and let do what their own pods take."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.controller.orchestration.pods import World, world

PODS = "/api/v1/pods"
IN_DEFAULT = "/api/v1/namespaces/default/pods"
STEERINGS = "/apis/overlayd.io/v1/steerings"
EVENTS = "/api/v1/namespaces/default/events"
MERGE = {"content-type": "application/merge-patch+json"}
OWN = {"fieldSelector": "spec.nodeName=paris"}


async def _two_pods(here: World) -> httpx.AsyncClient:
    identity = await here.join("paris")
    await here.join("oslo")
    await here.make_pod("mine", "paris")
    await here.make_pod("other", "oslo")
    return here.as_node(identity)


def test_a_node_sees_its_own_pods_and_no_others(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as here, await _two_pods(here) as node:
            listed = (await node.get(PODS, params=OWN)).json()
            assert [item["metadata"]["name"] for item in listed["items"]] == ["mine"]
            assert (await node.get(f"{IN_DEFAULT}/mine")).status_code == 200
            for path, query in ((PODS, {}), (PODS, {"fieldSelector": "spec.nodeName=oslo"}),
                                (PODS, {"fieldSelector": "spec.nodeName!=paris"}),
                                (PODS, {"watch": "1"}), (f"{IN_DEFAULT}/other", {})):  # fmt: skip
                refused = await node.get(path, params=query)
                assert refused.status_code == 403, (path, query)
                assert refused.json()["reason"] == "Forbidden" and refused.json()["kind"] == "Status"
            assert 'User "system:node:paris" cannot list resource "pods"' in (
                await node.get(PODS)
            ).text.replace('\\"', '"')

    asyncio.run(scenario())


FORBIDDEN: list[tuple[str, str, Any]] = [
    ("GET", "/apis/overlayd.io/v1/nodes", None),
    ("GET", "/apis/overlayd.io/v1/usergroups", None),
    ("GET", "/apis", None),
    ("GET", "/openapi/v2", None),
    ("GET", "/api/v1/namespaces/default", None),
    ("POST", IN_DEFAULT, {"metadata": {"name": "x"}, "spec": {"nodeName": "paris"}}),
    ("DELETE", f"{IN_DEFAULT}/mine", None),
    ("DELETE", IN_DEFAULT, None),
    ("PUT", f"{IN_DEFAULT}/mine/status", {"metadata": {"name": "mine"}}),
    ("PATCH", f"{IN_DEFAULT}/other/status", {"status": {"phase": "Failed"}}),
    ("PATCH", f"{IN_DEFAULT}/mine", {"metadata": {"annotations": {"overlayd.io/digest": "x"}}}),
    ("PATCH", f"{IN_DEFAULT}/mine", {"metadata": {"labels": {"a": "b"}}}),
    ("PATCH", f"{IN_DEFAULT}/mine", {"metadata": {"finalizers": ["mine.own/hold"]}}),
    ("PATCH", f"{IN_DEFAULT}/other", {"metadata": {"finalizers": []}}),
    ("GET", STEERINGS, None),
    ("GET", f"{STEERINGS}/oslo", None),
    ("POST", STEERINGS, {"metadata": {"name": "paris"}}),
    ("POST", EVENTS, {"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "other"}}),
    ("POST", EVENTS, {"metadata": {"name": "e"}, "involvedObject": {"kind": "Node", "name": "paris"}}),
    ("POST", EVENTS, {"metadata": {"name": "e"}, "involvedObject": "mine"}),
]


def test_everything_else_is_forbidden(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as here, await _two_pods(here) as node:
            for method, path, body in FORBIDDEN:
                headers = MERGE if method == "PATCH" else {}
                refused = await node.request(method, path, json=body, headers=headers)
                assert refused.status_code == 403, (method, path, body, refused.text)
                assert refused.json()["reason"] == "Forbidden"

    asyncio.run(scenario())


def test_a_node_writes_the_status_of_its_pods_under_its_own_name(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as here, await _two_pods(here) as node:
            said = await node.patch(
                f"{IN_DEFAULT}/mine/status?fieldManager=somebody",
                json={"status": {"phase": "Running"}},
                headers=MERGE,
            )
            assert said.status_code == 200, said.text
            pod = await here.pod("mine")
            assert pod["status"]["phase"] == "Running"
            assert "system:node:paris" in [entry["manager"] for entry in pod["metadata"]["managedFields"]]
            missing = await node.patch(f"{IN_DEFAULT}/none/status", json={"status": {}}, headers=MERGE)
            assert missing.status_code == 404
            spec = {"nodeName": "paris", "containers": [{"name": "main", "image": "x"}]}
            applied = await node.patch(
                f"{IN_DEFAULT}/new?fieldManager=x",
                json={"metadata": {"name": "new"}, "spec": spec},
                headers={"content-type": "application/apply-patch+yaml"},
            )
            assert applied.status_code == 404

    asyncio.run(scenario())


def test_a_pod_goes_when_its_node_lets_go_of_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as here, await _two_pods(here) as node:
            await here.admin.delete(f"{IN_DEFAULT}/mine")
            assert (await here.pod("mine"))["metadata"]["deletionTimestamp"]
            gone = await node.patch(
                f"{IN_DEFAULT}/mine", json={"metadata": {"finalizers": None}}, headers=MERGE
            )
            assert gone.status_code == 200, gone.text
            assert (await here.pod("mine"))["code"] == 404

    asyncio.run(scenario())


def test_a_node_tells_events_of_its_pods(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as here, await _two_pods(here) as node:
            event = {"metadata": {"generateName": "mine."}, "reason": "Started", "type": "Normal",
                     "involvedObject": {"kind": "Pod", "name": "mine", "namespace": "default"},
                     "source": {"component": "overlayd-workload", "host": "oslo"}}  # fmt: skip
            made = await node.post(EVENTS, json=event)
            assert made.status_code == 201, made.text
            (told,) = (await here.admin.get(EVENTS)).json()["items"]
            assert told["source"]["host"] == told["reportingInstance"] == "paris"

    asyncio.run(scenario())


def test_a_node_sees_its_own_steering(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as here, await _two_pods(here) as node:
            for name in ("paris", "oslo"):
                await here.admin.post(STEERINGS, json={"metadata": {"name": name}, "spec": {"routes": []}})
            assert (await node.get(f"{STEERINGS}/paris")).status_code == 200
            listed = await node.get(STEERINGS, params={"fieldSelector": "metadata.name=paris"})
            assert [item["metadata"]["name"] for item in listed.json()["items"]] == ["paris"]

    asyncio.run(scenario())


def test_a_node_that_is_removed_is_nobody_and_its_watches_end(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as here:
            identity = await here.join("paris")
            async with here.as_node(identity) as node:
                async with node.stream("GET", PODS, params=OWN | {"watch": "1"}) as watch:
                    assert watch.status_code == 200
                    here.running.service.remove(identity.id, "stolen")
                    refused = await node.get(PODS, params=OWN)
                    assert refused.status_code == 401 and refused.json()["reason"] == "Unauthorized"
                    await here.make_pod("secret", "paris")
                    assert [line async for line in watch.aiter_lines()] == []

    asyncio.run(scenario())


def test_a_wrong_token_is_refused_whatever_certificate_is_shown(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as here, await _two_pods(here) as node:
            wrong = await node.get(PODS, params=OWN, headers={"authorization": "Bearer nobody"})
            assert wrong.status_code == 401
            token = here.running.service.state.admin_token
            right = await node.get(PODS, headers={"authorization": f"Bearer {token}"})
            assert len(right.json()["items"]) == 2

    asyncio.run(scenario())


def test_a_certificate_of_another_network_opens_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        async with world(tmp_path / "a") as here, world(tmp_path / "b") as there:
            stranger = await there.join("paris")
            context = stranger.context()
            context.load_verify_locations(cadata=here.running.service.trust_pem)
            async with httpx.AsyncClient(base_url=here.url, verify=context, timeout=60) as node:
                with pytest.raises((httpx.HTTPError, ssl.SSLError)):
                    await node.get(PODS, params=OWN)

    asyncio.run(scenario())
