"""Plain processes of pods: each with a keeper of its own, which outlives this unit. I/O: files, processes.

``FOLDER/UID/CONTAINER/ATTEMPT/`` has what the keeper reads and writes (`overlayd.workload.keeper`); the
newest run and the one before it are kept. After a restart of this unit, however it came, keepers are found
there and known by process id, start and boot; nothing is started anew. Called by `overlayd.workload.unit`.
"""

import asyncio
import contextlib
import dataclasses
import os
import re
import shutil
import signal
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from overlayd.workload import keeper
from overlayd.workload.environment import PATH, Mount, expanded, mounts, variables
from overlayd.workload.errors import LogProblem
from overlayd.workload.launching import Launcher, LaunchProblem
from overlayd.workload.limits import limits_of
from overlayd.workload.logs import LogOptions, read_files
from overlayd.workload.messages import (
    KILLED,
    LEASE,
    Ended,
    Event,
    Found,
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

STARTING_WAIT_S = 2.0
_T = TypeVar("_T")
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class _Spec(msgspec.Struct):
    """What a keeper reads, and what of a run this unit has to know again."""

    digest: str
    command: list[str]
    env: dict[str, str]
    cwd: str
    grace_s: float
    mounts: list[Mount]
    cgroups: tuple[str, ...]
    oom: str
    lease: str


class _Running(msgspec.Struct):
    keeper: int
    start: int
    boot: str
    pid: int
    started_ns: int


class _Exit(msgspec.Struct):
    code: int
    reason: str
    message: str
    finished_ns: int


class Processes:
    """``leases`` has the files that say until when a pod may run; ``address`` is told to processes, and
    probed.
    """

    def __init__(
        self,
        folder: Path,
        launcher: Launcher,
        volumes: Volumes,
        leases: Path,
        address: str,
        tell: Callable[[Event], None],
    ) -> None:
        self._folder = folder
        self._launcher = launcher
        self._volumes = volumes
        self._leases = leases
        self._address = address
        self._tell = tell
        self._keepers: dict[RunId, tuple[int, int]] = {}

    async def run(self) -> None:
        """Tell of everything that is here, and watch what runs."""
        runs: list[Run] = []
        for folder in sorted(self._folder.glob("*/*/*")):
            if folder.name.isdecimal() and (run := await self._found(folder)) is not None:
                runs.append(run)
        self._tell(Found("process", tuple(runs)))
        await asyncio.Event().wait()

    async def start(self, start: Start) -> None:
        """Start a process; tell what came of it, and its end apart from that however soon it came."""
        try:
            came = await self._start(start)
        except (LaunchProblem, VolumeProblem, ValueError) as error:
            self._tell(NotStarted(start.id, start.attempt, "CreateContainerError", str(error)))
        except OSError as error:
            problem = f"{error.filename or self._folder}: {error.strerror}"
            self._tell(NotStarted(start.id, start.attempt, "CreateContainerError", problem))
        else:
            for event in begun(came) if isinstance(came, Run) else (came,):
                self._tell(event)

    async def stop(self, stop: Stop) -> None:
        """Ask a process to end, and make it after the grace period; its keeper would as well, on its own."""
        self._signal(stop.id, stop.attempt, signal.SIGTERM if stop.grace_s > 0 else signal.SIGUSR1)
        if stop.grace_s > 0:
            loop = asyncio.get_running_loop()
            loop.call_later(stop.grace_s, self._signal, stop.id, stop.attempt, signal.SIGUSR1)

    async def remove(self, uid: PodUid) -> None:
        """Remove what is left of a pod's processes. Raises :class:`RuntimeTrouble`."""
        for container in self._folder.glob(f"{uid}/*"):
            await self._launcher.clear(RunId(uid, container.name))
        try:
            if (self._folder / uid).exists():
                await asyncio.to_thread(shutil.rmtree, self._folder / uid)
        except OSError as error:
            raise RuntimeTrouble(f"{error.filename}: {error.strerror}") from error

    async def execute(
        self, id: RunId, attempt: int, command: tuple[str, ...], timeout_s: float
    ) -> tuple[int, str]:
        """Run a command with the variables of a process; return exit code and output."""
        spec = _read(self._attempt(id, attempt) / "spec.json", _Spec)
        return await self._launcher.execute(command, spec.env if spec is not None else {}, timeout_s)

    async def pid(self, id: RunId, attempt: int) -> int | None:
        """Return the process that a run is; None: it does not run."""
        known = self._keepers.get(id)
        running = _read(self._attempt(id, attempt) / "run.json", _Running)
        return running.pid if running is not None and known is not None and known[0] == attempt else None

    async def logs(self, id: RunId, options: LogOptions) -> AsyncGenerator[bytes]:
        """Return the output of the newest run, or of the one before it. Raises :class:`LogProblem`."""
        attempts = self._attempts(id)
        wanted = attempts[-2:-1] if options.previous else attempts[-1:]
        if not wanted:
            which = "previous run" if options.previous else "run"
            raise LogProblem(f"container {id.container!r} has no {which}")
        folder = self._attempt(id, wanted[0])
        files = (folder / "log.1", folder / "log")
        return read_files(files, options, lambda: not (folder / "exit.json").exists())

    async def version(self) -> str | None:
        return self._launcher.name

    def close(self) -> None:
        """Watch no more; what runs goes on."""
        for _, pidfd in self._keepers.values():
            asyncio.get_running_loop().remove_reader(pidfd)
            os.close(pidfd)
        self._keepers.clear()

    async def _start(self, start: Start) -> Run | NotStarted:
        folder = self._attempt(start.id, start.attempt)
        for attempt in self._attempts(start.id):
            if attempt < start.attempt - 1 or attempt == start.attempt:
                await asyncio.to_thread(shutil.rmtree, self._attempt(start.id, attempt))
        limits = limits_of(start.container)
        env = {"PATH": PATH, **variables(start.pod, start.container, self._address)}
        place = self._launcher.place(start.id, limits)
        grace_s = float(start.pod.spec.termination_grace_period_seconds)
        leased = LEASE in start.pod.metadata.annotations
        spec = _Spec(
            digest=start.digest,
            command=[expanded(one, env) for one in (*start.container.command, *start.container.args)],
            env=env,
            cwd=start.container.working_dir or "/",
            grace_s=grace_s,
            mounts=mounts(start.container, await self._volumes.prepare(start.pod)),
            cgroups=place.procs,
            oom=place.oom,
            lease=str(self._leases / start.id.uid) if leased else "",
        )
        if not spec.command:
            raise ValueError("it has neither an image nor a command")
        folder.mkdir(parents=True, mode=0o700)
        (folder / "spec.json").touch(mode=0o600)  # variables may be secrets
        (folder / "spec.json").write_bytes(msgspec.json.encode(spec))
        await self._launcher.launch(start.id, folder, limits, grace_s + 5)
        run = await self._found(folder)
        if run is None:
            ended = _read(folder / "exit.json", _Exit)
            problem = ended.message if ended is not None else "its keeper has said nothing"
            return NotStarted(start.id, start.attempt, "StartError", problem)
        return run

    async def _found(self, folder: Path) -> Run | None:
        """The run of a folder, which is watched from here on if it goes on; None: nothing was started."""
        id = RunId(PodUid(folder.parent.parent.name), folder.parent.name)
        attempt = int(folder.name)
        spec = _read(folder / "spec.json", _Spec)
        if spec is None:
            return None
        until = asyncio.get_running_loop().time() + STARTING_WAIT_S
        while not ((folder / "run.json").exists() or (folder / "exit.json").exists()):
            if asyncio.get_running_loop().time() > until:
                await asyncio.to_thread(shutil.rmtree, folder)
                return None
            await asyncio.sleep(0.02)  # a keeper that is just starting
        running = _read(folder / "run.json", _Running)
        if running is None:
            return None
        run = Run(id, attempt, spec.digest, "process", running.started_ns, address=self._address)
        if _read(folder / "exit.json", _Exit) is None and self._watch(id, attempt, folder, running):
            return run
        return dataclasses.replace(run, ended=_end_of(folder, running))

    def _watch(self, id: RunId, attempt: int, folder: Path, running: _Running) -> bool:
        """Be told when a keeper ends; False: it has."""
        if running.boot != keeper.boot_id():
            return False
        try:
            pidfd = os.pidfd_open(running.keeper)
        except OSError:
            return False
        if keeper.start_of(running.keeper) != running.start:
            os.close(pidfd)
            return False
        self._forget(id)
        self._keepers[id] = (attempt, pidfd)
        asyncio.get_running_loop().add_reader(pidfd, self._ended, id, attempt, folder, running)
        return True

    def _ended(self, id: RunId, attempt: int, folder: Path, running: _Running) -> None:
        self._forget(id)
        self._tell(Stopped(id, attempt, _end_of(folder, running)))

    def _signal(self, id: RunId, attempt: int, number: int) -> None:
        known = self._keepers.get(id)
        if known is not None and known[0] == attempt:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(known[1], number)

    def _forget(self, id: RunId) -> None:
        known = self._keepers.pop(id, None)
        if known is not None:
            asyncio.get_running_loop().remove_reader(known[1])
            os.close(known[1])

    def _attempt(self, id: RunId, attempt: int) -> Path:
        """The folder of a run. Raises :class:`ValueError` for names that would leave ours."""
        if not (_SAFE.fullmatch(id.uid) and _SAFE.fullmatch(id.container)):
            raise ValueError(f"{id.uid!r} or {id.container!r} is no name for a folder")
        return self._folder / id.uid / id.container / str(attempt)

    def _attempts(self, id: RunId) -> list[int]:
        return sorted(
            int(one.name) for one in (self._folder / id.uid / id.container).glob("*") if one.name.isdecimal()
        )


def _end_of(folder: Path, running: _Running) -> Ended:
    ended = _read(folder / "exit.json", _Exit)
    if ended is not None:
        return Ended(ended.code, ended.reason, ended.message, ended.finished_ns)
    finished_ns = max((one.stat().st_mtime_ns for one in folder.glob("log")), default=running.started_ns)
    if running.boot != keeper.boot_id():
        return Ended(KILLED, "Rebooted", "the host has started anew", finished_ns)
    return Ended(KILLED, "Killed", "its keeper was killed, and it with that", finished_ns)


def _read(file: Path, kind: type[_T]) -> _T | None:
    """None: it is not there, or not what it should be."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError):
        return None
