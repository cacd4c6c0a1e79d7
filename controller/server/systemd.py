"""Telling systemd that the service is up: sd_notify(3) in ten lines, so that no library is needed. I/O:
one datagram.
"""

import os
import socket


def notify(state: str) -> None:
    """Send ``state`` (``"READY=1"``) to the service manager, if there is one."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.connect(address)
        channel.sendall(state.encode())
