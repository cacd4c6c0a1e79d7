"""Starts programs that put themselves into the background and outlive this process. I/O: processes.

Where systemd runs, each gets a scope of its own, for a service's end takes all of its control group along.
Called by `haproxy` and `names`.
"""

import asyncio
import contextlib
import os
import pwd
import signal
import stat
from collections.abc import Sequence
from pathlib import Path

_SYSTEMD = Path("/run/systemd/system")
_STOP_S = 5.0
_POLL_S = 0.02


async def run_daemon(name: str, command: Sequence[str]) -> str | None:
    """Run ``command`` until it has put itself into the background; return what it said if it failed."""
    if _SYSTEMD.is_dir():
        command = ["systemd-run", "--scope", "--quiet", "--collect", f"--unit={name}", *command]
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


def pid_of(pid_file: Path, named: Path) -> int | None:
    """Return the process that wrote ``pid_file``, if it still lives: its command names the file ``named``."""
    try:
        pid = int(pid_file.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()  # empty once it has ended
    except (OSError, ValueError):
        return None
    return pid if str(named).encode() in command else None


async def stop_daemon(pid_file: Path, named: Path) -> None:
    """End the process of ``pid_file``, at last by force. Nothing if it does not run."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if (pid := pid_of(pid_file, named)) is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_S):
                while pid_of(pid_file, named) == pid:
                    await asyncio.sleep(_POLL_S)


def user_for(name: str, directory: Path) -> str | None:
    """Return ``name`` if there is such a user, whom all folders down to ``directory`` let pass; else None."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return None
    passable = all(folder.stat().st_mode & stat.S_IXOTH for folder in (directory, *directory.parents))
    return name if passable else None
