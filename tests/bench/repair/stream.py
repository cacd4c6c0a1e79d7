"""A stream of numbered UDP packets and its receiver: ``python -m tests.bench.repair.stream send|receive``.

``send ADDRESS PORT INTERVAL_US COUNT`` sends them at times that do not drift. ``receive PORT`` says "ready"
and, once it is asked to end, tells as JSON of each first copy its number, when it was sent and when the
kernel had it, in nanoseconds of the machine's clock. Started by `live`. I/O.
"""

import json
import signal
import socket
import struct
import sys
import time

from tests.bench.repair.line import PAYLOAD_BYTES

HEADER = struct.Struct("!QQ")
SO_TIMESTAMPNS = 35
"""Of Linux; Python has no name for it. The message has the same number."""
TIMESPEC = struct.Struct("@qq")


def send(address: str, port: int, interval_us: int, count: int) -> None:
    """Send ``count`` packets, one each ``interval_us``; one that is late goes at once."""
    padding = bytes(PAYLOAD_BYTES - HEADER.size)
    start_ns = time.monotonic_ns()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for number in range(count):
            wait_ns = start_ns + number * interval_us * 1000 - time.monotonic_ns()
            if wait_ns > 0:
                time.sleep(wait_ns / 1e9)
            out.sendto(HEADER.pack(number, time.time_ns()) + padding, (address, port))


def receive(port: int) -> None:
    """Note what arrives until a signal comes."""
    came: dict[int, tuple[int, int]] = {}

    def end(*_: object) -> None:
        print(json.dumps([(number, *times) for number, times in sorted(came.items())]), flush=True)
        sys.exit(0)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source:
        source.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        source.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        source.bind(("", port))
        signal.signal(signal.SIGTERM, end)
        print("ready", flush=True)
        while True:
            data, messages, _, _ = source.recvmsg(2048, 64)
            stamps = (value for _, kind, value in messages if kind == SO_TIMESTAMPNS)
            seconds, nanoseconds = TIMESPEC.unpack(next(stamps))
            number, sent_ns = HEADER.unpack_from(data)
            came.setdefault(number, (sent_ns, seconds * 1_000_000_000 + nanoseconds))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["send", address, port, interval_us, count]:
            send(address, int(port), int(interval_us), int(count))
        case ["receive", port]:
            receive(int(port))
        case _:
            sys.exit(__doc__)
