"""Names of routes, asked of a real dnsmasq in a namespace."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from overlayd.traffic import zone
from overlayd.traffic.names import Names
from tests.overlayd.traffic.test_streams import route

OVERLAY = "127.0.0.53"
"""Stands for the node's address in the overlay."""
A, AAAA = 1, 28
AUTHORITATIVE = 0x0400
PATIENCE_S = 60.0
NO_ERROR, NO_SUCH_NAME, REFUSED = 0, 3, 5


def test_names_are_answered_as_routes_come_and_go(runtime_dir: Path) -> None:
    async def scenario() -> None:
        first = route(address="100.127.0.5")
        second = route(address="100.127.0.6", host="shop.default.mesh")
        async with answering(runtime_dir) as names:
            await names.converge([first])
            assert await ask("app.default.mesh") == (NO_ERROR, ["100.127.0.5"])
            assert await ask("App.Default.Mesh", AAAA) == (NO_ERROR, [])
            assert await ask("shop.default.mesh") == (NO_SUCH_NAME, [])
            assert await ask("example.org") == (REFUSED, [])
            await names.converge([second])
            await soon("shop.default.mesh", (NO_ERROR, ["100.127.0.6"]))
            await soon("app.default.mesh", (NO_SUCH_NAME, []))

    asyncio.run(scenario())


def test_dnsmasq_goes_on_when_its_keeper_ends_and_is_found_again(runtime_dir: Path) -> None:
    async def scenario() -> None:
        async with answering(runtime_dir) as first:
            await first.converge([route()])
            pid = (runtime_dir / "dnsmasq.pid").read_text()
            second = Names(runtime_dir, OVERLAY)
            await second.converge([route()])
            assert (runtime_dir / "dnsmasq.pid").read_text() == pid
            await second.stop()
            with pytest.raises(ConnectionRefusedError):
                await ask("app.default.mesh")

    asyncio.run(scenario())


def test_a_name_has_each_address_once() -> None:
    assert zone.render_hosts([route(), route(), route(address="fd00:0::1", host="a.mesh.")]) == (
        "fd00::1 a.mesh\n100.127.0.5 app.default.mesh\n"
    )


@asynccontextmanager
async def answering(runtime_dir: Path) -> AsyncIterator[Names]:
    names = Names(runtime_dir, OVERLAY)
    try:
        yield names
    finally:
        await names.stop()


async def soon(name: str, expected: tuple[int, list[str]]) -> None:
    """Wait until it is answered so: dnsmasq reads its names after a signal."""
    async with asyncio.timeout(PATIENCE_S):
        while await ask(name) != expected:
            await asyncio.sleep(0.02)


async def ask(name: str, kind: int = A) -> tuple[int, list[str]]:
    """Ask for the addresses of ``name`` (RFC 1035); return the code of the answer and what it says."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    question = labels + b"\0" + struct.pack("!HH", kind, 1)
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as user:
        user.setblocking(False)
        user.connect((OVERLAY, zone.PORT))
        async with asyncio.timeout(PATIENCE_S):
            await loop.sock_sendall(user, struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + question)
            answer = await loop.sock_recv(user, 512)
    _, flags, _, count, _, _ = struct.unpack("!6H", answer[:12])
    rest = answer[12 + len(question) :]
    addresses: list[str] = []
    for _ in range(count):
        length = int.from_bytes(rest[10:12])
        addresses.append(socket.inet_ntop(socket.AF_INET, rest[12 : 12 + length]))
        rest = rest[12 + length :]
    assert flags & AUTHORITATIVE or not addresses
    return flags & 0xF, addresses
