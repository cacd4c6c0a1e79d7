"""Trace between agents: asks the agents of a path what their ends of its hops see, and answers them.

Questions travel over the overlay, from overlay address to overlay address. Only members are answered, at
a bounded rate. I/O: one UDP socket for each overlay address of this node.
"""

import asyncio
import contextlib
import logging
import random
import socket
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import msgspec

from overlayd.daemon.log import fields
from overlayd.protocol.trace import PORT, Question, Reply

LOG = logging.getLogger(__name__)
MOST_PER_S = 200
_IP_FREEBIND = 15

Answerer: TypeAlias = Callable[[str, Question], Reply | None]
"""(overlay address of who asks, question) -> answer; None for strangers."""


class NoAnswer(Exception):
    """The agent that was asked did not answer in time."""


class TraceService:
    """Bound to a set of overlay addresses; :meth:`bind` again when they change."""

    def __init__(self, answer: Answerer, rng: random.Random) -> None:
        self._answer = answer
        self._rng = rng
        self._endpoints: dict[str, _Endpoint] = {}

    async def bind(self, addresses: Iterable[str]) -> None:
        """Listen on exactly these overlay addresses; they need not be on the interface yet."""
        wanted = frozenset(addresses)
        for address in [known for known in self._endpoints if known not in wanted]:
            self._endpoints.pop(address).close()
        for address in sorted(wanted - self._endpoints.keys()):
            try:
                self._endpoints[address] = await _open(address, self._answer)
            except OSError as error:
                LOG.warning("no trace on address", extra=fields(address=address, problem=error.strerror))

    def close(self) -> None:
        """Stop listening."""
        for endpoint in self._endpoints.values():
            endpoint.close()
        self._endpoints.clear()

    async def ask(self, address: str, question: Question, timeout_s: float) -> Reply:
        """Ask the agent at an overlay address, twice if need be. Raises :class:`NoAnswer`."""
        endpoint = next(
            (own for text, own in self._endpoints.items() if (":" in text) == (":" in address)), None
        )
        if endpoint is None:
            raise NoAnswer("this node has no overlay address to ask from")
        question = msgspec.structs.replace(question, number=self._rng.getrandbits(32))
        for part in (timeout_s / 3, timeout_s * 2 / 3):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(part):
                    return await endpoint.ask(address, question)
        raise NoAnswer(f"its agent did not answer within {timeout_s:g} s")


class _Endpoint(asyncio.DatagramProtocol):
    def __init__(self, answer: Answerer) -> None:
        self._answer = answer
        self._pending: dict[tuple[int, str], asyncio.Future[Reply]] = {}
        self._transport: asyncio.DatagramTransport | None = None
        self._decoder = msgspec.msgpack.Decoder(Question | Reply)
        self._second, self._count = 0, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # pyright: ignore[reportAttributeAccessIssue]

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        try:
            message = self._decoder.decode(data)
        except msgspec.DecodeError:
            return
        if isinstance(message, Reply):
            waiting = self._pending.get((message.number, addr[0]))
            if waiting is not None and not waiting.done():
                waiting.set_result(message)
        elif self._may_answer() and (reply := self._answer(addr[0], message)) is not None:
            self._send(reply, addr)

    async def ask(self, address: str, question: Question) -> Reply:
        key = (question.number, address)
        self._pending[key] = asyncio.get_running_loop().create_future()
        try:
            self._send(question, (address, PORT))
            return await self._pending[key]
        finally:
            del self._pending[key]

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _send(self, message: Question | Reply, to: tuple[Any, ...]) -> None:
        if self._transport is not None:
            self._transport.sendto(msgspec.msgpack.encode(message), to)

    def _may_answer(self) -> bool:
        second = int(asyncio.get_running_loop().time())
        if second != self._second:
            self._second, self._count = second, 0
        self._count += 1
        return self._count <= MOST_PER_S


async def _open(address: str, answer: Answerer) -> _Endpoint:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        sock.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)  # the engine may bring the address up later
        sock.bind((address, PORT))
        loop = asyncio.get_running_loop()
        _, endpoint = await loop.create_datagram_endpoint(lambda: _Endpoint(answer), sock=sock)
    except OSError:
        sock.close()
        raise
    return endpoint
