"""Instances of an app, in a process of their own: HTTP servers that answer with their port.

Run as `python -m tests.overlayd.traffic.instances PORT...`; says `ready` once all of them listen.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

HOST = "127.0.0.1"


@contextmanager
def instances(*ports: int) -> Iterator[subprocess.Popen[bytes]]:
    """Instances at ``ports``, until the end of the block."""
    command = [sys.executable, "-m", __name__, *map(str, ports)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()


async def _serve(ports: list[int]) -> None:
    servers = [await asyncio.start_server(_answering(port), HOST, port) for port in ports]
    print("ready", flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


def _answering(port: int):
    body = str(port).encode()
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)

    async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            writer.close()

    return answering


if __name__ == "__main__":
    asyncio.run(_serve([int(port) for port in sys.argv[1:]]))
