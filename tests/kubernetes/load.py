"""Many objects and many watchers: how long a list takes, how soon each watcher knows of a change, how much
memory the server has had. ``make bench-objects``; exits 1 where a target is missed.

The server is a process of its own; this one is all clients, so what is measured has their work in it, too.
"""

import argparse
import asyncio
import json
import ssl
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from tests.kubernetes.alone import TOKEN, Alone

GROUPS = "/apis/overlayd.io/v1/namespaces/default/usergroups"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
LIST_MS, EVENT_MS, MEMORY_MIB = 100.0, 100.0, 400.0
_MARK = b'"displayName":"at '


class Watchers:
    """Streams of all changes; each event tells when its write was sent, so that its way can be timed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.delays_ms: list[float] = []
        self.seen = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def begin(self, number: int, version: str) -> None:
        """Open so many streams from a version on."""
        ready = [asyncio.Event() for _ in range(number)]
        self._tasks = [asyncio.create_task(self._follow(version, one)) for one in ready]
        await asyncio.wait_for(asyncio.gather(*(one.wait() for one in ready)), 240)

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _follow(self, version: str, ready: asyncio.Event) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, ssl=context, limit=1 << 24)
        path = f"{GROUPS}?watch=1&resourceVersion={version}"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        ready.set()
        while line := await reader.readline():
            place = line.find(_MARK)
            if place >= 0:
                begun = int(line[place + len(_MARK) : line.index(b'"', place + len(_MARK))])
                self.delays_ms.append((time.monotonic_ns() - begun) / 1e6)
                self.seen += 1


async def measured(alone: Alone, objects: int, watchers: int, writes: int, rate: float) -> dict[str, Any]:
    """Return what was measured, in milliseconds and MiB."""
    headers = {"authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(base_url=alone.address, headers=headers, verify=False, timeout=60) as client:
        await _fill(client, objects)
        lists = {
            name: await _lists(client, accept) for name, accept in (("objects", "*/*"), ("table", TABLE))
        }
        version = (await client.get(GROUPS, params={"limit": "1"})).json()["metadata"]["resourceVersion"]
        follow = Watchers(alone.port)
        await follow.begin(watchers, version)
        cpu = alone.cpu_s()
        await _change(client, writes, rate)
        end = time.monotonic() + 120
        while follow.seen < writes * watchers and time.monotonic() < end:
            await asyncio.sleep(0.01)
        cpu = alone.cpu_s() - cpu
        await follow.end()
    delays = sorted(follow.delays_ms)
    return {
        "objects": objects,
        "watchers": watchers,
        "events": follow.seen,
        "events_missing": writes * watchers - follow.seen,
        "list_ms": min(lists["objects"]),
        "table_ms": min(lists["table"]),
        "event_p50_ms": delays[len(delays) // 2],
        "event_p99_ms": delays[int(len(delays) * 0.99)],
        "server_cpu_ms_a_write": cpu / writes * 1e3,
        "server_peak_mib": alone.peak_mib(),
    }


async def _fill(client: httpx.AsyncClient, objects: int) -> None:
    numbers = iter(range(objects))

    async def make() -> None:
        for number in numbers:
            ingress = [{"node": "paris", "weight": 2, "lastMileMs": 3.5}, {"node": "tokyo"}]
            body = {
                "metadata": {"name": f"g{number}", "labels": {"part": str(number % 7)}},
                "spec": {"displayName": f"Group {number}", "ingress": ingress},
            }
            answer = await client.post(GROUPS, json=body)
            assert answer.status_code == 201, answer.text

    await asyncio.gather(*(make() for _ in range(4)))


async def _lists(client: httpx.AsyncClient, accept: str) -> list[float]:
    taken: list[float] = []
    for _ in range(7):
        begun = time.monotonic()
        answer = await client.get(GROUPS, headers={"accept": accept, "accept-encoding": "identity"})
        taken.append((time.monotonic() - begun) * 1e3)
        assert answer.status_code == 200
    return taken


async def _change(client: httpx.AsyncClient, writes: int, rate: float) -> None:
    media = {"content-type": "application/merge-patch+json"}
    begun = time.monotonic()
    for number in range(writes):
        await asyncio.sleep(max(0.0, begun + number / rate - time.monotonic()))
        body = json.dumps({"spec": {"displayName": f"at {time.monotonic_ns()}"}})
        answer = await client.patch(f"{GROUPS}/g{number}", content=body, headers=media)
        assert answer.status_code == 200, answer.text


def main() -> int:
    """Measure once; print and return 1 where a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.kubernetes.load", description=__doc__)
    parser.add_argument("--objects", type=int, default=5000)
    parser.add_argument("--watchers", type=int, default=200)
    parser.add_argument("--writes", type=int, default=200)
    parser.add_argument("--rate", type=float, default=10.0, help="writes a second")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="overlayd-load-") as folder:
        alone = Alone(Path(folder))
        alone.start()
        try:
            found = asyncio.run(measured(alone, given.objects, given.watchers, given.writes, given.rate))
        finally:
            alone.stop()
    targets = {
        "list_ms": LIST_MS,
        "event_p99_ms": EVENT_MS,
        "server_peak_mib": MEMORY_MIB,
        "events_missing": 0,
    }
    missed = [name for name, most in targets.items() if found[name] > most]
    for name, value in found.items():
        bound = f"  (at most {targets[name]:g})" if name in targets else ""
        print(f"{name:24} {value:10.1f}{bound}{'  MISSED' if name in missed else ''}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
