"""A controller that really runs, on free loopback ports, for the length of a block."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from controller.config import Config
from controller.server.membership import create_token
from controller.server.serve import Running
from controller.state import State, create_state, open_state
from tests.controller.client import Identity, join


class RunningController:
    """The controller and what tests need of it."""

    def __init__(self, state: State, running: Running) -> None:
        self.state = state
        self.running = running
        self.url = f"wss://127.0.0.1:{running.agent_port}"
        self.api = f"http://127.0.0.1:{running.api_port}"

    def token(self, name: str, **options: Any) -> str:
        return create_token(self.state, name, **options).text

    async def join(self, name: str, **options: Any) -> Identity:
        return await join(self.url, self.token(name, **options), name)


@asynccontextmanager
async def controller(folder: Path, api: str = "127.0.0.1:0") -> AsyncIterator[RunningController]:
    """Run the controller whose state is in ``folder``, which is made if there is none."""
    config = Config(listen="127.0.0.1:0", advertise=("wss://127.0.0.1:1",), api=api)
    existing = (folder / "state").exists()
    state = open_state(folder / "state") if existing else create_state(folder / "state", "test", config)
    async with Running(state) as running:
        yield RunningController(state, running)
