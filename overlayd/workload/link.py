"""This unit and the controller: what it wants is handed on, what becomes of it is told. I/O: by API and
channel.

Nothing here decides, and nothing waits for it: what could not be told is told when the controller is back,
each pod's newest status alone. Called by `overlayd.workload.unit`.
"""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

from overlayd.daemon.log import fields
from overlayd.protocol.pod import Pod, PodStatus
from overlayd.protocol.steering import SteeringSpec
from overlayd.protocol.workload import Demand, Full, LogRequest, Outcomes, Report, Wanted
from overlayd.workload.api import Api
from overlayd.workload.channel import Answered, Channel, Told
from overlayd.workload.credentials import Credentials
from overlayd.workload.errors import Refused, Unreachable
from overlayd.workload.leases import Leases
from overlayd.workload.logs import LogOptions
from overlayd.workload.messages import LEASE, Happened, PodUid, RunId
from overlayd.workload.retry import Retry

LOG = logging.getLogger(__name__)
REPORT_S = 30.0
MOST_EVENTS = 1000
SPREAD_S = 1.0


class Link:
    """``wanted`` and ``leased`` are called with what comes; ``report`` says what this host is."""

    def __init__(
        self,
        url: str,
        agent_dir: Path,
        node: str,
        leases: Leases,
        wanted: Callable[[tuple[Pod, ...]], Awaitable[None]],
        leased: Callable[[], None],
        report: Callable[[], Awaitable[Report]],
        logs: Callable[[RunId, LogOptions], Awaitable[AsyncGenerator[bytes]]],
    ) -> None:
        rng = random.Random()
        credentials = Credentials(agent_dir)
        self._api = Api(url, credentials, node, rng)
        self._channel = Channel(url, credentials, leases, self._open_log, self._told, rng)
        self._retry = Retry(SPREAD_S, rng)
        self._wanted = wanted
        self._leased = leased
        self._report = report
        self._logs = logs
        self._statuses: dict[str, tuple[Pod, PodStatus]] = {}
        self._released: dict[str, Pod] = {}
        self._events: deque[tuple[Happened, float]] = deque(maxlen=MOST_EVENTS)
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Hold to the controller until cancelled."""
        async with self._api, asyncio.TaskGroup() as group:
            group.create_task(self._channel.run())
            group.create_task(self._follow())
            group.create_task(self._keep_reporting())
            group.create_task(self._say())

    def report(self, pod: Pod, status: PodStatus) -> None:
        """Tell a pod's status, soon."""
        self._statuses[pod.metadata.uid] = (pod, status)
        self._news.set()

    def release(self, pod: Pod) -> None:
        """Tell that a pod is gone from here, after everything else about it."""
        self._released[pod.metadata.uid] = pod
        self._news.set()

    def steering(self) -> AsyncGenerator[SteeringSpec | None]:
        """Yield how this node's users are to be led to instances, again at each change; None: not at all."""
        return self._api.steering()

    def say(self, message: Wanted | Demand | Outcomes | Full) -> None:
        """Say what is asked for here; what cannot be said now is lost."""
        self._channel.say(message)

    def happened(self, event: Happened) -> None:
        """Tell of an event; of many that nobody takes the oldest are lost."""
        self._events.append((event, time.time()))
        self._news.set()

    async def _follow(self) -> None:
        async for pods in self._api.pods():
            await self._wanted(pods)
            if any(LEASE in pod.metadata.annotations for pod in pods):
                self._channel.alive_now()

    async def _keep_reporting(self) -> None:
        while True:
            self._channel.report(await self._report())
            await asyncio.sleep(REPORT_S)

    async def _say(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            await self._news.wait()
            self._news.clear()
            began = clock()
            try:
                await self._say_all()
            except Unreachable as error:
                LOG.info("not told to the controller yet", extra=fields(problem=error))
                self._news.set()
                await asyncio.sleep(self._retry.wait_s(clock() - began))

    async def _say_all(self) -> None:
        for uid, (pod, status) in list(self._statuses.items()):
            await _once(self._api.patch_status(pod, status), pod, "status")
            if self._statuses.get(uid) == (pod, status):
                del self._statuses[uid]
        while self._events:
            event, unix_s = self._events[0]
            told = self._api.happened(event.pod, event.kind, event.reason, event.message, unix_s)
            await _once(told, event.pod, "event")
            self._events.popleft()
        for uid, pod in list(self._released.items()):
            await _once(self._api.release(pod), pod, "release")
            del self._released[uid]

    def _told(self, told: Told) -> None:
        if isinstance(told, Answered):
            self._leased()

    async def _open_log(self, request: LogRequest) -> AsyncGenerator[bytes]:
        since_ns = None
        if request.since_seconds is not None:
            since_ns = time.time_ns() - round(request.since_seconds * 1e9)
        options = LogOptions(
            request.follow, request.tail_lines, since_ns, request.timestamps, request.previous
        )
        return await self._logs(RunId(PodUid(request.pod), request.container), options)


async def _once(saying: Awaitable[None], pod: Pod, what: str) -> None:
    """Say it; what the controller does not want to hear is not said again. Raises :class:`Unreachable`."""
    try:
        await saying
    except Refused as refused:
        if refused.code not in (404, 409):  # the pod is gone, or another has its name
            LOG.error(
                "the controller refused what it was told",
                extra=fields(pod=pod.metadata.name, what=what, code=refused.code, problem=refused),
            )
