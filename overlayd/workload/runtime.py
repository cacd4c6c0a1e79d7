"""What every runtime does, whatever it runs: the one list of what the unit may ask of it."""

from collections.abc import AsyncGenerator
from typing import Protocol

from overlayd.workload.logs import LogOptions
from overlayd.workload.messages import PodUid, RunId, Start, Stop


class RuntimeTrouble(Exception):
    """A runtime did not do what it was asked; it may be asked again."""


class Runtime(Protocol):
    """Tells of what it has and what becomes of it by the events of `overlayd.workload.messages`."""

    async def run(self) -> None:
        """Find what there is, say so (``Found``, or ``Lost``), and watch it until cancelled."""
        ...

    async def start(self, start: Start) -> None:
        """Start a run; its outcome is told."""
        ...

    async def stop(self, stop: Stop) -> None:
        """End a run; its end is told."""
        ...

    async def remove(self, uid: PodUid) -> None:
        """Remove what is left of a pod whose runs have ended. Raises :class:`RuntimeTrouble`."""
        ...

    async def execute(
        self, id: RunId, attempt: int, command: tuple[str, ...], timeout_s: float
    ) -> tuple[int, str]:
        """Run a command where a run is; return exit code and output."""
        ...

    async def pid(self, id: RunId, attempt: int) -> int | None:
        """Return the process that a run is, for what the kernel tells of it; None: it does not run."""
        ...

    async def logs(self, id: RunId, options: LogOptions) -> AsyncGenerator[bytes]:
        """Return the output of a run. Raises :class:`overlayd.workload.errors.LogProblem`."""
        ...

    async def version(self) -> str | None:
        """What people are told that is there; None: nothing."""
        ...

    def close(self) -> None:
        """Watch no more; what runs goes on."""
        ...
