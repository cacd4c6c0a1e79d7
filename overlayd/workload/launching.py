"""Starting keepers: as units of systemd where that is process 1, by ourselves where it is not. I/O:
processes.

Either way a keeper outlives this unit, and is told to stop by signals; a launcher only gives it a place and
limits. With systemd that is a transient service in a slice of its own, made by ``systemd-run``: it speaks
to process 1 itself, also where no D-Bus daemon runs, and its options are those of the manual.
"""

import asyncio
import contextlib
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Protocol

from overlayd.workload import keeper
from overlayd.workload.cgroups import Cgroups, Place
from overlayd.workload.limits import Limits
from overlayd.workload.messages import RunId

KEEPER = Path(keeper.__file__)
SLICE = "overlayd-pods.slice"
START_WAIT_S = 20.0
_BOOTED = Path("/run/systemd/system")


class LaunchProblem(Exception):
    """A keeper was not started."""


class Launcher(Protocol):
    """How keepers come to run. ``name`` is told to people."""

    name: str

    def place(self, id: RunId, limits: Limits) -> Place:
        """Prepare a place with limits; what the keeper has to know of it is returned."""
        ...

    async def launch(self, id: RunId, folder: Path, limits: Limits, stop_s: float) -> None:
        """Return when the keeper of ``folder`` has said what came of it. Raises :class:`LaunchProblem`."""
        ...

    async def guard(self, id: RunId, lease: Path, pid: int) -> None:
        """Have somebody end process ``pid`` when its lease runs out, whoever else is there by then.

        Raises :class:`LaunchProblem`.
        """
        ...

    async def clear(self, id: RunId) -> None:
        """Remove the place of what has ended."""
        ...

    async def execute(
        self, command: tuple[str, ...], env: dict[str, str], timeout_s: float
    ) -> tuple[int, str]:
        """Run a command beside the pods; return its exit code and output. Raises :class:`TimeoutError`."""
        ...


def chosen_launcher(state_dir: Path) -> Launcher:
    """Return the launcher for this host."""
    return Systemd() if _BOOTED.is_dir() else Direct(state_dir)


class Direct:
    """Without systemd: a daemon of our own for each, limits by cgroups where they can be written."""

    name = "direct"

    def __init__(self, state_dir: Path) -> None:
        own = hashlib.sha256(str(state_dir).encode()).hexdigest()[:8]
        self._cgroups = Cgroups(f"overlayd-{own}")

    def place(self, id: RunId, limits: Limits) -> Place:
        return self._cgroups.make(_joined(id), limits)

    async def launch(self, id: RunId, folder: Path, limits: Limits, stop_s: float) -> None:
        await _ended_well([*_python(), str(KEEPER), str(folder)], folder / "keeper.log")

    async def guard(self, id: RunId, lease: Path, pid: int) -> None:
        await _ended_well([*_python(), *_guard(lease, pid)], None)

    async def clear(self, id: RunId) -> None:
        await asyncio.to_thread(self._cgroups.remove, _joined(id))

    async def execute(
        self, command: tuple[str, ...], env: dict[str, str], timeout_s: float
    ) -> tuple[int, str]:
        return await _output(command, env, timeout_s)


class Systemd:
    """As transient services ``overlayd-pod-UID-CONTAINER.service``."""

    name = "systemd"

    def place(self, id: RunId, limits: Limits) -> Place:
        return Place()

    async def launch(self, id: RunId, folder: Path, limits: Limits, stop_s: float) -> None:
        properties = [
            "Type=notify", "NotifyAccess=main", "KillMode=mixed", f"TimeoutStopSec={stop_s:.0f}",
            "OOMPolicy=continue", f"CPUWeight={limits.weight}", f"TasksMax={limits.processes}",
        ]  # fmt: skip
        if limits.memory_bytes:
            properties += [f"MemoryMax={limits.memory_bytes}", "MemorySwapMax=0"]
        if limits.cpu_milli:
            properties.append(f"CPUQuota={limits.cpu_milli / 10:g}%")
        command = [
            "systemd-run", "--quiet", "--collect", f"--unit={_unit(id)}", f"--slice={SLICE}",
            f"--description=overlayd: {id.container} of pod {id.uid}",
            *(f"--property={one}" for one in properties),
            *_python(), str(KEEPER), str(folder),
        ]  # fmt: skip
        await _ended_well(command, folder / "keeper.log")

    async def guard(self, id: RunId, lease: Path, pid: int) -> None:
        command = [
            "systemd-run", "--quiet", "--collect", f"--unit=overlayd-guard-{_joined(id)}-{pid}.service",
            f"--slice={SLICE}", f"--description=overlayd: lease of {id.container} of pod {id.uid}",
            "--property=Type=notify", "--property=NotifyAccess=main", *_python(), *_guard(lease, pid),
        ]  # fmt: skip
        await _ended_well(command, None)

    async def clear(self, id: RunId) -> None:
        """systemd forgets a unit that has ended."""

    async def execute(
        self, command: tuple[str, ...], env: dict[str, str], timeout_s: float
    ) -> tuple[int, str]:
        """As a unit as well: this process itself stands in a sandbox."""
        run = [
            "systemd-run", "--quiet", "--collect", "--wait", "--pipe", f"--slice={SLICE}",
            f"--property=RuntimeMaxSec={max(1, round(timeout_s))}",
            *(f"--setenv={name}={value}" for name, value in env.items()),
            *(word.replace("$", "$$") for word in command),  # it would put variables in itself
        ]  # fmt: skip
        return await _output(tuple(run), None, timeout_s)


def _python() -> list[str]:
    return [sys.executable, "-I", "-S"]


def _unit(id: RunId) -> str:
    return f"overlayd-pod-{_joined(id)}.service"


def _joined(id: RunId) -> str:
    return f"{id.uid}-{id.container}"


def _guard(lease: Path, pid: int) -> list[str]:
    start = keeper.start_of(pid)
    if start is None:
        raise LaunchProblem(f"process {pid} is not seen from here")
    return [str(KEEPER), "--guard", str(lease), str(pid), str(start)]


async def _ended_well(command: list[str], log: Path | None) -> None:
    """Run a command that comes back soon; what stays behind it goes on writing to ``log``."""
    try:
        with log.open("wb") if log is not None else open(os.devnull, "wb") as said:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said,
                start_new_session=True, cwd="/", env={"PATH": os.defpath, "LANG": "C.UTF-8"},
            )  # fmt: skip
        async with asyncio.timeout(START_WAIT_S):
            code = await process.wait()
    except TimeoutError:
        raise LaunchProblem(f"{command[0]} has not come back within {START_WAIT_S:.0f} s") from None
    except OSError as error:
        raise LaunchProblem(f"{command[0]}: {error.strerror}") from error
    if code != 0:
        lines = log.read_text("utf-8", "replace").strip().splitlines() if log is not None else []
        raise LaunchProblem(f"{Path(command[0]).name} ended with {code}: {lines[-1] if lines else 'no word'}")


async def _output(command: tuple[str, ...], env: dict[str, str] | None, timeout_s: float) -> tuple[int, str]:
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True, cwd="/", env=env,
        )  # fmt: skip
    except OSError as error:
        return keeper.NOT_STARTED, f"{command[0]}: {error.strerror}"
    try:
        async with asyncio.timeout(timeout_s):
            said, _ = await process.communicate()
        return process.returncode or 0, said.decode(errors="replace")
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
