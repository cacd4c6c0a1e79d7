"""What passes an interface, as an ordinary capture sees it."""

import socket
import threading
from contextlib import suppress
from typing import Self

from sim.lab import netns

_ETH_P_ALL = 0x0003
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h
_BUFFER_BYTES = 64 << 20
_STOP_S = 30.0
# struct tpacket_stats: packets seen, packets that found no room
_PACKET_STATISTICS = (263, 6, 8)


class Sniffer:
    """Keeps every frame that passes an interface of a namespace, both ways; fails if it missed one."""

    def __init__(self, namespace: str, interface: str) -> None:
        with netns.inside(namespace):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        self._socket.bind((interface, 0))
        self._socket.settimeout(0.1)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.frames: list[bytes] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(_STOP_S)
        level, option, size = _PACKET_STATISTICS
        missed = int.from_bytes(self._socket.getsockopt(level, option, size)[4:], "little")
        self._socket.close()
        assert not missed, f"the capture missed {missed} frames"

    def _run(self) -> None:
        while not self._stopped.is_set():
            with suppress(TimeoutError):
                self._take()
        self._socket.setblocking(False)
        with suppress(BlockingIOError):
            while True:  # what had come before the end
                self._take()

    def _take(self) -> None:
        self.frames.append(self._socket.recv(1 << 17))
