"""Simulated agents: real identities, real TLS channels, telemetry of a made-up plane. I/O: sockets."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from controller.server import membership
from controller.state import State
from overlayd.model.ids import Generation, NodeId
from overlayd.model.node import Uplink
from overlayd.protocol import compact
from overlayd.protocol.controller import Hello, JoinRequest, LinkSample, Mesh, Telemetry, ToAgent
from overlayd.protocol.token import decode_token
from tests.controller.client import Identity, engine_key, make_csr
from tests.scale.plane import Plane

OPENING_AT_ONCE = 32


@dataclass
class Member(Identity):
    """An identity whose id is at hand: each frame of each member names all others by it."""

    node: NodeId


def enrol(state: State, number: int) -> list[Member]:
    """Make members, every fourth of them a relay, without going through a socket."""
    members: list[Member] = []
    for index in range(number):
        name = f"n{index}"
        token = membership.create_token(state, name, relay=index % 4 == 0).text
        csr, key = make_csr(name)
        request = JoinRequest(decode_token(token).secret, name, csr, engine_key(name))
        member, joined = membership.join(state, request)
        members.append(Member(joined, key, member.node.spec.id))
    return members


@dataclass(slots=True)
class Heard:
    """What all agents together were sent."""

    complete: int = 0
    changes: int = 0
    routes_in_changes: int = 0
    octets: int = 0
    lost: int = 0
    open: int = 0
    reports: int = 0
    report_octets: int = 0


def _telemetry(plane: Plane, index: int, members: list[Member], seconds: float) -> Telemetry:
    rtts = plane.sample(index)
    samples = max(int(10 * seconds), 1)
    return Telemetry(
        False,
        seconds,
        tuple(
            LinkSample(
                peer.node, True, samples, rtt * 0.98, rtt, 0.4, 0.0, 0.0, 0, rtt, rtt * 1.02, load_bps=500
            )
            for peer, rtt in zip(members, rtts.tolist(), strict=True)
            if peer is not members[index]
        ),
    )


class Agents:
    """All agents of the mesh on one event loop."""

    def __init__(self, url: str, members: list[Member], plane: Plane, interval_s: float) -> None:
        self.heard = Heard()
        self._url, self._members, self._plane, self._interval_s = url, members, plane, interval_s
        self._opening = asyncio.Semaphore(OPENING_AT_ONCE)
        self._decoder = msgspec.msgpack.Decoder(ToAgent)

    async def run(self, index: int) -> None:
        """Be one agent until cancelled; its reports have a moment of their own within the interval."""
        member, heard = self._members[index], self.heard
        async with self._opening:
            channel = await connect(
                self._url + "/v1/agent",
                ssl=member.context(),
                subprotocols=[Subprotocol(compact.SUBPROTOCOL)],
                max_size=None,
                compression=None,
                open_timeout=60,
                proxy=None,
            )
            hello = Hello(1, "scale", (Uplink("isp", f"192.0.2.1:{1024 + index}"),), (), Generation(0))
            await channel.send(msgspec.msgpack.encode(hello))
        heard.open += 1
        speaking = asyncio.create_task(self._speak(index, channel.send))
        try:
            async for data in channel:
                heard.octets += len(data)
                message = self._decoder.decode(data if isinstance(data, bytes) else data.encode())
                if isinstance(message, Mesh) and message.base == 0:
                    heard.complete += 1
                elif isinstance(message, Mesh):
                    heard.changes += 1
                    heard.routes_in_changes += len(message.routes)
        except ConnectionClosed:
            heard.lost += 1
        finally:
            speaking.cancel()
            heard.open -= 1

    async def _speak(self, index: int, send: Callable[[bytes], Awaitable[None]]) -> None:
        encoder = compact.Encoder()
        await asyncio.sleep(self._interval_s * index / len(self._members))
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            frame = encoder.encode(_telemetry(self._plane, index, self._members, self._interval_s))
            body = msgspec.msgpack.encode(frame)
            await send(body)
            self.heard.reports += 1
            self.heard.report_octets += len(body)
            due += self._interval_s
            await asyncio.sleep(max(due - loop.time(), 0.0))


def resident_bytes(pid: int) -> int:
    """Return the largest resident size that a process has had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) * 1024


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
