"""Engine and agent, and workload where it is configured, as children of one process, for a plain host or a
lab; systemd runs them as units of their own.

A child that dies is started again and the others never notice. Called by `overlayd.cli.daemon`. I/O:
processes.
"""

import asyncio
import contextlib
import ctypes
import logging
import signal
import sys
import time
from collections.abc import Sequence

from overlayd.daemon.config import Configuration
from overlayd.daemon.log import fields, set_up

LOG = logging.getLogger(__name__)
FIRST_BACK_OFF_S = 0.2
LAST_BACK_OFF_S = 5.0
WELL_AFTER_S = 10.0
"""A child that has run for so long begins with the first back-off again."""
STOP_WAIT_S = 5.0
_USAGE = 2
_PR_SET_PDEATHSIG = 1


def run(configuration: Configuration, arguments: Sequence[str]) -> int:
    """Run all children with ``arguments`` until told to stop; return the exit code."""
    set_up("run", configuration.log.level, configuration.log.format)
    command = [sys.executable, "-m", "overlayd.cli.daemon"]
    roles = ("engine", "agent", *(("workload",) if configuration.workload is not None else ()))
    children = [Child(role, [*command, role, *arguments]) for role in roles]
    return asyncio.run(supervise(children))


class Child:
    """A command that is kept running."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        self._command = command
        self._process: asyncio.subprocess.Process | None = None

    async def keep_running(self) -> int:
        """Start again and again; return only if the first run ends with exit code 2, as the next would.

        A configuration that is spoilt later costs a restart of this child, but never the other one.
        """
        back_off_s = FIRST_BACK_OFF_S
        first = True
        while True:
            started = time.monotonic()
            code = await self._run_once()
            if code == _USAGE and first:
                return code
            first = False
            if time.monotonic() - started >= WELL_AFTER_S:
                back_off_s = FIRST_BACK_OFF_S
            LOG.error(f"{self.name} ended", extra=fields(exit=code, again_in_s=back_off_s))
            await asyncio.sleep(back_off_s)
            back_off_s = min(2 * back_off_s, LAST_BACK_OFF_S)

    async def stop(self) -> None:
        """Ask the process to end; insist after a while."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_WAIT_S)
            except TimeoutError:
                LOG.error(f"{self.name} does not end; killing it")
                process.kill()
                await process.wait()

    def reload(self) -> None:
        """Have the process read its configuration anew."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGHUP)

    async def _run_once(self) -> int:
        self._process = await asyncio.create_subprocess_exec(*self._command, preexec_fn=_prepare)
        LOG.info(f"{self.name} started", extra=fields(pid=self._process.pid))
        return await self._process.wait()


async def supervise(children: Sequence[Child]) -> int:
    """Keep ``children`` running until SIGTERM or SIGINT (0), or until one ends with 2 at its first start."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _reload, children)
    kept = [asyncio.create_task(child.keep_running()) for child in children]
    told = asyncio.create_task(stopped.wait())
    done, _ = await asyncio.wait([*kept, told], return_when=asyncio.FIRST_COMPLETED)
    for task in (*kept, told):
        task.cancel()
    # The agent goes first: it says farewell to the controller while packets still pass.
    for child in reversed(children):
        await child.stop()
    return 0 if told in done else _USAGE


def _reload(children: Sequence[Child]) -> None:
    for child in children:
        child.reload()


def _prepare() -> None:
    """Have the child die with its parent, and a reload pass by before it listens to one.

    Else a supervisor that is killed would leave an engine behind that the next one cannot replace.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
