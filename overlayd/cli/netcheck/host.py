"""What the host itself has to give: TUN, the capability, its UDP ports. I/O: /proc, a device, sockets.

Called by `overlayd.cli.ctl_netcheck`; what the facts mean is said in `verdicts`.
"""

import contextlib
import errno
import fcntl
import os
import re
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

TUN = Path("/dev/net/tun")
_CAP_NET_ADMIN = 12
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_TRIED = b"ovlcheck%d"

TunState: TypeAlias = Literal["works", "there", "missing", "closed", "broken"]
"""``there``: whoever asks may not try it. ``closed``: root may not open it. ``broken``: makes none."""


@dataclass(frozen=True, slots=True)
class Port:
    """A UDP port: free, or why not; ``owner`` is the program that has it, where that can be seen."""

    problem: Literal["", "taken", "no-address", "refused"] = ""
    owner: str | None = None
    said: str | None = None


def tun(device: Path = TUN) -> tuple[TunState, str]:
    """Try to make an interface, which goes at once; return how it went and what the kernel said."""
    if not device.exists():
        return "missing", ""
    try:
        handle = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        root = os.geteuid() == 0
        state: TunState = "closed" if root or error.errno != errno.EACCES else "there"
        return state, error.strerror or ""
    try:
        fcntl.ioctl(handle, _TUNSETIFF, struct.pack("16sH22x", _TRIED, _IFF_TUN | _IFF_NO_PI))
    except OSError as error:
        return ("there" if error.errno == errno.EPERM else "broken"), error.strerror or ""
    finally:
        os.close(handle)
    return "works", ""


def may_have_net_admin(status: Path = Path("/proc/self/status")) -> bool:
    """Whether a process started here can be given CAP_NET_ADMIN: it is within the bounding set."""
    found = re.search(r"^CapBnd:\s*([0-9a-f]+)$", status.read_text("ascii"), re.MULTILINE)
    return found is not None and bool(int(found[1], 16) >> _CAP_NET_ADMIN & 1)


def port(address: str, number: int) -> Port:
    """Try to bind a UDP port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as tried:
            if family == socket.AF_INET6:
                tried.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            tried.bind((address, number))
    except OSError as error:
        match error.errno:
            case errno.EADDRINUSE:
                return Port("taken", owner_of(number), error.strerror)
            case errno.EADDRNOTAVAIL:
                return Port("no-address", None, error.strerror)
            case _:
                return Port("refused", None, error.strerror or str(error))
    return Port()


def owner_of(number: int, proc: Path = Path("/proc")) -> str | None:
    """Return ``name (pid)`` of who has a UDP port in this network namespace; None: it cannot be seen."""
    wanted = f":{number:04X}"
    sockets: set[str] = set()
    for table in ("udp", "udp6"):
        with contextlib.suppress(OSError):
            for line in (proc / "self/net" / table).read_text("ascii").splitlines()[1:]:
                words = line.split()
                if words[1].endswith(wanted):
                    sockets.add(f"socket:[{words[9]}]")
    for process in proc.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(os.readlink(handle) in sockets for handle in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} ({process.name})"
    return None
