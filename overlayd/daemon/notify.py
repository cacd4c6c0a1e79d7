"""Telling systemd how this process stands (sd_notify(3)); without systemd it does nothing.

I/O: one datagram.
"""

import os
import socket
import time
from collections.abc import Sequence


def notify(state: str, descriptors: Sequence[int] = ()) -> None:
    """Send ``state``, such as ``"READY=1"`` or ``"STATUS=waiting for the engine"``; a failure is not
    worth a word.
    """
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.connect(address)
            socket.send_fds(sock, [state.encode()], list(descriptors))
    except OSError:
        return


def reloading() -> str:
    """What to say when a reload begins; ``READY=1`` ends it.

    systemd 252 has no ``Type=notify-reload``, but where it has, it wants the time.
    """
    return f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"
