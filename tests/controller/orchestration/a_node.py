"""A node's side of the channel, as it is on a node, with logs that are made up."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress

from overlayd.protocol.workload import Capacity, LogRequest, Report, Taint
from overlayd.workload.channel import Channel, Opened, Told
from overlayd.workload.credentials import Credentials
from overlayd.workload.errors import LogProblem
from overlayd.workload.leases import Leases
from tests.controller.orchestration.pods import World, until

REPORT = Report(
    Capacity(4000, 8 << 30, 100 << 30, devices={"gpu": 1}),
    runtimes={"process": "systemd 252", "docker": "20.10.24"},
    labels={
        "site": "lab",
        "rack": "7",
        "overlayd.io/region": "mars",
        "kubernetes.io/hostname": "someone",
        "bad key": "x",
    },
    taints=(Taint("edge", "yes"), Taint("node.overlayd.io/away", effect="NoExecute")),
)


class Node:
    """A node's side, for as long as the block lasts."""

    def __init__(self, here: World, name: str) -> None:
        self.leases = Leases()
        self.told: list[Told] = []
        self.logs: dict[str, list[bytes]] = {}
        self.reading = 0
        self.asked: list[LogRequest] = []
        credentials = Credentials(here.agent(name))
        self.channel = Channel(
            here.url,
            credentials,
            self.leases,
            self.open_log,
            self.told.append,
            random.Random(1),
            spread_s=0.02,
        )

    async def open_log(self, request: LogRequest) -> AsyncGenerator[bytes]:
        self.asked.append(request)
        if request.container not in self.logs:
            raise LogProblem(f"container {request.container} has not started")
        return self._read(request)

    async def _read(self, request: LogRequest) -> AsyncGenerator[bytes]:
        self.reading += 1
        try:
            for part in self.logs[request.container]:
                yield part
            while request.follow:
                await asyncio.sleep(3600)
        finally:
            self.reading -= 1


@asynccontextmanager
async def node(here: World, name: str) -> AsyncIterator[Node]:
    it = Node(here, name)
    it.channel.report(REPORT)
    task = asyncio.create_task(it.channel.run())
    try:
        await until(lambda: Opened() in it.told and here.nodes.presence.report(name))
        yield it
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
