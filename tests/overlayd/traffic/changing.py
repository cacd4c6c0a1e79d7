"""Users who ask while weights and servers change each second. For a test and for a benchmark."""

import asyncio
import math
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from overlayd.protocol.steering import SteeredRoute, SteeringSpec, Target
from overlayd.traffic.haproxy import Processes
from overlayd.traffic.traffic import Traffic
from tests.overlayd.traffic import load
from tests.overlayd.traffic.conftest import carried
from tests.overlayd.traffic.instances import HOST, instances

ADDRESS = "100.127.0.5"
PORTS = tuple(range(9001, 9007))
WEIGHTS = (0, 1, 16, 256)
EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Change:
    """Instances that serve alone: from ``asked_s`` on they may, from ``done_s`` on they do."""

    asked_s: float
    done_s: float
    ports: frozenset[int]


@dataclass(frozen=True, slots=True)
class Outcome:
    """``processes``: before and after."""

    seen: load.Report
    changes: Sequence[Change]
    processes: tuple[Processes | None, Processes | None]
    starts: int
    reloads: int

    @property
    def in_force_s(self) -> float:
        """How long a change took, at most."""
        return max(change.done_s - change.asked_s for change in self.changes)

    @property
    def astray(self) -> list[tuple[float, float, int]]:
        """Answers of instances that were not to serve at any time between question and answer."""
        ends_s = [change.done_s for change in self.changes[1:]] + [math.inf]
        return [
            (sent, answered, port)
            for sent, answered, port in self.seen.answers
            if not any(
                port in change.ports and change.asked_s <= answered and sent <= end_s
                for change, end_s in zip(self.changes, ends_s, strict=True)
            )
        ]


async def changing(
    runtime_dir: Path, protocol: str, requests: int, rate: float, least: int = 1, seed: int = 8
) -> Outcome:
    """Have ``requests`` sent, so many a second (0: as fast as they are answered), and more until there were
    ``least`` changes.

    With HTTP connections are kept, with TCP each request has one of its own.
    """
    chance = random.Random(seed)
    with instances(*PORTS):
        async with carried(runtime_dir) as traffic:
            changes = [await _change(traffic, protocol, dict.fromkeys(PORTS, 1))]
            before = await traffic.haproxy.processes()
            enough = threading.Event()
            users = asyncio.create_task(
                asyncio.to_thread(
                    load.run,
                    ADDRESS,
                    80,
                    requests=requests,
                    rate=rate,
                    keep_alive=protocol == "HTTP",
                    enough=enough,
                )
            )
            try:
                while not users.done():
                    if len(changes) >= least:
                        enough.set()
                    chosen = chance.sample(PORTS, chance.randint(1, len(PORTS)))
                    weights = {port: chance.choice(WEIGHTS) for port in chosen} | {chosen[0]: 128}
                    changes.append(await _change(traffic, protocol, weights))
                    await asyncio.sleep(EVERY_S)
            finally:
                enough.set()
            return Outcome(
                seen=await users,
                changes=changes,
                processes=(before, await traffic.haproxy.processes()),
                starts=traffic.haproxy.starts,
                reloads=traffic.haproxy.reloads,
            )


async def _change(traffic: Traffic, protocol: str, weights: dict[int, int]) -> Change:
    asked_s = time.monotonic()
    await traffic.apply(_steering(protocol, weights))
    if traffic.problems:
        raise RuntimeError(str(traffic.problems))
    return Change(asked_s, time.monotonic(), frozenset(port for port, weight in weights.items() if weight))


def _steering(protocol: str, weights: dict[int, int]) -> SteeringSpec:
    targets = tuple(
        Target(name=f"app-{port}", address=HOST, port=port, weight=weight) for port, weight in weights.items()
    )
    route = SteeredRoute(
        name="default/app",
        host="app.default.mesh",
        address=ADDRESS,
        port=80,
        protocol="HTTP" if protocol == "HTTP" else "TCP",
        targets=targets,
    )
    return SteeringSpec(routes=(route,))
