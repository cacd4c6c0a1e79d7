"""A controller that serves applications, and nodes that have joined, with their files."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import httpx
from msgspec import structs

from controller.config import OrchestrationSection
from controller.orchestration.serving.nodes import Nodes, members_of
from controller.orchestration.serving.server import orchestration
from controller.server.serve import Running
from controller.state import open_state
from tests.controller.client import Identity
from tests.controller.orchestration.test_server import client, new_state
from tests.controller.running import RunningController

_T = TypeVar("_T")


class World:
    """A controller that serves applications, and its admin."""

    def __init__(
        self, running: Running, nodes: Nodes, port: int, admin: httpx.AsyncClient, folder: Path
    ) -> None:
        self.running = running
        self.nodes = nodes
        self.controller = RunningController(running.service.state, running)
        self.port = port
        self.url = f"https://127.0.0.1:{port}"
        self.admin = admin
        self._folder = folder

    async def join(self, name: str) -> Identity:
        """Have a host join; its files are in ``agent(name)``, as an agent keeps them."""
        identity = await self.controller.join(name)
        folder = self.agent(name)
        folder.mkdir()
        (folder / "tls.key").write_bytes(identity.key_pem)
        (folder / "certificate.pem").write_text(identity.joined.certificate)
        (folder / "ca.pem").write_text(identity.joined.ca)
        return identity

    def agent(self, name: str) -> Path:
        return self._folder / f"agent-{name}"

    def as_node(self, identity: Identity) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, verify=identity.context(), timeout=60)

    async def node(self, name: str) -> dict[str, Any]:
        return (await self.admin.get(f"/apis/overlayd.io/v1/nodes/{name}")).json()

    async def make_pod(self, name: str, node: str, **more: Any) -> dict[str, Any]:
        meta = {"name": name, "finalizers": ["overlayd.io/workload"], **more}
        spec = {"nodeName": node, "containers": [{"name": "main", "command": ["true"]}]}
        answer = await self.admin.post(
            "/api/v1/namespaces/default/pods", json={"metadata": meta, "spec": spec}
        )
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def pod(self, name: str) -> dict[str, Any]:
        return (await self.admin.get(f"/api/v1/namespaces/default/pods/{name}")).json()


@asynccontextmanager
async def world(folder: Path, port: int = 0, **config: Any) -> AsyncIterator[World]:
    """Run the controller of a folder, which is made if there is none, for the length of the block; ``config``
    goes before its file.
    """
    existing = (folder / "state").exists()
    state = open_state(folder / "state") if existing else new_state(folder / "state")
    section = OrchestrationSection(f"127.0.0.1:{port}")
    state = replace(state, config=structs.replace(state.config, orchestration=section, **config))
    async with Running(state) as running:
        nodes = Nodes(members_of(running.service))
        async with orchestration(running.service, nodes=nodes) as port, client(state, port) as admin:
            yield World(running, nodes, port, admin, folder)


async def until(found: Callable[[], _T | None], seconds: float = 120.0) -> _T:
    """Wait until there is something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (value := found()) is not None and value is not False:
            return value
        await asyncio.sleep(0.01)
    raise AssertionError("it never was")
