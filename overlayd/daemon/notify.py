"""Telling systemd how this process stands (sd_notify(3)); without systemd it does nothing. I/O: one
datagram.
"""

import os
import socket


def notify(state: str) -> None:
    """Send ``state``, such as ``"READY=1"`` or ``"STATUS=waiting for the engine"``; a failure is not
    worth a word.
    """
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.sendto(state.encode(), address)
    except OSError:
        return
