"""Programs that load a tunnel and time what comes out: ``python -m tests.network.load ROLE …``.

Each role is a process of its own, so that none slows another down: ``flood`` sends as much UDP as it is told,
``push`` as much TCP as is taken, ``sink`` counts what arrives of both, ``tick`` sends small numbered packets,
``watch`` times them. Started by `narrow` in the namespaces of its hosts. I/O.
"""

import json
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress

UDP_SEGMENT = 103
SO_SNDBUFFORCE, SO_RCVBUFFORCE, SO_TIMESTAMPNS = 32, 33, 35
PIECES = 40
FLOOD_PORT, PUSH_PORT, TICK_PORT = 5301, 5302, 5303
TICK = struct.Struct(">Qq")
TICK_BYTES = 100
BUFFER = 16 << 20


def flood(target: str, rate_bps: int, seconds: float, size: int) -> None:
    """UDP payloads of ``size`` bytes; the rate counts their IP packets."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, size)
        out.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, BUFFER)
        out.connect((target, FLOOD_PORT))
        burst = bytes(size * PIECES)
        begin, sent = time.monotonic(), 0
        while (passed := time.monotonic() - begin) < seconds:
            due = int(passed * rate_bps / ((size + 28) * 8 * PIECES))
            if due <= sent:
                time.sleep(0.0005)
            for _ in range(due - sent):
                try:
                    out.send(burst)
                except (BlockingIOError, ConnectionRefusedError, OSError):
                    pass  # lost before it reached the tunnel: it was offered all the same
            sent = max(sent, due)
    print(json.dumps({"sent": sent * PIECES}))


def push(target: str, seconds: float, control: str = "") -> None:
    """One TCP stream, by the congestion control of that name or the system's own."""
    chunk = bytes(1 << 16)
    end = time.monotonic() + seconds
    with socket.socket() as out:
        if control:
            out.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, control.encode())
        out.connect((target, PUSH_PORT))
        out.settimeout(1.0)
        while time.monotonic() < end:
            with suppress(TimeoutError):
                out.send(chunk)


def tick(target: str, rate: int, seconds: float) -> None:
    """Small packets at an even pace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.connect((target, TICK_PORT))
        begin = time.monotonic()
        for number in range(int(rate * seconds)):
            time.sleep(max(0.0, begin + number / rate - time.monotonic()))
            out.send(TICK.pack(number, time.time_ns()).ljust(TICK_BYTES, b"\0"))


def sink(address: str) -> None:
    """Payload bytes that arrived, by tenths of a second since the Epoch."""
    bins: dict[int, int] = {}
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.create_server((address, PUSH_PORT)) as tcp,
    ):
        udp.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        udp.bind((address, FLOOD_PORT))
        readers = [udp, tcp]
        ready()
        buffer = bytearray(1 << 18)

        def turn() -> None:
            for reader in select.select(readers, [], [], 0.1)[0]:
                if reader is tcp:
                    readers.append(tcp.accept()[0])
                    continue
                for _ in range(64):
                    try:
                        count = reader.recv_into(buffer, 0, socket.MSG_DONTWAIT)
                    except OSError:
                        break
                    if not count:
                        readers.remove(reader)
                        break
                    place = time.time_ns() // 100_000_000
                    bins[place] = bins.get(place, 0) + count

        until_told(turn)
    print(json.dumps({"bytes": sorted(bins.items())}))


def watch(address: str) -> None:
    """When each small packet was sent, and after how long the kernel received it, in ns."""
    came: list[tuple[int, int]] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        udp.bind((address, TICK_PORT))
        ready()

        def turn() -> None:
            if not select.select([udp], [], [], 0.1)[0]:
                return
            data, ancillary, *_ = udp.recvmsg(2048, 128)
            seconds, nanos = struct.unpack("qq", ancillary[0][2])
            _, sent = TICK.unpack_from(data)
            came.append((sent, seconds * 1_000_000_000 + nanos - sent))

        until_told(turn)
    print(json.dumps({"came": came}))


def ready() -> None:
    """Tell who started this that it may send."""
    print("ready", flush=True)


def until_told(turn: Callable[[], None]) -> None:
    """Repeat until SIGTERM."""
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    while not told:
        turn()


def main() -> None:
    match sys.argv[1:]:
        case ["flood", target, rate_bps, seconds, size]:
            flood(target, int(rate_bps), float(seconds), int(size))
        case ["push", target, seconds, *control]:
            push(target, float(seconds), *control)
        case ["tick", target, rate, seconds]:
            tick(target, int(rate), float(seconds))
        case ["sink", address]:
            sink(address)
        case ["watch", address]:
            watch(address)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
