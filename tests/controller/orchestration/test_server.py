"""The API beside a controller that really runs: over TLS, for who has the token, with the mesh's nodes."""

import asyncio
import base64
import re
import ssl
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from controller.config import Config, ConfigError, load_config
from controller.orchestration.serving.kubeconfig import kubeconfig
from controller.orchestration.serving.server import orchestration
from controller.server.serve import Running
from controller.state import State, create_state, open_state
from tests.controller.running import RunningController

GROUPS = "/apis/overlayd.io/v1/namespaces/default/usergroups"


def new_state(folder: Path) -> State:
    config = Config(listen="127.0.0.1:0", advertise=("wss://127.0.0.1:1",), api="127.0.0.1:0")
    create_state(folder, "test", config).store.close()
    with (folder / "controller.toml").open("a") as file:
        file.write('\n[orchestration]\nlisten = "127.0.0.1:0"\n')
    return open_state(folder)


def client(state: State, port: int) -> httpx.AsyncClient:
    """A client that knows what a kubeconfig says and nothing else."""
    text = kubeconfig(state, f"127.0.0.1:{port}")
    found = dict(re.findall(r"(server|certificate-authority-data|token): (\S+)", text))
    trust = ssl.create_default_context(cadata=base64.b64decode(found["certificate-authority-data"]).decode())
    headers = {"authorization": f"Bearer {found['token']}"}
    return httpx.AsyncClient(base_url=found["server"], headers=headers, verify=trust, timeout=60)


def test_a_kubeconfig_opens_the_api_and_nothing_else_does(tmp_path: Path) -> None:
    async def scenario() -> None:
        state = new_state(tmp_path / "state")
        async with Running(state) as running, orchestration(running.service) as port:
            async with client(state, port) as api:
                assert (await api.get(GROUPS)).json()["items"] == []
                strange = await api.get(GROUPS, headers={"authorization": "Bearer nobody"})
                assert strange.status_code == 401 and strange.json()["reason"] == "Unauthorized"
                made = await api.post(GROUPS, json={"metadata": {"name": "a"}, "spec": {}})
                assert made.status_code == 201

    asyncio.run(scenario())


def test_nodes_that_join_appear_and_those_that_are_removed_go(tmp_path: Path) -> None:
    async def nodes(api: httpx.AsyncClient, count: int) -> list[dict[str, Any]]:
        end = time.monotonic() + 120
        while time.monotonic() < end:
            items: list[dict[str, Any]] = (await api.get("/apis/overlayd.io/v1/nodes")).json()["items"]
            if len(items) == count:
                return items
            await asyncio.sleep(0.1)
        raise AssertionError(f"never {count} nodes")

    async def scenario() -> None:
        state = new_state(tmp_path / "state")
        async with Running(state) as running, orchestration(running.service) as port:
            async with client(state, port) as api:
                identity = await RunningController(state, running).join("paris")
                (node,) = await nodes(api, 1)
                assert node["metadata"]["name"] == "paris" and node["spec"]["id"] == identity.id
                running.service.remove(identity.id, "gone")
                await nodes(api, 0)
                refused = await api.post("/apis/overlayd.io/v1/nodes", json={"metadata": {"name": "x"}})
                assert refused.status_code == 405

    asyncio.run(scenario())


def test_where_it_is_not_configured_there_is_no_kubeconfig(tmp_path: Path) -> None:
    config = Config(listen="127.0.0.1:0", advertise=("wss://127.0.0.1:1",), api="127.0.0.1:0")
    with create_state(tmp_path / "state", "test", config) as state:
        with pytest.raises(ConfigError, match="orchestration"):
            kubeconfig(state)


def test_an_address_that_is_none_is_told(tmp_path: Path) -> None:
    path = tmp_path / "controller.toml"
    path.write_text(
        'listen = "127.0.0.1:7443"\nadvertise = ["wss://127.0.0.1:7443"]\n[orchestration]\nlisten = "here"\n'
    )
    with pytest.raises(ConfigError, match=r"orchestration\.listen"):
        load_config(path)


@pytest.mark.parametrize("prefix", ["100.127.0.1/16", "here", "100.127.0.0/32"])
def test_a_prefix_of_routes_that_is_none_is_told(tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "controller.toml"
    path.write_text(
        'listen = "127.0.0.1:7443"\nadvertise = ["wss://127.0.0.1:7443"]\n'
        f'[orchestration]\nroutes_prefix = "{prefix}"\n'
    )
    with pytest.raises(ConfigError, match=r"orchestration\.routes_prefix"):
        load_config(path)
