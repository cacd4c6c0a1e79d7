"""An app from its manifest to its pods' end, through the API of a controller that really runs. Nodes are
played by a client that reports what nodes report.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from controller.orchestration.serving.server import orchestration
from controller.server.serve import Running
from tests.controller.orchestration.stage import Around
from tests.controller.orchestration.test_server import client, new_state

APPS = "/apis/overlayd.io/v1/namespaces/default/apps"
PODS = "/api/v1/namespaces/default/pods"
MERGE = {"content-type": "application/merge-patch+json"}
READY = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}


async def play_nodes(api: httpx.AsyncClient) -> None:
    """Run what there is, end what is to end, until cancelled."""
    while True:
        for pod in (await api.get(PODS)).json()["items"]:
            place = f"{PODS}/{pod['metadata']['name']}"
            if "deletionTimestamp" in pod["metadata"]:
                await api.patch(place, json={"metadata": {"finalizers": None}}, headers=MERGE)
            elif "conditions" not in pod["status"]:
                await api.patch(f"{place}/status", json={"status": READY}, headers=MERGE)
        await asyncio.sleep(0.02)


async def until(api: httpx.AsyncClient, place: str, holds: Callable[[Any], bool]) -> Any:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        answer = (await api.get(place)).json()
        if holds(answer):
            return answer
        await asyncio.sleep(0.02)
    raise AssertionError(f"{place} never became what it should")


def available(app: Any) -> bool:
    conditions = app.get("status", {}).get("conditions", [])
    return {one["type"]: one["status"] for one in conditions}.get("Available") == "True"


def test_an_app_comes_to_run_is_scaled_and_ends(tmp_path: Path) -> None:
    async def scenario() -> None:
        state = new_state(tmp_path / "state")
        around = Around("paris", "tokyo", "lima")
        async with Running(state) as running, orchestration(running.service, around=around) as port:
            async with client(state, port) as api:
                nodes = asyncio.create_task(play_nodes(api))
                spec = {"source": {"image": "qc:v1"}, "replicas": {"min": 2, "max": 3}}
                made = await api.post(APPS, json={"metadata": {"name": "qc"}, "spec": spec})
                assert made.status_code == 201
                app = await until(api, f"{APPS}/qc", available)
                assert app["status"]["readyReplicas"] == 2 and app["status"]["nodes"] == "paris,tokyo"
                scaled = await api.patch(f"{APPS}/qc/scale", json={"spec": {"replicas": 3}}, headers=MERGE)
                assert scaled.status_code == 200
                await until(api, f"{APPS}/qc/scale", lambda scale: scale["status"].get("replicas") == 3)
                selector = {"labelSelector": scaled.json()["status"]["selector"]}
                assert len((await api.get(PODS, params=selector)).json()["items"]) == 3
                await api.delete(f"{APPS}/qc")
                await until(api, f"{APPS}/qc", lambda answer: answer.get("code") == 404)
                assert (await api.get(PODS)).json()["items"] == []
                nodes.cancel()

    asyncio.run(scenario())


def test_a_dry_run_says_where_an_app_would_run_and_nothing_is_stored(tmp_path: Path) -> None:
    async def scenario() -> None:
        state = new_state(tmp_path / "state")
        around = Around("paris", "tokyo")
        async with Running(state) as running, orchestration(running.service, around=around) as port:
            async with client(state, port) as api:
                nodes = asyncio.create_task(play_nodes(api))
                app = {"metadata": {"name": "qc"}, "spec": {"source": {"image": "qc:v1"}}}
                dry = {"dryRun": "All"}
                made = (await api.post(APPS, json=app, params=dry)).json()
                assert "nodes" in made["status"]["placement"]
                diff = {"kubectl-command": "kubectl diff"}
                made = (await api.post(APPS, json=app, params=dry, headers=diff)).json()
                assert "placement" not in made.get("status", {})
                assert (await api.get(f"{APPS}/qc")).status_code == 404
                assert "placement" not in (await api.post(APPS, json=app)).json().get("status", {})
                await until(api, f"{APPS}/qc", available)
                two = {"spec": {"replicas": {"min": 2}}}
                told = (await api.patch(f"{APPS}/qc", json=two, params=dry, headers=MERGE)).json()
                assert told["status"]["placement"]["nodes"] == ["paris", "tokyo"]
                stored = (await api.get(f"{APPS}/qc")).json()
                assert "placement" not in stored["status"] and stored["status"]["nodes"] == "paris"
                nodes.cancel()

    asyncio.run(scenario())
