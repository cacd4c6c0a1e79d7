"""Who is at the other end of a Unix socket, as the kernel saw it connect (SO_PEERCRED in unix(7))."""

import socket
import struct

_CREDENTIALS = struct.Struct("iII")


def peer_of(connection: socket.socket) -> tuple[int, int]:
    """Return the user and the group of the process that connected."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, gid = _CREDENTIALS.unpack(raw)
    return uid, gid
