"""Brings one node to what its steering says, and tells what is asked for. I/O, by the modules around it.

``apply`` may be called as often as the steering changes, each time with all of it. What it starts goes on
when this process ends: ``close`` lets go of it, the next life adopts it, ``clear`` takes it away.
"""

import asyncio
import contextlib
import ipaddress
import logging
import socket
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from overlayd.daemon.log import fields
from overlayd.protocol.steering import SteeredRoute, SteeringSpec, Target
from overlayd.protocol.workload import Demand, Outcomes
from overlayd.traffic import addresses
from overlayd.traffic.counters import Meter
from overlayd.traffic.datagrams import Datagrams
from overlayd.traffic.errors import TrafficError
from overlayd.traffic.haproxy import HAProxy
from overlayd.traffic.listeners import Layout, layout, proxy_of, route_of
from overlayd.traffic.names import Names
from overlayd.traffic.outcomes import Judged
from overlayd.traffic.waker import Endpoint, Waker

if TYPE_CHECKING:
    from prometheus_client.core import Metric

LOG = logging.getLogger(__name__)
WATCH_S = 1.0
"""So often it is looked whether HAProxy lives."""

_KERNEL = 0
"""Counts datagrams; no process has this number."""


class Traffic:
    """The routes of one node. ``wanted`` is told the route (``NAMESPACE/NAME``) that a request waits for.

    Names are answered at ``address``, the node's own in the overlay. ``problems`` says of each route, or of a
    part by its name, why it is not carried; ``meter`` has counted what users asked.
    """

    def __init__(self, runtime_dir: Path, wanted: Callable[[str], None], address: str | None = None) -> None:
        runtime_dir.mkdir(parents=True, exist_ok=True)
        runtime_dir.chmod(0o755)  # whatever the mask of this process
        self.haproxy = HAProxy(runtime_dir)
        self.problems: dict[str, str] = {}
        self.meter = Meter()
        self._out: frozenset[tuple[str, str]] = frozenset()
        self._tried = Meter()
        self._judged = Judged()
        self._wanted = wanted
        self._spec = SteeringSpec()
        self._layout = Layout(())
        self._told_at = asyncio.get_running_loop().time()
        self._waker = Waker(self._say_wanted, self._revive, self.haproxy.place.user)
        self._datagrams = Datagrams(wanted)
        self._names = Names(runtime_dir, address)
        self._turn = asyncio.Lock()
        self._reviving: set[str] = set()
        self._watch: asyncio.Task[None] | None = None

    async def apply(self, steering: SteeringSpec) -> None:
        """Bring everything to ``steering``; what cannot be done stands in ``problems``."""
        async with self._turn:
            self._spec = steering
            await self._converge()
        if self._watch is None:
            self._watch = asyncio.create_task(self._keep_watch())

    async def demand(self) -> Demand:
        """Return what users asked since the last demand, or since this life began."""
        async with self._turn:
            await self._count()
        now = asyncio.get_running_loop().time()
        seconds, self._told_at = now - self._told_at, now
        return self.meter.demand(seconds)

    def metrics(self) -> "list[Metric]":
        """Return what Prometheus is told, at most a second old."""
        from overlayd.traffic import metrics  # costs nothing where nobody asks

        return metrics.told(self._spec.routes, self.meter.totals, self._out, len(self.problems))

    async def outcomes(self) -> Outcomes | None:
        """Return what became of requests at instances, by revision, since the last time; None: nothing is
        judged.
        """
        async with self._turn:
            await self._count()
        return self._judged.take()

    async def close(self) -> None:
        """Let go: HAProxy, names and UDP go on; requests that wait for an instance are given up."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        async with self._turn:
            await self._waker.close()
            self._datagrams.close()

    async def clear(self) -> None:
        """Take everything away, and close."""
        await self.apply(SteeringSpec())
        await self.close()

    async def _converge(self) -> None:
        problems: dict[str, str] = {}
        routes = _sound(self._spec.routes, problems)
        try:
            await addresses.set_addresses(route.address for route in routes)
        except TrafficError as error:
            problems["addresses"] = str(error)
        await self._carry_streams(routes, problems)
        for part, change in (
            ("udp", self._datagrams.converge([route for route in routes if route.protocol == "UDP"])),
            ("names", self._names.converge(routes)),
        ):
            try:
                await change
            except TrafficError as error:
                problems[part] = str(error)
        with contextlib.suppress(TrafficError):
            await addresses.keep_addresses(route.address for route in routes)
        for name, problem in problems.items():
            if self.problems.get(name) != problem:
                LOG.error("not in force", extra=fields(what=name, problem=problem))
        self.problems = problems

    async def _carry_streams(self, routes: Sequence[SteeredRoute], problems: dict[str, str]) -> None:
        if not (first := self._watch is None):
            await self._count()  # what a process that leaves has counted
        streams = {proxy_of(route.name): route for route in routes if route.protocol != "UDP"}
        wanted = layout(_free(streams.values(), problems), self._spec.groups)
        for listener in wanted.listeners:
            path = self.haproxy.place.waker_socket(listener.proxy)
            try:
                await self._waker.listen(listener.proxy, path, listener.timeout_ms / 1000)
            except OSError as error:
                problems["waker"] = f"{path}: {error.strerror or error}"
        targets = {proxy: route.targets for proxy, route in streams.items()}
        self._layout = wanted
        self._judged.follow(streams.values())
        if first:
            await self._count(first=True)
        try:
            await self.haproxy.converge(wanted, targets)
        except TrafficError as error:
            problems["haproxy"] = str(error)
        for proxy, route in streams.items():
            self._waker.set_targets(proxy, _reachable(route.targets))
        self._waker.keep(streams)

    async def _keep_watch(self) -> None:
        """Bring everything back that was lost, and try again what could not be done."""
        while True:
            await asyncio.sleep(WATCH_S)
            try:
                async with self._turn:
                    await self._count()
                    if self.problems or not await self.haproxy.runs_as_left():
                        await self._converge()
            except OSError as error:  # a disk that is full, say; the next round may do
                LOG.error("traffic is not watched", extra=fields(problem=error))

    async def _count(self, first: bool = False) -> None:
        """Read all counters. At ``first`` they tell what was asked in a life before, which has told it."""
        with contextlib.suppress(TrafficError):  # it is not there; the watch brings it back
            stats = await self.haproxy.counts(self._layout)
            for worker, stat in stats.items():
                if first:
                    self.meter.begin(worker, stat.users)
                    self._tried.begin(worker, stat.slots)
                self.meter.count(worker, stat.users)
                self._judged.add(self._tried.count(worker, stat.slots), stat.endpoints)
            self.meter.count(_KERNEL, await self._datagrams.counts())
            self.meter.keep((_KERNEL, *stats))
            self._tried.keep(stats)
            self._out = frozenset(
                (slot[0], stat.endpoints[slot]) for stat in stats.values() for slot in stat.out
            )

    def _say_wanted(self, proxy: str) -> None:
        name = route_of(proxy)
        if any(route.name == name and route.wakes for route in self._spec.routes):
            self._wanted(name)

    async def _revive(self, proxy: str, endpoint: Endpoint) -> None:
        """Several requests that waited are answered at once: HAProxy is told once."""
        if proxy in self._reviving:
            return
        self._reviving.add(proxy)
        try:
            await self.haproxy.revive(proxy, endpoint)
        except TrafficError as error:
            LOG.warning("instance not used again", extra=fields(route=route_of(proxy), problem=error))
        finally:
            self._reviving.discard(proxy)


def _sound(routes: Sequence[SteeredRoute], problems: dict[str, str]) -> list[SteeredRoute]:
    """Return the routes that make sense. The controller sends no others; one must not cost the rest."""
    sound: list[SteeredRoute] = []
    for route in routes:
        try:
            for address in (route.address, *(target.address for target in route.targets)):
                ipaddress.ip_address(address)
            for prefix in route.users:
                ipaddress.ip_network(prefix)
        except ValueError as error:
            problems[route.name] = str(error)
        else:
            sound.append(route)
    return sound


def _free(routes: Iterable[SteeredRoute], problems: dict[str, str]) -> list[SteeredRoute]:
    """Return the routes whose port no other program has: one that is taken keeps all from changing."""
    free: list[SteeredRoute] = []
    for route in routes:
        if (problem := _cannot_bind(route)) is None:
            free.append(route)
        else:
            problems[route.name] = problem
    return free


def _cannot_bind(route: SteeredRoute) -> str | None:
    """Why HAProxy could not listen for ``route``; that it does already is no reason, it shares its ports."""
    family = socket.AF_INET6 if ":" in route.address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            probe.bind((route.address, route.port))
        except OSError as error:
            return f"{route.address} port {route.port}: {error.strerror}"
    return None


def _reachable(targets: Sequence[Target]) -> list[Endpoint]:
    """Whom a request that waits may be handed to, the best first."""
    ranked = sorted(targets, key=lambda target: (target.backup, -target.weight))
    return [(target.address, target.port) for target in ranked if target.weight > 0]
