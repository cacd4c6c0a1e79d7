"""Containers of pods, by Docker's Engine API. I/O: its socket.

Docker keeps what runs, whatever becomes of this unit: what is there is found by labels and goes on. Docker
itself starts nothing again, so that there is one who decides. Where it is absent or away, pods of
containers say so, and wait. Called by `overlayd.workload.unit`.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

from overlayd.daemon.log import fields
from overlayd.protocol.pod import Pod
from overlayd.workload import docker_spec as spec
from overlayd.workload import pause
from overlayd.workload.engine import CONFLICT, NOT_FOUND, NOT_MODIFIED, Engine, EngineError, connected
from overlayd.workload.environment import mounts, variables
from overlayd.workload.errors import LogProblem
from overlayd.workload.images import ImageProblem, Images
from overlayd.workload.limits import limits_of
from overlayd.workload.logs import LogOptions
from overlayd.workload.messages import (
    KILLED,
    Ended,
    Event,
    Found,
    Lost,
    NotStarted,
    PodUid,
    Run,
    RunId,
    Start,
    Stop,
    Stopped,
    begun,
)
from overlayd.workload.runtime import RuntimeTrouble
from overlayd.workload.volumes import VolumeProblem, Volumes

LOG = logging.getLogger(__name__)
RETRY_S = 1.0
_NOT_RUNNING = (NOT_MODIFIED, NOT_FOUND, CONFLICT)
"""What Docker says to who ends a container that does not run any more."""


class Containers:
    """``socket`` of Docker; ``owner`` tells whose containers are ours; ``address`` is where host ports are
    bound.

    ``guard`` is called with what was started and its process id.
    """

    def __init__(
        self,
        socket: Path,
        owner: str,
        volumes: Volumes,
        images: Images,
        address: str,
        tell: Callable[[Event], None],
        guard: Callable[[Start, int], Awaitable[None]],
    ) -> None:
        self._socket = socket
        self._owner = owner
        self._volumes = volumes
        self._images = images
        self._address = address
        self._tell = tell
        self._guard = guard
        self._engine: Engine | None = None
        self._sandboxes: dict[str, asyncio.Lock] = {}

    async def run(self) -> None:
        """Hold to Docker, and come back to it whenever it was lost."""
        while True:
            problem = "Docker has ended"
            try:
                async with connected(self._socket) as engine:
                    await self._follow(engine)
            except EngineError as error:
                problem = str(error)
            finally:
                self._engine = None
            absent = not self._socket.exists()
            self._tell(Lost("docker", f"no Docker at {self._socket}" if absent else problem, absent))
            await asyncio.sleep(RETRY_S)

    async def start(self, start: Start) -> None:
        """Start a container, with its image and the pod's network where these are not there; tell what came
        of it.
        """
        try:
            run = await self._start(self._connected(), start)
        except VolumeProblem as error:
            self._tell(NotStarted(start.id, start.attempt, "FailedMount", str(error)))
        except ImageProblem as error:
            self._tell(NotStarted(start.id, start.attempt, "ErrImagePull", str(error)))
        except ValueError as error:
            self._tell(NotStarted(start.id, start.attempt, "CreateContainerError", str(error)))
        except (RuntimeTrouble, EngineError) as error:
            self._tell(NotStarted(start.id, start.attempt, "RunContainerError", str(error)))
        else:
            for event in begun(run):
                self._tell(event)

    async def stop(self, stop: Stop) -> None:
        """End a container; tell that it has."""
        try:
            engine = self._connected()
            try:
                await engine.stop(spec.run_name(stop.id, stop.attempt), stop.grace_s)
            except EngineError as error:
                if error.status not in _NOT_RUNNING:
                    raise
            await self._has_ended(engine, stop.id, stop.attempt)
        except (RuntimeTrouble, EngineError) as error:  # who comes back to Docker finds out
            LOG.error("container not stopped", extra=fields(container=stop.id.container, problem=error))

    async def remove(self, uid: PodUid) -> None:
        """Remove all containers of a pod. Raises :class:`RuntimeTrouble`."""
        if self._engine is None:
            return  # what is left is found when Docker is, and is nobody's then
        try:
            for one in await self._ours(self._engine, f"{spec.UID}={uid}"):
                await self._engine.delete(one["Id"])
            self._sandboxes.pop(uid, None)
        except EngineError as error:
            raise RuntimeTrouble(str(error)) from error

    async def execute(
        self, id: RunId, attempt: int, command: tuple[str, ...], timeout_s: float
    ) -> tuple[int, str]:
        """Run a command in a container. Raises :class:`OSError`."""
        try:
            return await self._connected().execute(spec.run_name(id, attempt), command)
        except (RuntimeTrouble, EngineError) as error:
            raise OSError(str(error)) from error

    async def pid(self, id: RunId, attempt: int) -> int | None:
        """Return the first process of a container; None: it does not run, or Docker does not say."""
        with contextlib.suppress(RuntimeTrouble, EngineError):
            shown = await self._connected().show(spec.run_name(id, attempt))
            return int(shown["State"]["Pid"]) or None
        return None

    async def logs(self, id: RunId, options: LogOptions) -> AsyncGenerator[bytes]:
        """Return the output of the newest run, or of the one before it. Raises :class:`LogProblem`."""
        try:
            engine = self._connected()
            runs = await self._ours(engine, f"{spec.UID}={id.uid}", f"{spec.CONTAINER}={id.container}")
        except (RuntimeTrouble, EngineError) as error:
            raise LogProblem(str(error)) from error
        ids = {_attempt(one): one["Id"] for one in runs}
        wanted = sorted(ids)[-2:-1] if options.previous else sorted(ids)[-1:]
        if not wanted:
            which = "previous run" if options.previous else "run"
            raise LogProblem(f"container {id.container!r} has no {which}")
        return _read(engine, ids[wanted[0]], options)

    async def version(self) -> str | None:
        """Return Docker's version; None: it is not there."""
        with contextlib.suppress(RuntimeTrouble, EngineError):
            return await self._connected().version()
        return None

    async def collect(self, wanted: set[str], now_s: float) -> None:
        """Remove images that this unit has pulled and nothing has used for long."""
        with contextlib.suppress(RuntimeTrouble, EngineError):
            await self._images.collect(self._connected(), wanted, now_s)

    def close(self) -> None:
        """What runs goes on by itself."""

    # How

    async def _follow(self, engine: Engine) -> None:
        """Tell of what is there, and of each end, until Docker goes."""
        async with contextlib.aclosing(engine.ends(f"{spec.OWNER}={self._owner}")) as ends:
            async for labels in ends:
                if labels is None:
                    await self._end_cut_off(engine)
                    runs = [await self._run_of(engine, one["Id"]) for one in await self._ours(engine)]
                    self._engine = engine
                    self._tell(Found("docker", tuple(run for run in runs if run is not None)))
                elif spec.CONTAINER not in labels:
                    await self._end_cut_off(engine, f"{spec.UID}={labels[spec.UID]}")
                else:
                    id = RunId(PodUid(labels[spec.UID]), labels[spec.CONTAINER])
                    await self._has_ended(engine, id, int(labels[spec.ATTEMPT]))

    async def _end_cut_off(self, engine: Engine, *labels: str) -> None:
        """End containers whose pod's network has ended: nobody reaches them any more, nor they others.

        They are started anew together, with another network.
        """
        for one in await self._ours(engine, *labels):
            if one.get("State") != "running" or spec.CONTAINER not in one["Labels"]:
                continue
            network: str = (await engine.show(one["Id"]))["HostConfig"]["NetworkMode"]
            if not network.startswith("container:"):
                continue
            if await engine.is_running(network.removeprefix("container:")):
                continue
            LOG.warning("a pod's network has ended", extra=fields(pod=one["Labels"].get(spec.POD)))
            try:
                await engine.stop(one["Id"], 0)
            except EngineError as error:
                if error.status not in _NOT_RUNNING:
                    raise

    async def _start(self, engine: Engine, start: Start) -> Run:
        pod, wanted = start.pod, start.container
        if wanted.image is None:
            raise ValueError("it has no image")
        places = mounts(wanted, await self._volumes.prepare(pod))
        limits = limits_of(wanted)
        await self._images.have(engine, wanted.image)
        for one in await self._ours(engine, f"{spec.UID}={start.id.uid}", f"{spec.CONTAINER}={wanted.name}"):
            if _attempt(one) != start.attempt - 1:
                await engine.delete(one["Id"])
        network = "host" if pod.spec.host_network else "bridge"
        if spec.has_sandbox(pod):
            network = f"container:{await self._sandbox(engine, pod)}"
        env = variables(pod, wanted, self._address)
        config = spec.container(start, env, places, limits, self._owner, self._address, network)
        id = await self._started(engine, config, spec.run_name(start.id, start.attempt))
        run = await self._run_of(engine, id)
        if run is None:
            raise RuntimeTrouble("Docker does not say that it was started")
        if run.ended is None:
            await self._guard(start, int((await engine.show(id))["State"]["Pid"]))
        return run

    async def _sandbox(self, engine: Engine, pod: Pod) -> str:
        """Return what holds the pod's network, made now if it is not there."""
        async with self._sandboxes.setdefault(pod.metadata.uid, asyncio.Lock()):
            return await self._sandbox_alone(engine, pod)

    async def _sandbox_alone(self, engine: Engine, pod: Pod) -> str:
        name = spec.sandbox_name(pod.metadata.uid)
        try:
            shown = await engine.show(name)
            if shown["State"]["Running"]:
                return shown["Id"]
            await engine.delete(shown["Id"])
        except EngineError as error:
            if error.status != NOT_FOUND:
                raise
        await self._images.have_pause(engine)
        return await self._started(engine, spec.sandbox(pod, pause.NAME, self._owner, self._address), name)

    async def _started(self, engine: Engine, config: dict[str, Any], name: str) -> str:
        """Make and start a container; one that does not start leaves nothing behind."""
        id = await engine.create(config, name)
        try:
            await engine.start(id)
        except EngineError:
            await engine.delete(id)
            raise
        return id

    async def _run_of(self, engine: Engine, id: str) -> Run | None:
        """The run that a container is, with the address that its ports have for probes."""
        shown = await engine.show(id)
        network: str = shown["HostConfig"]["NetworkMode"]
        address = spec.address_of(shown)
        if network.startswith("container:"):
            with contextlib.suppress(EngineError):
                address = spec.address_of(await engine.show(network.removeprefix("container:")))
        return spec.run_of(shown, address or self._address)

    async def _has_ended(self, engine: Engine, id: RunId, attempt: int) -> None:
        try:
            state = (await engine.show(spec.run_name(id, attempt)))["State"]
        except EngineError as error:
            if error.status != NOT_FOUND:
                raise
            self._tell(Stopped(id, attempt, Ended(KILLED, "Removed", "somebody removed its container")))
            return
        if not state["Running"]:
            self._tell(Stopped(id, attempt, spec.ended(state)))

    async def _ours(self, engine: Engine, *labels: str) -> list[dict[str, Any]]:
        return await engine.containers(f"{spec.OWNER}={self._owner}", *labels)

    def _connected(self) -> Engine:
        if self._engine is None:
            raise RuntimeTrouble(f"no Docker answers at {self._socket}")
        return self._engine


def _attempt(listed: dict[str, Any]) -> int:
    text: str = listed["Labels"].get(spec.ATTEMPT, "")
    return int(text) if text.isdecimal() else -1


async def _read(engine: Engine, container: str, options: LogOptions) -> AsyncGenerator[bytes]:
    more: dict[str, Any] = {"timestamps": options.timestamps}
    if options.tail_lines is not None:
        more["tail"] = str(options.tail_lines)
    if options.since_ns is not None:
        more["since"] = f"{options.since_ns / 1e9:.9f}"
    try:
        async for data in engine.output(container, options.follow, **more):
            yield data
    except EngineError as error:
        raise LogProblem(str(error)) from error
