"""Users of the app, in a process of their own within a site: each asks again and again.

Usage: users.py ADDRESS PORT USERS PER_SECOND. It prints a line for each request, `sent_s seconds version` or
`sent_s seconds !problem`, in Unix seconds. They ask until their standard input ends. Stdlib alone. I/O.
"""

import asyncio
import sys
import time

PATIENCE_S = 15.0


async def _ask(address: str, port: int, first_s: float, every_s: float) -> None:
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    due = first_s
    while True:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        due = max(due + every_s, time.monotonic())
        sent, began = time.time(), time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE_S):
                connection = connection or await asyncio.open_connection(address, port)
                said = await _exchange(*connection)
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            said = "!" + repr(error).replace("\n", " ")
            connection = None
        print(f"{sent:.6f} {time.monotonic() - began:.6f} {said}", flush=True)


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    writer.write(b"GET / HTTP/1.1\r\nhost: app\r\n\r\n")
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if not head.startswith(b"http/1.1 200"):
        raise ValueError(head.partition(b"\r\n")[0].decode())
    length = int(head.partition(b"content-length:")[2].split()[0])
    return (await reader.readexactly(length)).decode()


async def _main() -> None:
    address, port, users, rate = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    every_s = users / rate
    now = time.monotonic()
    asking = [
        asyncio.create_task(_ask(address, port, now + every_s * at / users, every_s)) for at in range(users)
    ]
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for one in asking:
        one.cancel()


if __name__ == "__main__":
    asyncio.run(_main())
