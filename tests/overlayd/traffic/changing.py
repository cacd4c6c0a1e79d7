"""Users who ask while weights and servers change each second. For a test and for a benchmark."""

import asyncio
import random
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
class Outcome:
    """``changes``: when which instances were to serve alone from then on. ``processes``: before and after."""

    seen: load.Report
    changes: Sequence[tuple[float, frozenset[int]]]
    processes: tuple[Processes | None, Processes | None]
    starts: int
    reloads: int

    @property
    def in_force_s(self) -> float:
        """For how long after a change an instance that it took away still got requests, at most."""
        worst = 0.0
        for sent, port in self.seen.answers:
            told = [(at, ports) for at, ports in self.changes if at <= sent]
            since = None
            for at, ports in reversed(told):
                if port in ports:
                    break
                since = at
            if since is not None:
                worst = max(worst, sent - since)
        return worst


async def changing(runtime_dir: Path, protocol: str, requests: int, rate: float, seed: int = 8) -> Outcome:
    """Have ``requests`` sent, so many a second (0: as fast as they are answered), amid changes.

    With HTTP connections are kept, with TCP each request has one of its own.
    """
    chance = random.Random(seed)
    with instances(*PORTS):
        async with carried(runtime_dir) as traffic:
            await traffic.apply(_steering(protocol, dict.fromkeys(PORTS, 1)))
            before = await traffic.haproxy.processes()
            users = asyncio.create_task(
                asyncio.to_thread(
                    load.run, ADDRESS, 80, requests=requests, rate=rate, keep_alive=protocol == "HTTP"
                )
            )
            changes: list[tuple[float, frozenset[int]]] = []
            while not users.done():
                chosen = chance.sample(PORTS, chance.randint(1, len(PORTS)))
                weights = {port: chance.choice(WEIGHTS) for port in chosen} | {chosen[0]: 128}
                changes.append((time.time(), frozenset(port for port, weight in weights.items() if weight)))
                await _change(traffic, _steering(protocol, weights))
                await asyncio.sleep(EVERY_S)
            return Outcome(
                seen=await users,
                changes=changes,
                processes=(before, await traffic.haproxy.processes()),
                starts=traffic.haproxy.starts,
                reloads=traffic.haproxy.reloads,
            )


async def _change(traffic: Traffic, steering: SteeringSpec) -> None:
    await traffic.apply(steering)
    if traffic.problems:
        raise RuntimeError(str(traffic.problems))


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
