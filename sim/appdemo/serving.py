"""The app of the demo: answers each HTTP request with its version. Stdlib alone; a node starts it.

Usage: serving.py PORT VERSION
"""

import asyncio
import signal
import sys


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    body = sys.argv[2].encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n" % len(body)
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(head + body)
            await writer.drain()
    except (EOFError, OSError):
        pass
    finally:
        writer.close()


async def _main() -> None:
    server = await asyncio.start_server(_answer, "0.0.0.0", int(sys.argv[1]))
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    async with server:
        await told.wait()


if __name__ == "__main__":
    asyncio.run(_main())
