"""Meshes to look at: cities whose agents really report, and made-up nodes without sockets. I/O: a controller.

The controller runs on a loop in a thread of its own, so that a browser can be driven from this one.
"""

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from controller.core.messages import Received
from controller.registry import connected
from controller.store.store import Member
from controller.topology import frames
from controller.topology.frames import SCALES, LinkFrame
from controller.topology.quantise import encode
from overlayd.model.ids import NodeId
from overlayd.protocol.controller import LinkSample, Telemetry
from tests.controller.client import Agent, agent
from tests.controller.running import RunningController, controller
from tests.scale.agents import enrol
from tests.scale.plane import Plane

T = TypeVar("T")

CITIES: dict[str, tuple[float, float, bool]] = {
    "amsterdam": (52.4, 4.9, True), "bangalore": (13.0, 77.6, False), "dallas": (32.8, -96.8, True),
    "dublin": (53.3, -6.3, False), "frankfurt": (50.1, 8.7, True), "hongkong": (22.3, 114.2, True),
    "johannesburg": (-26.2, 28.0, False), "lagos": (6.5, 3.4, False), "london": (51.5, -0.1, True),
    "madrid": (40.4, -3.7, False), "miami": (25.8, -80.2, True), "milan": (45.5, 9.2, False),
    "newyork": (40.7, -74.0, True), "osaka": (34.7, 135.5, True), "oslo": (59.9, 10.8, False),
    "paris": (48.9, 2.4, False), "saopaulo": (-23.6, -46.6, False), "seattle": (47.6, -122.3, True),
    "singapore": (1.35, 103.8, True), "stockholm": (59.3, 18.1, False), "sydney": (-33.9, 151.2, False),
    "tokyo": (35.7, 139.7, False), "warsaw": (52.2, 21.0, True), "zurich": (47.4, 8.5, False),
}  # fmt: skip
KM_PER_MS = 85.0
REPORT_S = 1.0
DAY_S = 86400.0


class Mesh:
    """A controller and its agents, in a thread of their own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, running: RunningController) -> None:
        self._loop = loop
        self.running = running
        self.url = running.api
        self.token = running.state.admin_token
        self.extra_ms: dict[frozenset[str], float] = {}
        self.down: set[frozenset[str]] = set()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` on the controller's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(180)

    @property
    def service(self) -> Any:
        return self.running.running.service


@contextmanager
def mesh(folder: Path, fill: Callable[[Mesh, AsyncExitStack], Awaitable[None]]) -> Iterator[Mesh]:
    """Run a controller and have ``fill`` people it."""
    ready: threading.Event = threading.Event()
    made: list[Mesh] = []
    failed: list[BaseException] = []
    stop = asyncio.Event()
    loop = asyncio.new_event_loop()

    async def run() -> None:
        async with controller(folder) as running, AsyncExitStack() as stack:
            one = Mesh(loop, running)
            await fill(one, stack)
            made.append(one)
            ready.set()
            await stop.wait()

    def thread() -> None:
        try:
            loop.run_until_complete(run())
        except BaseException as error:
            failed.append(error)
            ready.set()

    worker = threading.Thread(target=thread)
    worker.start()
    ready.wait()
    try:
        if failed:
            raise failed[0]
        yield made[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        worker.join()


async def cities(one: Mesh, stack: AsyncExitStack) -> None:
    """Let the cities join, report each second over real channels, and have a day behind them."""
    names = list(CITIES)
    members = [await one.running.join(name, relay=CITIES[name][2]) for name in names]
    rtts, losses = figures(names)
    ids = [member.id for member in members]
    record_day(one, ids, rtts, losses, 60.0)
    tasks = await stack.enter_async_context(_tasks())
    for index, member in enumerate(members):
        channel = await stack.enter_async_context(agent(one.running.url, member))
        await channel.hello(f"192.0.2.{index + 1}:51900")
        tasks.append(asyncio.create_task(_listen(channel)))
        tasks.append(asyncio.create_task(_report(one, channel, index, names, ids, rtts, losses)))


def figures(names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return RTT (ms) and loss [from, to]: distance, and a few links that are worse than theirs."""
    n = len(names)
    rtts, losses = np.zeros((n, n)), np.zeros((n, n))
    for i, a in enumerate(names):
        for j, b in enumerate(names):
            rtts[i, j] = 1.5 + 2 * _km(CITIES[a][:2], CITIES[b][:2]) / KM_PER_MS / 1.7
    for a, b, extra_ms, loss in (
        ("paris", "tokyo", 80.0, 0.08), ("madrid", "miami", 45.0, 0.015), ("lagos", "london", 0.0, 0.03),
        ("lagos", "frankfurt", 30.0, 0.012), ("bangalore", "singapore", 20.0, 0.006),
        ("oslo", "zurich", 60.0, 0.0), ("saopaulo", "johannesburg", 120.0, 0.021),
        ("dublin", "seattle", 30.0, 0.002),
    ):  # fmt: skip
        i, j = names.index(a), names.index(b)
        rtts[i, j] += extra_ms
        rtts[j, i] += extra_ms
        losses[i, j], losses[j, i] = loss, loss / 3
    return rtts, losses


