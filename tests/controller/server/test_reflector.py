"""The reflector on loopback: who is answered, from where, and how much."""

import asyncio
import socket
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from controller.server.reflector import MOST_PER_S, Reflector
from overlayd.protocol import stun


@contextmanager
def client(family: int = socket.AF_INET, address: str = "127.0.0.1") -> Generator[socket.socket]:
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((address, 0))
        sock.settimeout(0.2)
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


async def answer(
    sock: socket.socket, datagram: bytes, to: tuple[str, int]
) -> tuple[bytes, tuple[str, int]] | None:
    """Send and wait a little; None: no answer."""

    def exchange() -> tuple[bytes, tuple[str, int]] | None:
        sock.sendto(datagram, to)
        try:
            data, source = sock.recvfrom(65535)
        except TimeoutError:
            return None
        return data, (source[0], source[1])

    return await asyncio.to_thread(exchange)


@contextmanager
def running(host: str, port: int, second: float = 0.0) -> Generator[None]:
    reflector = Reflector(lambda: second)
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
            assert heard is not None and heard[1] == (address, port) and len(heard[0]) == len(request)
            here = (address, sock.getsockname()[1])
            assert stun.decode_reply(heard[0]) == stun.Reply(b"abcdefghijkl", here, (address, port + 1))
            request = stun.encode_request(stun.Request(bytes(12), other_port=True))
            heard = await answer(sock, request, (address, port))
            assert heard is not None and heard[1] == (address, port + 1)

    asyncio.run(story())


def test_an_answer_leaves_from_the_address_that_was_asked() -> None:
    async def story() -> None:
        port = two_free_ports()
        with running("::", port), client() as sock:
            request = stun.encode_request(stun.Request(bytes(12)))
            heard = await answer(sock, request, ("127.0.0.7", port))
        assert heard is not None and heard[1] == ("127.0.0.7", port)
        assert stun.decode_reply(heard[0]).other == ("127.0.0.7", port + 1)

    asyncio.run(story())


def test_what_is_no_question_or_has_no_room_for_an_answer_gets_none() -> None:
    async def story() -> None:
        port = two_free_ports()
        bare = bytes.fromhex("00010000 2112a442") + bytes(12)
        with running("127.0.0.1", port), client() as sock:
            for datagram in (b"", b"hello", bare, stun.encode_request(stun.Request(bytes(12)))[:-1]):
                assert await answer(sock, datagram, ("127.0.0.1", port)) is None
            assert await answer(sock, stun.encode_request(stun.Request(bytes(12))), ("127.0.0.1", port))

    asyncio.run(story())


def test_answers_are_bounded_by_the_second() -> None:
    async def story() -> None:
        port = two_free_ports()
        request = stun.encode_request(stun.Request(bytes(12)))
        with running("127.0.0.1", port), client() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            count = 0
            for _ in range(MOST_PER_S // 50 + 1):
                for _ in range(50):
                    sock.sendto(request, ("127.0.0.1", port))
                await asyncio.sleep(0.01)
                sock.setblocking(False)
                while True:
                    try:
                        sock.recv(2048)
                    except BlockingIOError:
                        break
                    count += 1
            assert count == MOST_PER_S

    asyncio.run(story())


def test_a_port_that_is_taken_leaves_the_controller_without_a_reflector(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story() -> None:
        with client() as taken:
            with running("127.0.0.1", taken.getsockname()[1]):
                pass
        assert "no reflector at UDP port" in caplog.text

    asyncio.run(story())
