"""Users of a route, in a process of their own: they ask, and count who answered and what failed.

Run as `python -m tests.overlayd.traffic.load`; prints a :class:`Report` as JSON.
"""

import argparse
import asyncio
import subprocess
import sys
import threading
import time
from collections import Counter

import msgspec

PATIENCE_S = 60.0
USERS = 8


class Report(msgspec.Struct):
    """``answers``: each when the request was sent, when it was answered (CLOCK_MONOTONIC) and by which port.
    ``failed``: each when it was sent, and why.
    """

    requests: int
    failed: list[str]
    answers: list[tuple[float, float, int]]

    @property
    def shares(self) -> Counter[int]:
        """How many requests each instance answered."""
        return Counter(port for _, _, port in self.answers)


def run(
    address: str,
    port: int,
    *,
    requests: int,
    rate: float = 0,
    users: int = USERS,
    keep_alive: bool = True,
    enough: threading.Event | None = None,
) -> Report:
    """Have ``users`` send ``requests``, so many a second (0: as fast as they are answered), and more until
    there is ``enough``.
    """
    command = [
        *(sys.executable, "-m", __name__, address, str(port)),
        *("--requests", str(requests), "--rate", str(rate), "--users", str(users)),
        *(() if keep_alive else ("--close",)),
        *(() if enough is None else ("--until-told",)),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        if enough is not None:
            enough.wait()
        said, _ = process.communicate()
    return msgspec.json.decode(said, type=Report)


class _Users:
    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._left = arguments.requests
        self.goes_on = arguments.until_told
        self._begun = time.monotonic()
        self._sent = 0
        self.report = Report(0, [], [])

    async def ask(self) -> None:
        """One user: a connection after the other, or one for all requests."""
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while self._left > 0 or self.goes_on:
            self._left -= 1
            await self._pace()  # lets others have a turn, however quickly a connection is refused
            sent = time.monotonic()
            try:
                async with asyncio.timeout(PATIENCE_S):
                    if connection is None:
                        connection = await asyncio.open_connection(
                            self._arguments.address, self._arguments.port
                        )
                    port, over = await self._exchange(*connection)
                self.report.answers.append((sent, time.monotonic(), port))
                if over or self._arguments.close:
                    connection[1].close()
                    connection = None
            except (OSError, EOFError, ValueError, TimeoutError) as error:
                self.report.failed.append(f"{sent:.3f} {error!r}")
                connection = None
            self.report.requests += 1
        if connection is not None:
            connection[1].close()

    def end(self) -> None:
        """Have enough with the requests that are wanted."""
        self.goes_on = False
        asyncio.get_running_loop().remove_reader(sys.stdin)

    async def _pace(self) -> None:
        due = 0.0
        if self._arguments.rate:
            due = self._begun + self._sent / self._arguments.rate
            self._sent += 1
        await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[int, bool]:
        """Return who answered, and whether it said that it closes the connection."""
        writer.write(b"GET / HTTP/1.1\r\nhost: app\r\n\r\n")
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if not head.startswith(b"http/1.1 200"):
            raise ValueError(head[:60])
        length = int(head.partition(b"content-length:")[2].split()[0])
        return int(await reader.readexactly(length)), b"connection: close" in head


async def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--requests", type=int, required=True)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--users", type=int, default=USERS)
    parser.add_argument("--close", action="store_true")
    parser.add_argument("--until-told", action="store_true", help="go on until the input is closed")
    users = _Users(parser.parse_args())
    if users.goes_on:
        asyncio.get_running_loop().add_reader(sys.stdin, users.end)
    await asyncio.gather(*(users.ask() for _ in range(users._arguments.users)))
    sys.stdout.buffer.write(msgspec.json.encode(users.report))


if __name__ == "__main__":
    asyncio.run(_main())
