"""Processes of a lab: started in a namespace with a log file, known by pid and start time, stopped by both.
I/O.

The start time guards against a pid that the kernel has given to somebody else since. Called by `runner`.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sim.lab import netns
from sim.lab.errors import LabError

Tell = Callable[[str], None]
"""Takes one line of progress."""

_STOP_S = 5.0


@dataclass(frozen=True, slots=True)
class Process:
    """A running process; ``started`` is the kernel's start time in clock ticks since boot."""

    name: str
    pid: int
    started: int


def start(name: str, namespace: str, command: Sequence[str], log: Path) -> Process:
    """Start a process in a namespace, in a session of its own, its output appended to a log file."""
    with log.open("ab") as output, netns.inside(namespace):
        try:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        except OSError as error:
            raise LabError(f"{name}: cannot start {command[0]}: {error.strerror}") from error
    # Whether it lives is asked of the kernel, here and in later calls of the command line alike.
    child.returncode = 0
    started = known(name, child.pid)
    if started is None:
        raise LabError(f"{name}: ended at once; see {log}")
    return started


def known(name: str, pid: int) -> Process | None:
    """A process that runs, by its number; None where there is none."""
    started = _started(pid)
    return None if started is None else Process(name, pid, started)


def run(namespace: str, command: Sequence[str], timeout_s: float = 60.0) -> str:
    """Run a command in a namespace to its end; answers what it wrote. Raises :class:`LabError` with its
    errors.
    """
    with netns.inside(namespace):
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s
            )
        except OSError as error:
            raise LabError(f"{namespace}: {' '.join(command)}: {error.strerror}") from error
        except subprocess.TimeoutExpired:
            raise LabError(f"{namespace}: {' '.join(command)}: no end after {timeout_s:g} s") from None
    if done.returncode:
        text = " ".join((done.stderr or done.stdout).split()) or f"exit code {done.returncode}"
        raise LabError(f"{namespace}: {' '.join(command)}: {text}")
    return done.stdout


def alive(process: Process) -> bool:
    return _started(process.pid) == process.started


def stop(processes: Sequence[Process]) -> None:
    """Ask processes to end, all at once; after 5 s end them. Those that are gone are left alone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        left = [process for process in processes if alive(process)]
        for process in left:
            _signal(process.pid, number)
        deadline = time.monotonic() + _STOP_S
        while any(map(alive, left)) and time.monotonic() < deadline:
            time.sleep(0.02)


def stop_all_in(namespace: str) -> None:
    """Stop whatever runs in a namespace of a lab, be it started by the lab or by its commands."""
    pids = [pid for pid in netns.processes(namespace) if pid != os.getpid()]
    found = [(pid, _started(pid)) for pid in pids]
    stop([Process(namespace, pid, started) for pid, started in found if started is not None])


def kill(process: Process) -> None:
    """End a process at once, without a word to it."""
    if alive(process):
        _signal(process.pid, signal.SIGKILL)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it ended meanwhile


def _started(pid: int) -> int | None:
    """When a process started; None where it has ended, a zombie of ours included (which is laid to rest)."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass  # not our child: a later command of the command line than the one that started it
    try:
        # The second field, the name in parentheses, may contain anything; the state follows it.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])
