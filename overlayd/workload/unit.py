"""The unit's process: turns clocks, files and runtimes into events, and carries out the machine's commands.

Decides nothing (`overlayd.workload.machine` does). It starts with what was wanted last, before it asks
anybody, and may die at any moment: what it started goes on and is found again. Called by
`overlayd.cli.daemon`. I/O.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import importlib.util
import logging
import os
import random
import signal
import time
from collections.abc import AsyncGenerator, Coroutine, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overlayd.daemon.config import Configuration, WorkloadSection
from overlayd.daemon.errors import StartError
from overlayd.daemon.log import fields, set_up
from overlayd.daemon.notify import notify
from overlayd.protocol.pod import Pod
from overlayd.protocol.workload import Full, Report
from overlayd.traffic import haproxy
from overlayd.traffic import service as traffic
from overlayd.workload import messages
from overlayd.workload.cache import Cache
from overlayd.workload.capacity import report_of
from overlayd.workload.checks import look
from overlayd.workload.errors import LogProblem
from overlayd.workload.fullness import Fullness, Limited
from overlayd.workload.launching import LaunchProblem, chosen_launcher
from overlayd.workload.lease_files import LeaseFiles
from overlayd.workload.leases import Leases
from overlayd.workload.limits import limits_of
from overlayd.workload.logs import LogOptions
from overlayd.workload.machine import Machine
from overlayd.workload.manifests import Manifests, is_static
from overlayd.workload.messages import (
    LEASE,
    Command,
    Desired,
    Event,
    Happened,
    Leased,
    Look,
    Lost,
    Now,
    PodUid,
    Release,
    Remove,
    Removed,
    RunId,
    RuntimeName,
    Start,
    Stop,
    Tick,
    runtime_of,
)
from overlayd.workload.place import membership_stamp, place_of
from overlayd.workload.processes import Processes
from overlayd.workload.runtime import Runtime, RuntimeTrouble
from overlayd.workload.shown import Shown
from overlayd.workload.volumes import Volumes

if TYPE_CHECKING:
    from overlayd.workload.containers import Containers
    from overlayd.workload.link import Link

LOG = logging.getLogger(__name__)
TICK_S = 1.0
"""Time passes at least so often: for manifests, the watchdog, a membership that comes."""
SHORTEST_S = 0.02
FULL_S = 5.0
"""How full instances are is told so often."""
COLLECT_S = 3600.0
"""Images are looked at so often."""
AGAIN_S = 5.0
"""After so long what could not be removed is tried again."""


def run(configuration: Configuration) -> int:
    """Run until told to stop; return the exit code. Raises :class:`StartError`."""
    set_up("workload", configuration.log.level, configuration.log.format)
    asyncio.run(Unit(configuration).run())
    return 0


class Unit:
    """One node's pods; ``run`` until a signal."""

    def __init__(self, configuration: Configuration) -> None:
        section = configuration.workload or WorkloadSection()
        state = Path(configuration.node.state_dir) / "workload"
        memory = Path(configuration.node.runtime_dir) / "workload"
        self._configuration = configuration
        self._state = state
        self._memory = memory
        self._membership = membership_stamp(configuration)
        self._place = place_of(configuration)
        if self._place.url is not None and importlib.util.find_spec("aiohttp") is None:
            raise StartError("to ask the controller takes the Python package aiohttp: overlayd[workload]")
        self._cache = Cache(state)
        self._lease_files = LeaseFiles(memory)
        self._leases = Leases(self._lease_files.load())
        self._machine = Machine(self._place.address, self._leases, random.Random().uniform)
        self._manifests = Manifests(Path(section.manifests), self._place.name) if section.manifests else None
        self._own: tuple[Pod, ...] = ()
        self._wanted: tuple[Pod, ...] | None = None
        self._launcher = chosen_launcher(state)
        self._volumes = Volumes(state / "volumes", memory / "volumes", self._launcher.execute)
        self._runtimes: dict[RuntimeName, Runtime] = {
            "process": Processes(
                state / "pods", self._launcher, self._volumes, self._lease_files.folder,
                self._place.address, self._handle,
            ),
        }  # fmt: skip
        self._section = section
        self._link: Link | None = None
        self._containers: Containers | None = None
        self._collect_at_s = time.monotonic() + COLLECT_S
        self._stored = True
        self._shown = Shown(memory / "pods.json")
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self._woken = asyncio.Event()

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT, or until the host joins or leaves a network: it is to be started
        anew then.

        What runs goes on. Raises :class:`StartError`.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)
        with _locked(self._state, self._memory):
            try:
                async with asyncio.TaskGroup() as self._group:
                    self._begin()
                    notify("READY=1")
                    await self._stop.wait()
                    notify("STOPPING=1")
                    for task in list(self._tasks):
                        task.cancel()
            finally:
                for runtime in self._runtimes.values():
                    runtime.close()

    def _begin(self) -> None:
        place = self._place
        LOG.info("started", extra=fields(node=place.name, address=place.address, controller=place.url))
        if self._manifests is not None:
            self._own = self._manifests.pods()
        # Without a network nobody else says what is to run; with one, what it said last, if that is known.
        self._wanted = self._cache.load() if place.url is not None else () if place.known else None
        self._ask()
        self._add_containers()
        for runtime in self._runtimes.values():
            self._spawn(runtime.run())
        self._spawn(self._tick())
        if place.url is not None:
            from overlayd.workload.link import Link

            self._link = Link(
                place.url, self._configuration.agent_dir, place.name, self._leases,
                self._want, self._leased, self._report, self._logs,
            )  # fmt: skip
            self._spawn(self._link.run())
            self._spawn(self._carry_traffic(self._link))
            self._spawn(self._tell_fullness(self._link))

    def _add_containers(self) -> None:
        """Containers are possible where they are switched on and their library is there."""
        if not self._section.docker:
            self._handle(Lost("docker", "containers are switched off ([workload] docker)", absent=True))
            return
        try:
            from overlayd.workload.containers import Containers
            from overlayd.workload.images import Images
        except ImportError as error:
            self._handle(Lost("docker", f"containers need the Python package {error.name}", absent=True))
            return
        owner = hashlib.sha256(str(self._state).encode()).hexdigest()[:12]
        images = Images(self._state / "images.json", 3600.0 * self._section.keep_images)
        self._runtimes["docker"] = self._containers = Containers(
            Path(self._section.docker), owner, self._volumes, images,
            self._place.address, self._handle, self._guard,
        )  # fmt: skip

    # What the controller says, and asks

    async def _want(self, pods: tuple[Pod, ...]) -> None:
        """On the disk first: a life that ends in between is not to forget what it has just started."""
        self._wanted = pods
        self._stored = await asyncio.to_thread(self._cache.save, pods)
        self._ask()

    def _leased(self) -> None:
        self._keep_leases()
        self._handle(Leased())
        self._keep_leases()

    def _keep_leases(self) -> None:
        """For keepers and guards, before what they see to is started."""
        try:
            self._lease_files.save(self._leases.named, self._machine.lease_ends_ns())
        except OSError as error:
            LOG.error("leases not stored", extra=fields(problem=error))

    async def _report(self) -> Report:
        runtimes = {name: await runtime.version() for name, runtime in self._runtimes.items()}
        versions = {**runtimes, "haproxy": await haproxy.version()}
        there = {name: version for name, version in versions.items() if version is not None}
        return await asyncio.to_thread(report_of, self._section, self._state, there)

    async def _logs(self, id: RunId, options: LogOptions) -> AsyncGenerator[bytes]:
        runtime = self._machine.runtime_of(id)
        if runtime is None or runtime not in self._runtimes:
            raise LogProblem(f"container {id.container!r} has not been started on this node")
        return await self._runtimes[runtime].logs(id, options)

    async def _guard(self, start: Start, pid: int) -> None:
        """A container of a pod with a lease ends with that, also if this unit is not there any more."""
        if LEASE not in start.pod.metadata.annotations:
            return
        try:
            await self._launcher.guard(start.id, self._lease_files.folder / start.id.uid, pid)
        except LaunchProblem as error:
            LOG.error("lease not guarded", extra=fields(pod=_named(start.pod), problem=error))

    async def _tell_fullness(self, link: "Link") -> None:
        """Say how full instances are, for who leads users to them."""
        fullness = Fullness()
        while True:
            await asyncio.sleep(FULL_S)
            limited = [
                Limited(
                    run.id, run.attempt, cpu_milli, pid, (run.id.uid, run.container_id.rpartition("/")[2])
                )
                for container, run in self._machine.running()
                if (cpu_milli := limits_of(container).cpu_milli)
                and (pid := await self._runtimes[run.runtime].pid(run.id, run.attempt)) is not None
            ]
            full = await asyncio.to_thread(fullness.of, limited, time.monotonic_ns())
            if full:
                link.say(Full(full))

    async def _carry_traffic(self, link: "Link") -> None:
        """Lead this node's users to instances; whatever goes wrong there stops no pod."""
        node = self._configuration.node
        while True:
            try:
                await traffic.run(
                    Path(node.state_dir),
                    Path(node.runtime_dir),
                    self._place.address,
                    link.steering(),
                    link.say,
                    self._section.metrics_socket,
                )
            except Exception:
                LOG.exception("traffic is not carried", extra=fields(again_in_s=AGAIN_S))
            await asyncio.sleep(AGAIN_S)

    # Events and commands

    def _ask(self) -> None:
        pods = (*self._own, *(self._wanted or ()))
        self._handle(Desired(pods, whole=self._wanted is not None))

    def _handle(self, event: Event) -> None:
        now = _now()
        for command in self._machine.handle(event, now):
            self._perform(command)
        self._woken.set()

    def _perform(self, command: Command) -> None:
        match command:
            case Start():
                self._spawn(self._runtimes[command.runtime].start(command))
            case Stop():
                self._spawn(self._runtimes[command.runtime].stop(command))
            case Look():
                self._spawn(self._look(command))
            case Remove(uid):
                self._spawn(self._remove(uid))
            case messages.Report(pod, status):
                if (link := self._link_of(pod)) is not None:
                    link.report(pod, status)
            case Release(pod):
                LOG.info("pod is gone", extra=fields(pod=_named(pod)))
                if (link := self._link_of(pod)) is not None:
                    link.release(pod)
            case Happened(pod, kind, reason, message):
                level = logging.WARNING if kind == "Warning" else logging.INFO
                LOG.log(level, reason, extra=fields(pod=_named(pod), message=message))
                if (link := self._link_of(pod)) is not None:
                    link.happened(command)

    def _link_of(self, pod: Pod) -> "Link | None":
        """Who is told of a pod: nobody of one that a manifest asked for."""
        return None if is_static(pod) else self._link

    async def _look(self, command: Look) -> None:
        self._handle(await look(command, self._runtimes[runtime_of(command.container)]))

    async def _remove(self, uid: PodUid) -> None:
        while True:
            try:
                for runtime in self._runtimes.values():
                    await runtime.remove(uid)
                await asyncio.to_thread(self._volumes.remove, uid)
            except (RuntimeTrouble, OSError) as error:
                LOG.error("pod not removed", extra=fields(uid=uid, problem=error, again_in_s=AGAIN_S))
                await asyncio.sleep(AGAIN_S)
                continue
            self._handle(Removed(uid))
            return

    # Time

    async def _tick(self) -> None:
        """Let time pass when the machine waits for it, and look at what says nothing by itself."""
        look_at_s = 0.0
        while True:
            self._woken.clear()
            due_ns = self._machine.next_ns(_now())
            patience_s = look_at_s - time.monotonic()
            if due_ns is not None:
                patience_s = min(patience_s, (due_ns - _now().boot_ns) / 1e9)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), max(SHORTEST_S, patience_s))
            if due_ns is not None and due_ns <= _now().boot_ns:
                self._handle(Tick())
            if time.monotonic() >= look_at_s:
                look_at_s = time.monotonic() + TICK_S
                self._handle(Tick())
                await self._look_around()

    async def _look_around(self) -> None:
        notify("WATCHDOG=1")
        if self._manifests is not None:
            own = await asyncio.to_thread(self._manifests.pods)
            if own != self._own:
                self._own = own
                self._ask()
        if self._wanted is not None and self._place.url is not None and not self._stored:
            self._stored = await asyncio.to_thread(self._cache.save, self._wanted)
        if self._containers is not None and time.monotonic() >= self._collect_at_s:
            self._collect_at_s = time.monotonic() + COLLECT_S
            images = {one.image or "" for pod, _ in self._machine.pods() for one in pod.spec.containers}
            await self._containers.collect(images, time.time())
        await asyncio.to_thread(self._shown.show, self._machine.pods())
        seen = membership_stamp(self._configuration)
        if seen == self._membership:
            return
        self._membership = seen
        place = await asyncio.to_thread(place_of, self._configuration)
        if place.known and place != self._place:
            LOG.info("this host is another node now", extra=fields(was=self._place.name, now=place.name))
            self._stop.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` beside everything else; a failure that it does not know of ends the process."""
        if self._group is None:
            raise RuntimeError("the unit is not running")
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _now() -> Now:
    return Now(time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.time_ns())


def _named(pod: Pod) -> str:
    return f"{pod.metadata.namespace}/{pod.metadata.name}"


@contextlib.contextmanager
def _locked(*folders: Path) -> Generator[None]:
    """Make the folders, and be the only one with the first. Raises :class:`StartError`."""
    try:
        for folder in folders:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folders[0] / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartError(f"{error.filename}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise StartError(f"another `overlayd workload` runs with {folders[0]}") from None
    finally:
        os.close(lock)
