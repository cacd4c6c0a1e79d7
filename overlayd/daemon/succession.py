"""A new process in the place of a running one: it loads while the old one still does the work.

The old process starts the program as it stands on disk now (:class:`Heir`) and goes on until that has loaded
all it needs; then it lets go of everything, names the heir to systemd as the unit's main process, and ends.
Descriptors are inherited under the names that systemd keeps them by, so that the heir finds them as a process
does that systemd started (`overlayd.daemon.fd_store`). An heir that does not come up changes nothing (ADR
24). Called by `overlayd.daemon.engine`. I/O: processes, a socket pair.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Self

from overlayd.daemon.errors import StartError
from overlayd.daemon.notify import notify

LOADED_WITHIN_S = 30.0
STARTED_WITHIN_S = 30.0
_VARIABLE = "OVERLAYD_PREDECESSOR"
_GO = b"go"
_PID_BYTES = 32


class NoHeir(StartError):
    """The new process did not come up; the old one goes on."""


class Heir:
    """A process that waits to take over. Every method blocks."""

    def __init__(self, channel: socket.socket, pid: int) -> None:
        self._channel = channel
        self.pid = pid

    @classmethod
    def start(cls, descriptors: Mapping[str, int]) -> Self:
        """Start this very command anew and wait until it has loaded. Raises :class:`NoHeir`."""
        ours, theirs = socket.socketpair()
        told = json.dumps({"channel": theirs.fileno(), "left": dict(descriptors)})
        ours.settimeout(LOADED_WITHIN_S)
        try:
            with theirs:
                started = subprocess.Popen(
                    [sys.executable, *sys.orig_argv[1:]],
                    pass_fds=(theirs.fileno(), *descriptors.values()),
                    env={**os.environ, _VARIABLE: told},
                )
            pid = int(ours.recv(_PID_BYTES))
            started.wait(LOADED_WITHIN_S)
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            ours.close()
            raise NoHeir("the new process did not come up; its own lines say why") from error
        return cls(ours, pid)

    def take_over(self) -> None:
        """Have it begin; return once it has, or has failed, which is systemd's to see then."""
        notify(f"MAINPID={self.pid}")
        self._channel.settimeout(STARTED_WITHIN_S)
        with contextlib.suppress(OSError):
            self._channel.send(_GO)
            self._channel.recv(1)
        self._channel.close()

    def dismiss(self) -> None:
        """End it: the old process was told to stop meanwhile."""
        self._channel.close()


@dataclass(frozen=True, slots=True)
class Predecessor:
    """The process whose place this one is to take, and the descriptors that it leaves, by name."""

    channel: socket.socket
    left: dict[str, int]

    @classmethod
    def of(cls, environment: MutableMapping[str, str]) -> Self | None:
        """Return who started this process to have an heir; None: nobody did."""
        told = environment.pop(_VARIABLE, None)
        if told is None:
            return None
        found = json.loads(told)
        for descriptor in found["left"].values():
            os.set_inheritable(descriptor, False)
        return cls(socket.socket(fileno=found["channel"]), found["left"])

    def wait(self) -> bool:
        """Say that all is loaded, and wait for the word; whether it came.

        The process that returns is another, a child of systemd's as one that systemd has started: the one
        that was called ends here. So it may have no threads yet.
        """
        if os.fork():
            os._exit(0)
        self.channel.send(str(os.getpid()).encode())
        return self.channel.recv(len(_GO)) == _GO

    def let_go(self) -> None:
        """Tell it that its place is taken."""
        self.channel.close()
