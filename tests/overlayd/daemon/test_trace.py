"""Trace between agents: members are answered, strangers are not, silence has a name."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

import msgspec
import pytest

from overlayd.daemon import trace as daemon_trace
from overlayd.daemon.trace import NoAnswer, TraceService
from overlayd.model.ids import NodeId
from overlayd.protocol.trace import NOBODY, PORT, Outgoing, Question, Reply

HERE, THERE = "127.0.0.51", "127.0.0.52"
QUESTION = Question(0, NOBODY, NodeId(3), 0)


@contextlib.asynccontextmanager
async def services(answer: daemon_trace.Answerer) -> AsyncIterator[TraceService]:
    """Yield the service of `HERE`; at `THERE` is one that gives ``answer``."""
    asking = TraceService(lambda _, __: None, random.Random(1))
    answering = TraceService(answer, random.Random(2))
    await asking.bind([HERE])
    await answering.bind([THERE])
    try:
        yield asking
    finally:
        asking.close()
        answering.close()
        await asyncio.sleep(0)  # transports close in the loop's next turn


def test_a_member_is_answered() -> None:
    def answer(address: str, question: Question) -> Reply | None:
        return Reply(question.number, NodeId(2), Outgoing(True, 10.0)) if address == HERE else None

    async def ask() -> Reply:
        async with services(answer) as asking:
            return await asking.ask(THERE, QUESTION, 10)

    assert asyncio.run(ask()).outgoing == Outgoing(True, 10.0)


def test_a_stranger_gets_silence() -> None:
    async def ask() -> None:
        async with services(lambda address, question: None) as asking:
            await asking.ask(THERE, QUESTION, 0.3)

    with pytest.raises(NoAnswer, match=r"0\.3 s"):
        asyncio.run(ask())


def test_answers_are_bounded_and_noise_is_ignored() -> None:
    asked, seconds = 0, 0

    def answer(address: str, question: Question) -> Reply:
        nonlocal asked
        asked += 1
        return Reply(question.number, NodeId(2))

    async def flood() -> None:
        nonlocal seconds
        async with services(answer):
            loop = asyncio.get_running_loop()
            begun = int(loop.time())
            transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=(HERE, 0))
            transport.sendto(b"noise", (THERE, PORT))
            for _ in range(3 * daemon_trace.MOST_PER_S):
                transport.sendto(msgspec.msgpack.encode(QUESTION), (THERE, PORT))
            await asyncio.sleep(0.2)
            seconds = int(loop.time()) - begun + 1
            transport.close()

    asyncio.run(flood())
    assert 0 < asked <= seconds * daemon_trace.MOST_PER_S


def test_an_address_that_is_not_there_yet_can_be_bound_and_given_up() -> None:
    async def bind() -> None:
        service = TraceService(lambda _, __: None, random.Random(1))
        await service.bind(["100.64.77.1", "fd00:77::1"])
        await service.bind(["100.64.77.2"])
        with pytest.raises(NoAnswer):
            await service.ask("100.64.77.9", QUESTION, 0.05)
        service.close()

    asyncio.run(bind())