def record_day(one: Mesh, ids: list[NodeId], rtts: np.ndarray, losses: np.ndarray, every_s: float) -> None:
    """Write a day of frames: evenings are slower, and for half an hour one node's access was bad."""
    rng = np.random.default_rng(3)
    n, now = len(ids), time.time()
    sick = n // 2
    for at in np.arange(now - DAY_S, now - every_s, every_s):
        evening = 1 + 0.12 * max(0.0, math.sin(2 * math.pi * (at % DAY_S) / DAY_S))
        rtt = (rtts * evening * rng.uniform(1.0, 1.04, (n, n))).astype(np.float32)
        loss = losses.astype(np.float32).copy()
        if 0 < at - (now - 9 * 3600) < 1800:
            rtt[sick] += 70.0
            rtt[:, sick] += 70.0
            loss[sick], loss[:, sick] = 0.04, 0.04
        codes = np.zeros((frames.FIGURES, n, n), np.uint8)
        for row, values in (
            (frames.RTT_MIN, rtt * 0.97), (frames.RTT_Q50, rtt), (frames.RTT_Q90, rtt * 1.1),
            (frames.LOSS_OUT, loss), (frames.LOSS_IN, loss.T), (frames.RESIDUAL_IN, loss * 0.02),
        ):  # fmt: skip
            codes[row] = encode(values, SCALES[row])
        codes[:, np.arange(n), np.arange(n)] = 0
        one.service.archive.record(float(at), LinkFrame(tuple(ids), codes))


def many(number: int, every_s: float | None) -> Callable[[Mesh, AsyncExitStack], Awaitable[None]]:
    """People a mesh with so many nodes of a plane, without sockets; ``every_s``: with a day of history."""

    async def fill(one: Mesh, _: AsyncExitStack) -> None:
        members = enrol(one.running.state, number)
        service = one.service
        service._catch_up()
        service._reload()
        plane = Plane.of(number)
        ids = [member.node for member in members]
        for node in ids:
            member = service.members[node]
            service.members[node] = Member(connected(member.node, (), "test", time.time()), member.record)
        if every_s is not None:
            record_day(one, ids, plane.rtt_ms, np.zeros((number, number)), every_s)
        for index, node in enumerate(ids):
            rtts = plane.sample(index).tolist()
            links = tuple(
                LinkSample(peer, True, 150, rtt, rtt, 0.4, 0.0, 0.0, 0, rtt, rtt * 1.02, load_bps=500)
                for peer, rtt in zip(ids, rtts, strict=True)
                if peer != node
            )
            service.dispatch(Received(node, Telemetry(False, 15.0, links)))
            service.news.links_reported()
            await asyncio.sleep(0)

    return fill


@contextlib.asynccontextmanager
async def _tasks() -> Any:
    tasks: list[asyncio.Task[None]] = []
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        for end in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(end, Exception):
                raise end


async def _listen(channel: Agent) -> None:
    async for _ in channel.channel:
        pass


async def _report(
    one: Mesh,
    channel: Agent,
    index: int,
    names: list[str],
    ids: list[NodeId],
    rtts: np.ndarray,
    losses: np.ndarray,
) -> None:
    rng = np.random.default_rng(index)
    while True:
        samples: list[LinkSample] = []
        for j, peer in enumerate(ids):
            link = frozenset((names[index], names[j]))
            if j == index:
                continue
            if link in one.down:
                samples.append(LinkSample(peer, False, 0, None, None, None, None, None, 0))
                continue
            rtt = float(rtts[index, j]) * rng.uniform(1.0, 1.03) + one.extra_ms.get(link, 0.0)
            out, back = float(losses[index, j]), float(losses[j, index])
            samples.append(
                LinkSample(peer, True, 150, rtt * 0.98, rtt, 0.4, out, back, 0, residual_in_ratio=back * 0.02)
            )
        await channel.report(*samples)
        await asyncio.sleep(REPORT_S)


def _km(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Great-circle distance of two (latitude, longitude)."""
    p, q = math.radians(a[0]), math.radians(b[0])
    h = math.sin((q - p) / 2) ** 2
    h += math.cos(p) * math.cos(q) * math.sin(math.radians(b[1] - a[1]) / 2) ** 2
    return 12742 * math.asin(math.sqrt(h))
