"""The process that runs a lab's links: ``python -m sim.emulator --config FILE --control SOCKET``.

It lives in the namespace that holds the wires. What lives here: the process around the native
`LinkEmulator`, and its control socket (one JSON object a line, one answer a line). Not here: the links
themselves (`engine/netem`, `engine/io`). Started by `sim.lab.runner`, asked by `sim.lab.wire`. I/O.

Requests: ``{"op": "set", "way": NAME, "settings": {…}}``, ``{"op": "counters"}``, ``{"op": "ping"}``.
Answers: ``{"ok": true, …}`` or ``{"ok": false, "problem": TEXT}``.
"""

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

from overlayd._engine import LinkEmulator


def main() -> int:
    parser = argparse.ArgumentParser(prog="sim.emulator", description="Run the links of a lab.")
    parser.add_argument("--config", type=Path, required=True, help="JSON: seed and directions")
    parser.add_argument("--control", type=Path, required=True, help="Unix socket to listen on")
    arguments = parser.parse_args()
    try:
        links = LinkEmulator(arguments.config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        print(f"sim.emulator: {error}", file=sys.stderr)
        return 1
    try:
        asyncio.run(_serve(links, arguments.control))
    finally:
        links.stop()
    return 0


async def _serve(links: LinkEmulator, control: Path) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(json.dumps(answer(links, line)).encode() + b"\n")
            await writer.drain()
        writer.close()

    control.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(converse, control)
    try:
        await stopped.wait()
    finally:
        server.close()
        control.unlink(missing_ok=True)


def answer(links: LinkEmulator, line: bytes) -> dict[str, Any]:
    """Carry out one request; whatever is wrong with it is told in the answer."""
    try:
        match json.loads(line):
            case {"op": "set", "way": str(way), "settings": settings}:
                links.set(way, json.dumps(settings))
                return {"ok": True}
            case {"op": "counters"}:
                return {"ok": True, "counters": json.loads(links.counters())}
            case {"op": "ping"}:
                return {"ok": True}
            case request:
                return {"ok": False, "problem": f"not a request: {request!r}"}
    except KeyError as error:
        return {"ok": False, "problem": f"no link is named {error.args[0]}"}
    except (ValueError, OSError) as error:
        return {"ok": False, "problem": str(error)}


if __name__ == "__main__":
    sys.exit(main())
