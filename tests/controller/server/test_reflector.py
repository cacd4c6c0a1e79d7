"""The reflector on loopback: who is answered, from where, and how much."""

import asyncio
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager

import pytest

from controller.server.reflector import MOST_PER_S, Reflector
from overlayd.protocol import stun

PATIENCE_S = 60.0


@contextmanager
def client(family: int = socket.AF_INET, address: str = "127.0.0.1") -> Generator[socket.socket]:
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((address, 0))
        sock.settimeout(PATIENCE_S)
        yield sock


def two_free_ports() -> int:
    """The first of two."""
    for _ in range(50):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.bind(("127.0.0.1", 0))
            number = one.getsockname()[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            try:
                other.bind(("127.0.0.1", number + 1))
            except OSError:
                continue
        return number
    pytest.fail("no two ports after each other are free")


async def answer(sock: socket.socket, datagram: bytes, to: tuple[str, int]) -> tuple[bytes, tuple[str, int]]:
    """Send; return the next answer, and where it is from."""

    def exchange() -> tuple[bytes, tuple[str, int]]:
        sock.sendto(datagram, to)
        data, source = sock.recvfrom(65535)
        return data, (source[0], source[1])

    return await asyncio.to_thread(exchange)


@contextmanager
def running(host: str, port: int, clock: Callable[[], float] = lambda: 0.0) -> Generator[None]:
    reflector = Reflector(clock)
    reflector.open(host, port)
    try:
        yield
    finally:
        reflector.close()


@pytest.mark.parametrize(
    ("host", "family", "address"),
    [("127.0.0.1", 4, "127.0.0.1"), ("::", 4, "127.0.0.1"), ("::", 6, "::1"), ("::1", 6, "::1")],
)
def test_who_asks_is_told_where_it_is_seen_and_where_to_ask_too(host: str, family: int, address: str) -> None:
    async def story() -> None:
        port = two_free_ports()
        kind = socket.AF_INET if family == 4 else socket.AF_INET6
        with running(host, port), client(kind, address) as sock:
            request = stun.encode_request(stun.Request(b"abcdefghijkl"))
            heard = await answer(sock, request, (address, port))
            assert heard[1] == (address, port) and len(heard[0]) == len(request)
            here = (address, sock.getsockname()[1])
            assert stun.decode_reply(heard[0]) == stun.Reply(b"abcdefghijkl", here, (address, port + 1))
            request = stun.encode_request(stun.Request(bytes(12), other_port=True))
            heard = await answer(sock, request, (address, port))
            assert heard[1] == (address, port + 1)

    asyncio.run(story())


def test_an_answer_leaves_from_the_address_that_was_asked() -> None:
    async def story() -> None:
        port = two_free_ports()
        with running("::", port), client() as sock:
            request = stun.encode_request(stun.Request(bytes(12)))
            heard = await answer(sock, request, ("127.0.0.7", port))
        assert heard[1] == ("127.0.0.7", port)
        assert stun.decode_reply(heard[0]).other == ("127.0.0.7", port + 1)

    asyncio.run(story())


def test_what_is_no_question_or_has_no_room_for_an_answer_gets_none() -> None:
    async def story() -> None:
        port = two_free_ports()
        bare = bytes.fromhex("00010000 2112a442") + bytes(12)
        with running("127.0.0.1", port), client() as sock:
            for datagram in (b"", b"hello", bare, question(1)[:-1]):
                sock.sendto(datagram, ("127.0.0.1", port))
            heard, _ = await answer(sock, question(2), ("127.0.0.1", port))
            assert stun.decode_reply(heard).transaction == number(2), "the first answer is to the last"

    asyncio.run(story())


def test_answers_are_bounded_by_the_second() -> None:
    async def story() -> None:
        port = two_free_ports()
        second = 0.0
        with running("127.0.0.1", port, lambda: second), client() as sock:
            for asked in range(MOST_PER_S):
                heard, _ = await answer(sock, question(asked), ("127.0.0.1", port))
                assert stun.decode_reply(heard).transaction == number(asked)
            for _ in range(3):
                sock.sendto(question(MOST_PER_S), ("127.0.0.1", port))
                await asyncio.sleep(0.01)
            second = 1.0
            heard, _ = await answer(sock, question(0), ("127.0.0.1", port))
            assert stun.decode_reply(heard).transaction == number(0), "the first answer is of the next second"

    asyncio.run(story())


def number(asked: int) -> bytes:
    """The transaction of a question."""
    return asked.to_bytes(12, "big")


def question(asked: int) -> bytes:
    return stun.encode_request(stun.Request(number(asked)))


def test_a_port_that_is_taken_leaves_the_controller_without_a_reflector(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story() -> None:
        with client() as taken:
            with running("127.0.0.1", taken.getsockname()[1]):
                pass
        assert "no reflector at UDP port" in caplog.text

    asyncio.run(story())
