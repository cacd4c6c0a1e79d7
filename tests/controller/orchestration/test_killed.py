"""The API is killed while it is written to: what it acknowledged is there, and watchers that resume are told
each change once.
"""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeAlias

import httpx

from tests.kubernetes.alone import TOKEN, Alone

WRITES, WRITERS, WATCHERS, KILLS = 1000, 8, 4, 3
GROUPS = "/apis/overlayd.io/v1/namespaces/default/usergroups"
_WAIT_S = 120.0
Told: TypeAlias = tuple[int, str, str, str]
"""Version, name, text, and type of an event."""


class Trial:
    """What was acknowledged, and what watchers were told, by resourceVersion."""

    def __init__(self, alone: Alone) -> None:
        self.alone = alone
        self.left = WRITES
        self.acknowledged: dict[int, tuple[str, str]] = {}
        self.told: list[list[Told]] = [[] for _ in range(WATCHERS)]
        self.deleted = 0
        self.listed: dict[str, str] = {}

    def client(self) -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {TOKEN}"}
        return httpx.AsyncClient(base_url=self.alone.address, headers=headers, verify=False, timeout=60)

    async def write(self, chance: random.Random) -> None:
        """Write until enough was answered; what got no answer may have happened or not."""
        async with self.client() as client:
            while self.left > 0:
                name, text = f"g{chance.randrange(20)}", str(chance.random())
                try:
                    version = await self._one(client, name, text, chance.random())
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
                    continue
                self.left -= 1
                if version:
                    self.acknowledged[version] = (name, text)

    async def _one(self, client: httpx.AsyncClient, name: str, text: str, what: float) -> int:
        if what < 0.1:
            answer = await client.delete(f"{GROUPS}/{name}")
            self.deleted += answer.status_code == 200
            return 0
        body: dict[str, Any] = {"metadata": {"name": name}, "spec": {"displayName": text}}
        if what < 0.4:
            answer = await client.post(GROUPS, json=body)
        else:
            media = {"content-type": "application/merge-patch+json"}
            answer = await client.patch(f"{GROUPS}/{name}", json=body, headers=media)
        return 0 if answer.status_code in (404, 409) else await self._passed(answer)

    async def _passed(self, answer: httpx.Response) -> int:
        assert answer.status_code in (200, 201), answer.text
        return int(answer.json()["metadata"].get("resourceVersion") or 0)

    async def watch(self, told: list[Told], since: int) -> None:
        """Follow all changes; where the stream breaks, go on from the last that came whole."""
        async with self.client() as client:
            while True:
                query = {"watch": "1", "resourceVersion": str(told[-1][0] if told else since)}
                try:
                    async with client.stream("GET", GROUPS, params=query, timeout=None) as answer:
                        async for event in _lines(answer):
                            meta = event["object"]["metadata"]
                            text = event["object"]["spec"].get("displayName", "")
                            told.append((int(meta["resourceVersion"]), meta["name"], text, event["type"]))
                except httpx.TransportError:
                    await asyncio.sleep(0.05)


def test_no_acknowledged_write_is_lost_and_no_event_told_twice_or_never(tmp_path: Path) -> None:
    alone = Alone(tmp_path / "state")
    alone.start()
    try:
        trial = asyncio.run(_tried(Trial(alone), random.Random(8)))
    finally:
        alone.stop()
    first = trial.told[0]
    versions = [version for version, *_ in first]
    assert versions == sorted(set(versions)), "each change once, in order"
    assert all(other == first for other in trial.told), "all watchers are told the same"
    known = {version: (name, text) for version, name, text, _ in first}
    assert {version: known.get(version) for version in trial.acknowledged} == trial.acknowledged
    assert len(trial.acknowledged) > WRITES / 3
    state: dict[str, str | None] = {}
    for _, name, text, kind in first[:-1]:
        state[name] = None if kind == "DELETED" else text
    assert {name: text for name, text in state.items() if text is not None} == trial.listed
    assert sum(kind == "DELETED" for *_, kind in first) >= trial.deleted > 0


async def _tried(trial: Trial, chance: random.Random) -> Trial:
    async with trial.client() as client:
        since = int((await client.get(GROUPS)).json()["metadata"]["resourceVersion"])
    watchers = [asyncio.create_task(trial.watch(told, since)) for told in trial.told]
    writers = [asyncio.create_task(trial.write(random.Random(seed))) for seed in range(WRITERS)]
    for kill in range(1, KILLS + 1):
        while trial.left > WRITES * (1 - kill / (KILLS + 1)):
            await asyncio.sleep(0.005)
        await asyncio.sleep(chance.random() * 0.05)
        trial.alone.kill()
        await asyncio.to_thread(trial.alone.start)
    await asyncio.gather(*writers)
    async with trial.client() as client:
        listed = (await client.get(GROUPS)).json()
        trial.listed = {one["metadata"]["name"]: one["spec"]["displayName"] for one in listed["items"]}
        marker = await client.post(GROUPS, json={"metadata": {"name": "end"}, "spec": {}})
        last = int(marker.json()["metadata"]["resourceVersion"])
    end = time.monotonic() + _WAIT_S
    while any(not told or told[-1][0] < last for told in trial.told):
        assert time.monotonic() < end, "watchers get to the end"
        await asyncio.sleep(0.02)
    for task in watchers:
        task.cancel()
    await asyncio.gather(*watchers, return_exceptions=True)
    return trial


async def _lines(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """Yield whole events; the last may have been cut."""
    rest = b""
    async for part in answer.aiter_raw():
        *whole, rest = (rest + part).split(b"\n")
        for line in whole:
            yield json.loads(line)
