"""Descriptors that systemd keeps for the next life of this process (sd_listen_fds(3), FDSTORE).

An interface and sockets that never close lose no address, route or port in an upgrade or a crash, and what
arrives meanwhile waits in them. Called by `overlayd.daemon.engine`. Without systemd nothing is kept. I/O.
"""

import contextlib
import fcntl
import os
from collections.abc import Collection, Mapping, MutableMapping
from typing import Self

from overlayd.daemon.notify import notify

_FIRST = 3
_TUNGETIFF = 0x800454D2
_IFREQ_BYTES = 40


class FdStore:
    """What the life before left, by name, and a place for the next one's. ``keeps``: there is a systemd."""

    def __init__(self, left: dict[str, int], *, keeps: bool) -> None:
        self._stored = frozenset(left)
        self._left = left
        self._life_before = bool(left)
        self.keeps = keeps

    @property
    def left_something(self) -> bool:
        """Whether there was a life before."""
        return self._life_before

    @classmethod
    def inherit(cls, environment: MutableMapping[str, str]) -> Self:
        """Take over what systemd handed to this very process; children are not to believe it is theirs."""
        pid, count, names = (environment.pop(f"LISTEN_{key}", "") for key in ("PID", "FDS", "FDNAMES"))
        left: dict[str, int] = {}
        if pid == str(os.getpid()) and count.isdecimal():
            for descriptor, name in zip(range(_FIRST, _FIRST + int(count)), names.split(":"), strict=False):
                os.set_inheritable(descriptor, False)
                left[name] = descriptor
        return cls(left, keeps="NOTIFY_SOCKET" in environment)

    def take(self, name: str) -> int | None:
        """Return what the life before kept as ``name``; it is the caller's to close."""
        return self._left.pop(name, None)

    def take_queue(self, name: str, interface: str) -> int | None:
        """Take a queue of ``interface``; None as well if the interface is not there any more."""
        descriptor = self._left.get(name)
        if descriptor is None or _interface_of(descriptor) != interface:
            return None
        return self.take(name)

    def forget(self, wanted: Collection[str]) -> bool:
        """Close what the life before left and this one has no use for; whether there was any.

        Before anything is opened: a socket that is kept, bound to all addresses, stands in the way of one
        for some of them. systemd closes its own copy some moments later.
        """
        unwanted = self._left.keys() - set(wanted)
        for name in unwanted:
            notify(f"FDSTOREREMOVE=1\nFDNAME={name}")
            os.close(self._left.pop(name))
        self._stored -= unwanted
        return bool(unwanted)

    def settle(self, used: Mapping[str, int]) -> None:
        """Have exactly ``used`` kept for the next life, and close what nobody took of the life before.

        A queue without a reader would swallow its share of the packets, and one of an interface that was
        deleted would stand in the way of its successor's. None is watched: an ICMP error that waits in a
        socket is no end of it.
        """
        kept = (self._stored - self._left.keys()) & used.keys()
        for name in self._stored - kept:
            notify(f"FDSTOREREMOVE=1\nFDNAME={name}")
        for name, descriptor in used.items():
            if name not in kept:
                notify(f"FDSTORE=1\nFDPOLL=0\nFDNAME={name}", [descriptor])
        for descriptor in self._left.values():
            os.close(descriptor)
        self._left.clear()


def _interface_of(descriptor: int) -> str | None:
    """The interface that a queue belongs to; None: it was deleted."""
    with contextlib.suppress(OSError):
        answer = fcntl.ioctl(descriptor, _TUNGETIFF, bytes(_IFREQ_BYTES))
        return answer.partition(b"\0")[0].decode("ascii", "replace")
    return None
