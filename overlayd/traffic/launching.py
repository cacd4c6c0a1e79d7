"""Starts programs that put themselves into the background and outlive this process. I/O: processes.

Within a service of systemd's each is made one of its own (``systemd-run``): the end of ours would take along
what it has started, which would have no rights but ours. The program has those that it needs, in a sandbox
of its own. Everywhere else, as in a namespace, it is a child. Called by `haproxy` and `names`.
"""

import asyncio
import contextlib
import os
import pwd
import signal
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SYSTEMD = Path("/run/systemd/system")
_STOP_S = 5.0
_POLL_S = 0.02
_SANDBOX: Final = (
    "NoNewPrivileges=yes",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "ProtectClock=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectControlGroups=yes",
    "ProtectProc=invisible",
    "PrivateTmp=yes",
    "PrivateMounts=yes",
    "PrivateDevices=yes",
    "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "SystemCallErrorNumber=EPERM",
    "UMask=0077",
    "OOMScoreAdjust=-500",
    "Type=forking",
    "KillMode=mixed",
    f"TimeoutStopSec={_STOP_S:.0f}",
)


@dataclass(frozen=True, slots=True)
class Daemon:
    """One such program, which begins as root and binds its ports before it becomes a user of its own.

    It writes ``pid_file``, in the one folder that it may write to, and its command names the file ``named``.
    """

    name: str
    pid_file: Path
    named: Path
    capabilities: str
    families: str

    async def run(self, command: Sequence[str]) -> str | None:
        """Run ``command`` until it is in the background; return what it said if it failed."""
        if not _within_systemd():
            return await _run(command)
        said = self.pid_file.with_suffix(".said")
        properties = (
            *_SANDBOX,
            f"PIDFile={self.pid_file}",
            f"ReadWritePaths={self.pid_file.parent}",
            f"CapabilityBoundingSet={self.capabilities}",
            f"RestrictAddressFamilies={self.families}",
            f"StandardOutput=truncate:{said}",
            "StandardError=inherit",
        )
        problem = await _run(
            [
                *("systemd-run", "--quiet", "--collect", f"--unit={self._unit}"),
                f"--description=overlayd: {command[0]} for users of applications",
                *(f"--property={one}" for one in properties),
                *command,
            ]
        )
        if problem is None:
            return None
        with contextlib.suppress(OSError):
            problem = said.read_text("utf-8", "replace").strip() or problem
        return problem

    def pid(self) -> int | None:
        """Return the process that wrote the file, if it still lives."""
        try:
            pid = int(self.pid_file.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()  # empty once it has ended
        except (OSError, ValueError):
            return None
        return pid if str(self.named).encode() in command else None

    async def reread(self) -> None:
        """Have it read its files anew. Nothing if it does not run."""
        if _within_systemd():  # it is another user's, whom only systemd may signal
            await _run(["systemctl", "kill", "--kill-whom=main", "--signal=SIGHUP", self._unit])
        elif (pid := self.pid()) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGHUP)

    async def stop(self) -> None:
        """End it, at last by force. Nothing if it does not run."""
        if _within_systemd():
            await _run(["systemctl", "stop", self._unit])
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            if (pid := self.pid()) is None:
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STOP_S):
                    while self.pid() == pid:
                        await asyncio.sleep(_POLL_S)

    @property
    def _unit(self) -> str:
        return f"{self.name}.service"


def user_for(name: str, directory: Path) -> str | None:
    """Return ``name`` if there is such a user, whom all folders down to ``directory`` let pass; else None."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return None
    passable = all(folder.stat().st_mode & stat.S_IXOTH for folder in (directory, *directory.parents))
    return name if passable else None


def _within_systemd() -> bool:
    """Whether systemd has started this process and waits for its word; its services share its network."""
    return _SYSTEMD.is_dir() and "NOTIFY_SOCKET" in os.environ


async def _run(command: Sequence[str]) -> str | None:
    """Run a command that comes back soon; return what it said if it failed."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return f"{command[0]}: {error.strerror}"
    said, _ = await process.communicate()
    return (
        None
        if process.returncode == 0
        else said.decode(errors="replace").strip() or f"exit {process.returncode}"
    )
